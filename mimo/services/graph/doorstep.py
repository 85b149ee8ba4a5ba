"""Where the graph waits to be asked: a daemon whose graph nobody uses pays for this page alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from mimo.observability.events import Events
from mimo.services.graph.arguments import Knowledge
from mimo.storage.database import Database
from mimo.storage.triple_changes import next_expiry, unconcluded
from mimo.tool import Answer, Call, Tool

if TYPE_CHECKING:
    from mimo.services.graph.wiring import Wired

MODULE = "mimo.services.graph.wiring"


class Doorstep:
    """The tools, and the child that keeps what follows. The parts behind them are made when they are first needed."""

    def __init__(
        self, database: Database, events: Events, embedder: Any, *, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._events = events
        self._embedder = embedder
        self._clock = clock
        self._made: Wired | None = None
        self._wanted = trio.Event()

    async def made(self) -> Wired:
        """The parts."""
        if self._made is None:
            # It takes some hundredths of a second, which the loop has better use for.
            await trio.to_thread.run_sync(import_module, MODULE)
        if self._made is None:
            from mimo.services.graph.wiring import wired

            self._made = wired(self._database, self._events, self._embedder, clock=self._clock)
            self._wanted.set()
        return self._made

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As a supervised child: what follows from changes is written down, what expires is retired."""
        task_status.started()
        waits = await self._database.read(unconcluded) or await self._database.read(next_expiry) is not None
        if not waits:
            await self._wanted.wait()
        await (await self.made()).inferring.run()

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
