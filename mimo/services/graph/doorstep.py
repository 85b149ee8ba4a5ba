"""Where the graph waits to be asked: a daemon whose graph nobody uses pays for this page alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from mimo.observability.events import Events
from mimo.services.graph.arguments import Knowledge
from mimo.storage.database import Database
from mimo.storage.triples.changes import graphs, next_expiry, unconcluded
from mimo.tool import Answer, Call, Client, Tool

if TYPE_CHECKING:
    from mimo.services.graph.wiring import Wired

MODULE = "mimo.services.graph.wiring"
# A search over everything asks so many graphs.
MOST_GRAPHS = 8


class Doorstep:
    """The tools, and the child that keeps what follows. The parts behind them are made when they are first needed."""

    def __init__(
        self,
        database: Database,
        events: Events,
        embedder: Any,
        memories: Any = None,
        reader: Callable[[], Any] | None = None,
        *,
        clock: Callable[[], int],
    ) -> None:
        """`embedder` and `memories` are asked where names and facts do not suffice, what `reader` makes where a text
        says more than its forms (see wiring.py)."""
        self._database = database
        self._events = events
        self._embedder = embedder
        self._memories = memories
        self._reader = reader
        self._clock = clock
        self._made: Wired | None = None
        self._wanted = trio.Event()
        self._empty_at = -1  # as of this change there were no graphs

    async def made(self) -> Wired:
        """The parts."""
        if self._made is None:
            # It takes some hundredths of a second, which the loop has better use for.
            await trio.to_thread.run_sync(import_module, MODULE)
        if self._made is None:
            from mimo.services.graph.wiring import wired

            reader = None if self._reader is None else self._reader()
            self._made = wired(
                self._database, self._events, self._embedder, self._memories, reader, clock=self._clock
            )
            self._wanted.set()
        return self._made

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As a supervised child: what follows from changes is written down, what expires is retired."""
        task_status.started()
        waits = await self._database.read(unconcluded) or await self._database.read(next_expiry) is not None
        if not waits:
            await self._wanted.wait()
        await (await self.made()).inferring.run()

    async def also(self, text: str, namespaces: Sequence[str] | None) -> tuple[Sequence[str], Sequence[int]]:
        """What the graphs of these namespaces (None: of all) know of a question to the memory: more words for what
        it names, and memories that facts about it come from. Nothing where nothing was ever taught."""
        if not (wanted := await self._there(namespaces)):
            return (), ()
        return await (await self.made()).observing.also(text, wanted[:MOST_GRAPHS])

    async def suggested(
        self, text: str, namespace: str, client: Client
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """At most two sure facts that bear on what is talked about, each as a line and as data."""
        if not await self._there([namespace]):
            return ()
        return await (await self.made()).observing.offered(text, namespace, client)

    async def names_in(self, text: str, graph: str) -> Sequence[str] | None:
        """The things of this graph that a text names; None where there is no such graph."""
        if not await self._there([graph]):
            return None
        return await (await self.made()).observing.named_in(text, graph)

    async def _there(self, namespaces: Sequence[str] | None) -> list[str]:
        """Which of these have a graph. Where none has, that is known until something changes."""
        if self._made is None and self._empty_at == self._database.changed.last:
            await trio.lowlevel.checkpoint()
            return []
        there = await self._database.read(graphs)
        self._empty_at = -1 if there else self._database.changed.last
        return [graph for graph in there if namespaces is None or graph in namespaces]

    def tools(self) -> Sequence[Tool]:
        return [
            Tool("knowledge", Knowledge, self._knowledge, title="Knowledge graph", writes=True),
            Tool("knowledge_ask", Knowledge, self._ask, title="Ask the graph", idempotent=True, listed=False),
        ]

    async def _knowledge(self, asked: Knowledge, call: Call) -> Answer:
        return await (await self.made()).service.knowledge(asked, call)

    async def _ask(self, asked: Knowledge, call: Call) -> Answer:
        """The operations that change nothing."""
        return await (await self.made()).service.asked_only(asked, call)
