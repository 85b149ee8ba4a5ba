"""Where procedures wait to be asked: a daemon that has none pays for this page and the tool's arguments alone."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import trio

from mimo.observability.events import Events
from mimo.services.procedures.arguments import Look, Procedure
from mimo.storage.database import Database
from mimo.storage.procedures.definitions import any_defined
from mimo.tool import Answer, Call, Capacity, Client, Json, JsonObject, Tool

if TYPE_CHECKING:
    from prometheus_client import Gauge

    from mimo.services.procedures.calling import CallTool, Find
    from mimo.services.procedures.wiring import Wired

MODULE = "mimo.services.procedures.wiring"
# Longer than anybody may wait for a run's end.
SECONDS = 320.0
# A folder that somebody makes while nobody uses procedures is noticed so much later at most.
LOOK_SECONDS = 30.0
# Whoever asks first waits for the runs of before to go on.
PATIENCE = 10.0


class Tell(Protocol):
    def __call__(self, method: str, params: JsonObject, /) -> Awaitable[None]: ...


class Doorstep:
    """The tool, and the child that keeps the runs. The parts behind them are made when they are first needed."""

    def __init__(
        self,
        database: Database,
        events: Events,
        call: CallTool,
        find: Find,
        folder: str,
        **more: Any,
    ) -> None:
        """As `wired` takes them. `folder` holds definitions as files; it need not be there."""
        self._database = database
        self._folder = folder
        self._given = (database, events, call, find, folder)
        self._more = more
        self._made: Wired | None = None
        self._wanted = trio.Event()
        self._running = trio.Event()

    async def made(self) -> Wired:
        """The parts."""
        if self._made is None:
            # It takes some hundredths of a second, which the loop has better use for.
            await trio.to_thread.run_sync(import_module, MODULE)
        if self._made is None:
            from mimo.services.procedures.wiring import wired

            self._made = wired(*self._given, **self._more)
            self._wanted.set()
        return self._made

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As a supervised child: every run goes on where it was, and the folder is followed."""
        task_status.started()
        self._running = trio.Event()
        if not await self._database.read(any_defined):
            while not self._wanted.is_set() and not self._has_folder():
                with trio.move_on_after(LOOK_SECONDS):
                    await self._wanted.wait()
        parts = await self.made()
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.runner.run)
            self._running.set()
            nursery.start_soon(parts.folder.run)

    def tools(self) -> Sequence[Tool]:
        return [
            Tool(
                "procedure",
                Procedure,
                self._use,
                title="Procedures",
                writes=True,
                capacity=Capacity.LIGHT,  # whoever waits for a run holds no place that its actions need
                seconds=SECONDS,
            ),
            Tool(
                "procedure_look",
                Look,
                self._look,
                title="Look at procedures",
                idempotent=True,
                capacity=Capacity.LIGHT,
                listed=False,
            ),
        ]

    def refused(self) -> Mapping[str, str]:
        """The files of the folder that define nothing, and the first reason why."""
        return {} if self._made is None else self._made.folder.refused

    def measure(self, gauge: Gauge) -> None:
        """Bring the gauge up to date."""
        if self._made is not None:
            runner = self._made.runner
            for what, count in (
                ("running", runner.places.running),
                ("pending", runner.places.waiting),
                ("timed", len(runner.timers)),
            ):
                gauge.labels(what).set(count)

    def streams(self) -> Mapping[str, Callable[[JsonObject, Client, Tell], Awaitable[Json]]]:
        return {"mimo/procedure_watch": self._watch}

    async def _use(self, asked: Procedure, call: Call) -> Answer:
        return await (await self._ready()).service.use(asked, call)

    async def _look(self, asked: Look, call: Call) -> Answer:
        """The operations that change nothing."""
        return await (await self._ready()).service.look(asked, call)

    async def _watch(self, params: JsonObject, client: Client, tell: Tell) -> Json:
        return await (await self._ready()).controls.watch(params, client, tell)

    def _has_folder(self) -> bool:
        return os.path.isdir(self._folder)

    async def _ready(self) -> Wired:
        parts = await self.made()
        with trio.move_on_after(PATIENCE):
            await self._running.wait()
        return parts
