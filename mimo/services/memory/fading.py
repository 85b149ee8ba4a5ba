"""Forgetting by itself: what faded leaves search, and a month later the database."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from mimo.errors import MimoError
from mimo.observability.events import Events
from mimo.services.memory import decay, news
from mimo.services.memory.decay import Fading
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, archive
from mimo.storage.engrams.engram import last_active_day
from mimo.storage.engrams.fading import Idle, erase_old, idle_after, last_swept, note_sweep

log = logging.getLogger(__name__)

EVERY = 3600.0
# After a start, when the last one was longer ago than that: whoever has started mimo is served first.
SOON = 10.0
RESTORABLE_MS = 30 * 86_400_000
PORTION = 5_000
AT_ONCE = 200  # archived or erased in one transaction, between which others write
PAUSE = 0.02
SOON_DAYS = 7.0


@dataclass(frozen=True, slots=True)
class Fate:
    """How much is left of an engram, and for how many active days it stays if nobody uses it."""

    id: int
    left: float
    days: float


class Fade:
    """A supervised child."""

    def __init__(
        self,
        database: Database,
        events: Events,
        *,
        every: float = EVERY,
        soon: float = SOON,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._events = events
        self._every = every
        self._soon = min(soon, every)
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            try:
                await trio.sleep(await self.due_in())
                await self.sweep()
            except MimoError as error:
                log.warning("what fades is left for later: %s", error.message)
                await trio.sleep(self._every)

    async def due_in(self) -> float:
        """Seconds until the next sweep; when the last one was is remembered from start to start."""
        last = await self._database.read(last_swept)
        if last is None:
            return self._soon
        return max(self._soon, min(self._every, self._every - (self._clock() - last) / 1000))

    async def sweep(self) -> list[int]:
        """Archives what has faded, erases what was archived or forgotten long ago. The ids of the archived."""
        now = self._clock()
        due = [fate.id for fate in await self.preview()]
        archived: list[int] = []
        for start in range(0, len(due), AT_ONCE):
            by = By(now, secrets.token_hex(8), "")
            portion = due[start : start + AT_ONCE]
            archived += await self._database.write(archive, portion, by, extra_of, frees=True)
            await trio.sleep(PAUSE)
        if archived:
            self._events.publish(news.Archived(tuple(map(name_of, archived))))
        gone = 0
        while count := await self._database.write(erase_old, now - RESTORABLE_MS, AT_ONCE, frees=True):
            gone += count
            await trio.sleep(PAUSE)
        if gone:
            self._events.publish(news.Gone(gone))
            await self._database.checkpoint()
        await self._database.write(note_sweep, now, frees=True)
        return archived

    async def preview(self) -> list[Fate]:
        """What the next sweep would archive."""
        return await self._with_at_most(0)

    async def at_risk(self, days: float = SOON_DAYS) -> list[Fate]:
        """What will be archived within so many active days, the first first."""
        return sorted(await self._with_at_most(days), key=lambda fate: (fate.days, fate.id))

    async def _with_at_most(self, days: float) -> list[Fate]:
        today, after = await self._database.read(last_active_day), 0
        found: list[Fate] = []
        while portion := await self._database.read(idle_after, after, today, PORTION):
            for idle in portion:
                fading = _fading(idle, today)
                if fading.fades and (left := decay.days_left(fading)) <= days:
                    found.append(Fate(idle.id, decay.retention(fading), left))
            after = portion[-1].id
        return found


def _fading(idle: Idle, today: int) -> Fading:
    return Fading(idle.importance, idle.uses, today - idle.day, idle.rate, bool(idle.protected))
