"""What a database has while it is open: the writer and its queue, and the readers that nobody uses."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from mimo.errors import MimoError
from mimo.storage.connection import Threaded
from mimo.storage.group import Job

# One COMMIT costs one fsync. With 64 jobs to share it, more give no throughput, only waiting.
MAX_GROUP = 64
# Then `write` waits before it is accepted, where cancellation still costs nothing.
MAX_WAITING = 1_000


class Opened:
    """From the moment it can be asked until its doors are shut."""

    def __init__(self, writer: Threaded, readers: Sequence[Threaded]) -> None:
        self.writer = writer
        self.inbox, self.outbox = trio.open_memory_channel[Job](MAX_WAITING)
        self.idle = list(reversed(readers))
        self._place = {reader: -number for number, reader in enumerate(readers)}
        self._idle = trio.Semaphore(len(readers))

    async def borrowed(self) -> Threaded:
        """A reader that nobody uses; to be given back."""
        try:
            self._idle.acquire_nowait()  # no checkpoint: the work itself is one
        except trio.WouldBlock:
            await self._idle.acquire()
        return self.idle.pop()  # the first that is free: its thread and its pages are warm

    def give_back(self, reader: Threaded) -> None:
        self.idle.append(reader)
        self.idle.sort(key=self._place.__getitem__)
        self._idle.release()

    def take(self, first: Job) -> list[Job]:
        """The next group: `first` and what waits behind it. From here on its jobs are done in any case."""
        group = [first]
        while len(group) < MAX_GROUP:
            try:
                group.append(self.outbox.receive_nowait())
            except trio.WouldBlock:
                break
        return [job for job in group if not job.withdrawn]

    def shut(self, error: MimoError) -> None:
        """Nobody is let in any more, and who waits at the door is told."""
        while True:
            try:
                job = self.outbox.receive_nowait()
            except trio.WouldBlock:
                break
            job.fail(error)
            job.done.set()
        self.outbox.close()
