"""The HTTP door: when it stands open, and how it is shut."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from mimo.transports.http.router import Router
from mimo.transports.http.server import MAX_CONNECTIONS, Server
from mimo.transports.ports import Address, Port


class HttpDoor:
    """A supervised child. What keeps it from opening is told, in the log and in `state`, and ends nothing else."""

    def __init__(
        self,
        router: Router,
        address: Address,
        keys: Callable[[], int],
        *,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        """`keys`: how many were made besides the owner's."""
        self._router = router
        self._server = Server(router, connections=connections)
        self.port = Port("http", address, keys)

    @property
    def state(self) -> str:
        return self.port.state

    @property
    def url(self) -> str:
        return self.port.url

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def idle_since(self) -> float | None:
        """When the last client left, on Trio's clock; None while one is here."""
        return self._server.idle_since if self.state == "open" else -math.inf

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            await self.port.open(task_status)
            await self._server.run(self.port.sockets, tls=self.port.tls)
        finally:
            self.port.close()

    async def drain(self) -> None:
        """Let nobody in, end the streams, answer what is in flight."""
        self._router.leave()
        self.port.drain()
        await self._server.drain()
