"""Forgetting by itself: what faded leaves search, and a month later the database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from mimo.observability.events import Events
from mimo.services.memory import decay, news
from mimo.services.memory.decay import Fading
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, archive
from mimo.storage.engrams.engram import last_active_day
from mimo.storage.engrams.fading import Idle, erase_old, idle_after

EVERY = 3600.0
RESTORABLE_MS = 30 * 86_400_000
PORTION = 5_000
AT_ONCE = 200  # archived or erased in one transaction, between which others write
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
        self, database: Database, events: Events, *, every: float = EVERY, clock: Callable[[], int] = now_ms
    ) -> None:
        self._database = database
        self._events = events
        self._every = every
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await trio.sleep(self._every)
            await self.sweep()

    async def sweep(self) -> list[int]:
        """Archives what has faded, erases what was archived or forgotten long ago. The ids of the archived."""
        now = self._clock()
        due = [fate.id for fate in await self.preview()]
        archived: list[int] = []
        for start in range(0, len(due), AT_ONCE):
            by = By(now, secrets.token_hex(8), "")
            portion = due[start : start + AT_ONCE]
            archived += await self._database.write(archive, portion, by, extra_of, frees=True)
        if archived:
            self._events.publish(news.Archived(tuple(map(name_of, archived))))
        gone = 0
        while count := await self._database.write(erase_old, now - RESTORABLE_MS, AT_ONCE, frees=True):
            gone += count
        if gone:
            self._events.publish(news.Gone(gone))
            await self._database.checkpoint()
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
