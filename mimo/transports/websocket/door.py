"""The WebSocket door: how many may stand open, and how it is shut.

What speaks WebSocket is imported when the first client comes: most daemons never see one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from mimo.transports.ports import Address, Port, listeners
from mimo.transports.websocket.exchange import Exchange

if TYPE_CHECKING:
    from mimo.transports.websocket.link import Link

log = logging.getLogger(__name__)

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class SynapseDoor:
    """A supervised child. What keeps it from opening is told, in the log and in `state`, and ends nothing else."""

    def __init__(self, exchange: Exchange, address: Address, keys: Callable[[], int]) -> None:
        """`keys`: how many were made besides the owner's."""
        self._exchange = exchange
        self._open = 0
        self._links: set[Link] = set()
        self._upgrading: set[trio.CancelScope] = set()
        self._accepting = trio.CancelScope()
        self._none_left = trio.Event()
        self._left_at: float | None = None
        self.port = Port("synapse", address, keys)

    @property
    def state(self) -> str:
        return self.port.state

    @property
    def url(self) -> str:
        return self.port.url

    @property
    def connections(self) -> int:
        return self._open

    @property
    def idle_since(self) -> float | None:
        """When the last client left, on Trio's clock; None while one is here."""
        return self._left_at if self.state == "open" else -math.inf

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            await self.port.open(task_status)
            accepted = listeners(self.port.sockets, self.port.tls)
            self._left_at = trio.current_time()
            self._accepting = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._exchange.herald.run)
                nursery.start_soon(self._exchange.pulse.run)
                with self._accepting:
                    await trio.serve_listeners(self._serve, accepted, handler_nursery=nursery)
                await trio.sleep_forever()  # drained: who is still here is answered
        finally:
            self.port.close()

    async def drain(self) -> None:
        """Let nobody in, answer what is in flight, and close each link with 1001. Returns when nobody is left."""
        self.port.drain()
        self._accepting.cancel()
        await trio.lowlevel.checkpoint()
        for scope in self._upgrading:  # nothing was asked yet
            scope.cancel()
        while self._open:
            for link in self._links:
                link.leave()
            self._none_left = trio.Event()
            await self._none_left.wait()

    async def _serve(self, stream: Any) -> None:
        if self._open >= self._exchange.caps.connections:
            await _turn_away(stream)
            return
        from mimo.transports.websocket.connection import meet

        mine: list[Link] = []
        scope = trio.CancelScope()
        self._upgrading.add(scope)

        def opened(link: Link) -> None:
            self._upgrading.discard(scope)
            mine.append(link)
            self._links.add(link)
            if self.state == "draining":
                link.leave()

        self._open += 1
        self._left_at = None
        try:
            with scope:
                await meet(stream, self._exchange, opened)
        except Exception:
            # A bug that one client met must not end the others' connections.
            log.exception("a connection broke")
        finally:
            self._open -= 1
            self._links.difference_update(mine)
            self._upgrading.discard(scope)
            if not self._open:
                self._left_at = trio.current_time()
                self._none_left.set()


async def _turn_away(stream: Any) -> None:
    with trio.move_on_after(1), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if isinstance(stream, trio.SocketStream):  # a handshake is more than we can afford now
            await stream.send_all(_FULL)
    await trio.aclose_forcefully(stream)
