"""The WebSocket door: its sockets, how many may stand open, and how it is shut.

What speaks WebSocket is imported when the first client comes: most daemons never see one.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from mimo.transports.http.door import AGAIN_SECONDS, Address, listening, reason
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
        self._address = address
        self._keys = keys
        self._open = 0
        self._links: set[Link] = set()
        self._upgrading: set[trio.CancelScope] = set()
        self._bound: Sequence[socket.socket] = ()
        self._port = 0
        self._accepting = trio.CancelScope()
        self._none_left = trio.Event()
        self._left_at: float | None = None
        self.state = "closed"

    @property
    def connections(self) -> int:
        return self._open

    @property
    def idle_since(self) -> float | None:
        """When the last client left, on Trio's clock; None while one is here."""
        return self._left_at if self.state == "open" else -math.inf

    @property
    def url(self) -> str:
        """Where it listens; the port that was chosen, when any would do."""
        scheme = "wss" if self._address.certificate else "ws"
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{scheme}://{host}:{self._port or self._address.port}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        waited = False
        try:
            while not await self._opened():
                if not waited:
                    task_status.started()
                    waited = True
                await trio.sleep(AGAIN_SECONDS)
            listeners: Any = [
                trio.SocketListener(trio.socket.from_stdlib_socket(each.dup())) for each in self._bound
            ]
            if self._address.certificate is not None:
                tls = _tls(*self._address.certificate)
                listeners = [trio.SSLListener(each, tls, https_compatible=True) for each in listeners]
            self._left_at = trio.current_time()
            self._accepting = trio.CancelScope()
            self.state = "open"
            log.info("listening", extra={"url": self.url})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._exchange.herald.run)
                if not waited:
                    task_status.started()
                with self._accepting:
                    await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)
                await trio.sleep_forever()  # drained: who is still here is answered
        finally:
            self.state = "closed"
            self._close()

    async def drain(self) -> None:
        """Let nobody in, answer what is in flight, and close each link with 1001. Returns when nobody is left."""
        if self.state == "open":
            self.state = "draining"
        self._accepting.cancel()
        self._close()
        await trio.lowlevel.checkpoint()
        for scope in self._upgrading:  # nothing was asked yet
            scope.cancel()
        while self._open:
            for link in self._links:
                link.leave()
            self._none_left = trio.Event()
            await self._none_left.wait()

    async def _opened(self) -> bool:
        if (why := self._address.unsafe(self._keys())) is None:
            try:
                self._bound = await listening(self._address.host, self._address.port)
            except OSError as error:
                why = reason(error, self._address, "synapse.port")
        if why is None:
            self._port = self._bound[0].getsockname()[1]
            return True
        if self.state != f"not opened: {why}":  # once, not every time that we look again
            log.error("the WebSocket door stays shut: %s", why)
        self.state = f"not opened: {why}"
        return False

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

    def _close(self) -> None:
        for each in self._bound:
            each.close()
        self._bound = ()


async def _turn_away(stream: Any) -> None:
    with trio.move_on_after(1), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if isinstance(stream, trio.SocketStream):  # a handshake is more than we can afford now
            await stream.send_all(_FULL)
    await trio.aclose_forcefully(stream)


def _tls(chain: str, key: str) -> Any:
    import ssl  # who opens no port for others does not need it

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return context
