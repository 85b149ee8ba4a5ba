"""In the background: what follows is written down soon after a change, and what has had its time is retired."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from mimo.errors import StorageFull, TooSlow, Unavailable
from mimo.observability.events import Events
from mimo.services.graph import news
from mimo.services.graph.graphs import Concluded, Graphs
from mimo.services.graph.names import name_of
from mimo.storage.database import Database
from mimo.storage.triples.changes import expire, next_expiry, unconcluded

log = logging.getLogger(__name__)

# Whoever teaches usually teaches more in the next moment.
DEBOUNCE = 0.5
# The disk may be full, or the database away for a moment.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Clocks may be set; further ahead than this is looked at again.
LOOK_AGAIN_MS = 3_600_000
AT_ONCE = 500


class Inferring:
    """A supervised child, and what does the same on demand."""

    def __init__(
        self, database: Database, graphs: Graphs, events: Events, *, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._graphs = graphs
        self._events = events
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        pause = PAUSE
        while True:
            seq = self._database.changed.last
            try:
                await self.round()
                due = await self._database.read(next_expiry)
                pause = PAUSE
            except (StorageFull, Unavailable, TooSlow) as error:
                log.warning("conclusions wait: %s", error.message)
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            left = LOOK_AGAIN_MS if due is None else min(max(due - self._clock(), 0), LOOK_AGAIN_MS)
            with trio.move_on_after(left / 1000):
                await self._database.changed.wait(seq)
                await trio.sleep(DEBOUNCE)

    async def round(self) -> None:
        """Retires what is due, and writes down what follows, in every graph that has changed."""
        while gone := await self._database.write(expire, self._clock(), AT_ONCE, frees=True):
            self._events.publish(news.Expired(tuple(map(name_of, gone))))
        for graph in await self._database.read(unconcluded):
            await self.infer(graph)

    async def infer(self, graph: str, *, anew: bool = False) -> Concluded:
        """Everything that follows in a graph is written down when this returns."""
        done = await self._graphs.write_down(graph, self._clock(), anew=anew)
        if done.drawn or done.withdrawn:
            self._events.publish(news.Inferred(graph, done.drawn, done.withdrawn, done.bounded))
        return done
