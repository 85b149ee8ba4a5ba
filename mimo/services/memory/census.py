"""How many memories there are, by what they are: counted now and then, for the dashboard."""

from __future__ import annotations

import trio

from mimo.observability.metrics import Metrics
from mimo.storage.database import Database
from mimo.storage.engrams.engram import count_by_state

# Counting 100,000 takes some milliseconds of a reader.
EVERY = 30.0


class Census:
    """A supervised child. Counts again only what has changed."""

    def __init__(self, database: Database, metrics: Metrics, *, every: float = EVERY) -> None:
        self._database = database
        self._metrics = metrics
        self._every = every

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Raises: Unavailable: the database is not open."""
        task_status.started()
        while True:
            seq = self._database.changed.last
            counts = await self._database.read(count_by_state)
            for state, count in counts.items():
                self._metrics.memories.labels(state).set(count)
            await trio.sleep(self._every)
            await self._database.changed.wait(seq)
