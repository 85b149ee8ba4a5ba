"""Where skills wait to be wanted: a daemon without any pays for this page alone."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Protocol

import trio

from mimo.supervision import Supervisor
from mimo.tool import Client, Json, JsonObject

# A person who has just written the file waits for it; a stat costs microseconds.
LOOK = 2.0
METHODS = ("list", "test", "logs", "reload", "approve", "schema", "check")


class Service(Protocol):
    """What there is once skills are wanted."""

    async def run(self) -> None: ...
    def reload_soon(self) -> None: ...
    def watch_again(self) -> None: ...
    async def control(self, method: str, params: JsonObject) -> Json: ...


class Doorstep:
    """`make` builds the service when `path` is there for the first time, or somebody asks; `module` is what it imports then."""

    def __init__(
        self, path: str, supervisor: Supervisor, module: str, make: Callable[[Supervisor], Service]
    ) -> None:
        self._path = path
        self.supervisor = supervisor
        self._module = module
        self._make = make
        self._service: Service | None = None
        self._wanted = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As a supervised child: keeps the skills, from when there are any."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.supervisor.run)
            task_status.started()
            while not self._wanted.is_set() and not self._is_there():
                with trio.move_on_after(LOOK):
                    await self._wanted.wait()
            await (await self._made()).run()

    def reload(self) -> None:
        """Read the file again, soon."""
        if self._service is not None:
            self._service.reload_soon()

    def watch_again(self) -> None:
        """Clients watch other resources than before."""
        if self._service is not None:
            self._service.watch_again()

    def methods(self) -> Mapping[str, Callable[[JsonObject, Client], Awaitable[Json]]]:
        """What our own programs may ask over the socket, which is its owner's alone."""
        return {f"mimo/skills/{name}": self._answering(name) for name in METHODS}

    def _answering(self, name: str) -> Callable[[JsonObject, Client], Awaitable[Json]]:
        async def answer(params: JsonObject, client: Client) -> Json:
            self._wanted.set()
            return await (await self._made()).control(name, params)

        return answer

    def _is_there(self) -> bool:
        return os.path.exists(self._path)

    async def _made(self) -> Service:
        if self._service is None:
            # It takes a tenth of a second, which the loop has better use for.
            await trio.to_thread.run_sync(import_module, self._module)
        if self._service is None:
            self._service = self._make(self.supervisor)
        return self._service
