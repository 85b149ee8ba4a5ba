"""Which memories are used: noted at once in memory, written down behind the readers' back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import trio

from mimo.errors import Unavailable
from mimo.services.memory.moments import now_ms
from mimo.storage.database import Database
from mimo.storage.engrams.use import note_use

MOST = 100  # memories
LATEST = 5.0  # seconds
# After each write all readers read their pages again, so there is no other for a second.
REST = 1.0
LAST_WRITE = 2.0


class Use:
    """A supervised child. What a crash loses is some seconds of counting."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._clock = clock
        self._times: Counter[int] = Counter()
        self._enough = trio.Event()

    def note(self, ids: Iterable[int]) -> None:
        self._times.update(ids)
        if len(self._times) >= MOST:
            self._enough.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            while True:
                with trio.move_on_after(LATEST - REST):
                    await self._enough.wait()
                await self.flush()
                await trio.sleep(REST)
        finally:
            with trio.move_on_after(LAST_WRITE, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write down what was noted. If the database is not there, it is kept for the next time."""
        times, self._times, self._enough = self._times, Counter(), trio.Event()
        if not times:
            return
        try:
            await self._database.write(note_use, dict(times), self._clock(), frees=True)
        except Unavailable:
            self._times.update(times)
