"""From working memory to memory: every minute each item is judged, and what is over is promoted or gone.

What says the same as an older memory is merged into it on the way.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import trio

from mimo.errors import Unavailable
from mimo.observability.events import Events
from mimo.services.memory import news
from mimo.services.memory.meaning import Meaning
from mimo.services.memory.merging import Merging
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, promote
from mimo.storage.engrams.vectors import vector_of
from mimo.storage.engrams.working import Held, drop_expired, held
from mimo.vector import from_blob

EVERY = 60.0
THRESHOLD = 0.6
# What nobody can compare yet is half new.
NOVELTY_UNKNOWN = 0.5
MANY_USES, LONG_HELD = 10, 300_000


@dataclass(frozen=True, slots=True)
class Judged:
    """An item of working memory, its score, and what becomes of it."""

    id: int
    score: float
    outcome: Literal["promote", "expire", "keep"]


def worth(held_: Held, novelty: float, now: int) -> float:
    """How much an item deserves to stay, from 0 to 1."""
    return (
        0.4 * held_.importance
        + 0.3 * min(1.0, held_.uses / MANY_USES)
        + 0.2 * novelty
        + 0.1 * min(1.0, max(0, now - held_.stored_at) / LONG_HELD)
    )


class Consolidation:
    """A supervised child."""

    def __init__(
        self,
        database: Database,
        meaning: Meaning,
        merging: Merging,
        events: Events,
        *,
        threshold: float = THRESHOLD,
        every: float = EVERY,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._meaning = meaning
        self._merging = merging
        self._events = events
        self._threshold = threshold
        self._every = every
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._merging.begin()
        task_status.started()
        while True:
            await trio.sleep(self._every)
            await self.consolidate()
            await self._merging.look()

    async def consolidate(self, *, dry_run: bool = False) -> list[Judged]:
        """One round. A dry run says what it would do, and does nothing."""
        now = self._clock()
        judged = [await self._judge(each, now) for each in await self._database.read(held)]
        promoted = [each for each in judged if each.outcome == "promote"]
        expired = [each.id for each in judged if each.outcome == "expire"]
        if not dry_run:
            by = By(now, secrets.token_hex(8), "")
            for each in promoted:
                if await self._database.write(promote, each.id, by, extra_of, frees=True):
                    self._events.publish(news.Promoted(name_of(each.id), round(each.score, 4)))
            if expired:
                gone = await self._database.write(drop_expired, expired, now, frees=True)
                self._events.publish(news.Expired(tuple(map(name_of, gone))))
        if judged:
            self._events.publish(news.Consolidated(len(judged), len(promoted), len(expired), dry_run))
        return judged

    async def _judge(self, held_: Held, now: int) -> Judged:
        score = worth(held_, await self._novelty(held_), now)
        if score > self._threshold:
            return Judged(held_.id, score, "promote")
        return Judged(held_.id, score, "expire" if held_.expires_at <= now else "keep")

    async def _novelty(self, held_: Held) -> float:
        """How far it is from the nearest other memory of its namespace."""
        segment = self._meaning.near()
        blob = await self._database.read(vector_of, self._meaning.model, held_.id)
        if segment is None or blob is None:
            return NOVELTY_UNKNOWN
        try:
            near = await segment.nearest(from_blob(blob), 2, groups=[held_.namespace_number])
        except Unavailable:
            return NOVELTY_UNKNOWN
        others = [each.score for each in near if each.id != held_.id]
        return 1 - max(0.0, min(1.0, max(others, default=0.0)))
