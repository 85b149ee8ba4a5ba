"""Turns made durable, however often that has to be tried: what has happened is not lost because the database is away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from mimo.errors import Conflict, StorageFull, Unavailable
from mimo.services.procedures.happenings import Advanced
from mimo.services.procedures.live import Live, saved_of
from mimo.services.procedures.runs import ENDED, Run
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored

log = logging.getLogger(__name__)

# The database is away, or the disk full; what has happened is kept until it can be saved.
PATIENCE = 1.0


class Saving:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, live: Live, before: Run, advanced: Advanced, *, may_refuse: bool) -> None:
        """As often as it takes. What was durable though its answer was lost is found out by the turn's number.

        Raises:
            Conflict: somebody else has made a turn of this run.
            StorageFull: it may be refused, and there is no room for it.
        """
        saved = saved_of(before, advanced)
        frees = advanced.run.status in ENDED
        while True:
            try:
                await self._database.write(
                    stored.save, live.id, live.turn, saved, advanced.run.saved_at, frees=frees
                )
            except Conflict:
                row = await self.when_there(self._database.read, stored.found, live.id)
                if row is None or row.run != saved.run:
                    live.run = None
                    raise
            except Unavailable as error:
                if may_refuse and isinstance(error, StorageFull):
                    raise
                await _wait(f"run {live.id}", error)
                continue
            live.run = advanced.run
            live.turn += 1
            return

    async def when_there(self, ask: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """What the database says, as soon as it is there."""
        while True:
            try:
                return await ask(*arguments)
            except Unavailable as error:
                await _wait("a run", error)


async def _wait(who: str, error: Unavailable) -> None:
    log.warning("%s waits for the database: %s", who, error)
    await trio.sleep(PATIENCE)
