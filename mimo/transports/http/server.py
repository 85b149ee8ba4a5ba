"""An ASGI application on listening sockets: hypercorn on Trio, with the patience that it lacks.

Nobody else in the house knows hypercorn. What it does not do by itself: give up on a client that dribbles its
head or stops reading, notice at once that an idle client has gone, bound the connections, and be stopped.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from mimo.transports.http.responses import Receive, Send
from mimo.transports.ports import listeners

if TYPE_CHECKING:
    from ssl import SSLContext

log = logging.getLogger(__name__)

App: TypeAlias = "Callable[[Any, Receive, Send], Awaitable[None]]"

MAX_CONNECTIONS = 1000
# A pool keeps its connections for about so long; longer only holds descriptors.
IDLE_SECONDS = 75.0
HEAD_SECONDS = 5.0
# One piece of a response, on its way to a client that reads slowly.
WRITE_SECONDS = 20.0
MAX_HEAD = 32 * 1024
CHUNK = 64 * 1024
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class _Gone(OSError):
    """There is nobody to send it to."""


class Server:
    """Serves the sockets that it is given, which stay open when `run` ends. May run again."""

    def __init__(
        self,
        app: App,
        *,
        connections: int = MAX_CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
        write_seconds: float = WRITE_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.head_seconds = head_seconds
        self.write_seconds = write_seconds
        self._app = app
        self._most = connections
        self._open: set[_Connection] = set()
        self.idle_since: float | None = None  # when the last client left, on Trio's clock; None: one is here
        self._none_left = trio.Event()
        self._accepting = trio.CancelScope()
        self._context = WorkerContext(None)
        self._config = config = Config()
        config.accesslog = None  # hypercorn's goes to stdout, which belongs to the protocol
        config.errorlog = log
        config.keep_alive_timeout = cast("int", idle_seconds)
        config.keep_alive_max_requests = 2**62
        config.h11_max_incomplete_size = MAX_HEAD
        config.include_server_header = False
        config.ssl_handshake_timeout = cast(
            "int", head_seconds
        )  # shaking hands is a head that dribbles in, too

    @property
    def connections(self) -> int:
        return len(self._open)

    async def run(
        self,
        listening: Sequence[socket.socket],
        *,
        tls: SSLContext | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._context = WorkerContext(None)
        self._accepting = trio.CancelScope()
        self.idle_since = trio.current_time()
        async with trio.open_nursery() as nursery:
            task_status.started()
            nursery.start_soon(self._cut_at_the_end)
            with self._accepting:
                await trio.serve_listeners(self._serve, listeners(listening, tls), handler_nursery=nursery)

    async def drain(self) -> None:
        """Accept nobody, close what is idle, let what runs be answered. Returns when nobody is left."""
        self._accepting.cancel()
        await self._context.terminated.set()
        while self._open:
            self._none_left = trio.Event()
            await self._none_left.wait()

    async def _serve(self, stream: Any) -> None:
        if len(self._open) >= self._most:
            await _turn_away(stream)
            return
        connection = _Connection(self, self._app, self._config, self._context, stream)
        self._open.add(connection)
        self.idle_since = None
        try:
            await connection.run()
        except Exception:
            # A bug that one client met must not end the others' connections.
            log.exception("a connection broke")
        finally:
            self._open.discard(connection)
            if not self._open:
                self.idle_since = trio.current_time()
                self._none_left.set()

    async def _cut_at_the_end(self) -> None:
        """When we are cancelled, no write to a client that does not read may hold us up."""
        try:
            await trio.sleep_forever()
        finally:
            for connection in self._open:
                connection.cut()


class _Connection(TCPServer):
    """One client."""

    def __init__(self, server: Server, app: Any, config: Config, context: WorkerContext, stream: Any) -> None:
        super().__init__(cast("Any", self._apply), config, context, cast("Any", ConnectionState({})), stream)
        self._server = server
        self._application = app
        self._is_lost = False
        self._begun = 0  # requests
        self._idle = True
        self._over = False
        self._reading = trio.CancelScope()

    def cut(self) -> None:
        stream: Any = self.stream
        getattr(stream, "transport_stream", stream).socket.close()

    async def _apply(self, scope: Any, receive: Receive, send: Send, *_: object) -> None:
        """The application, with its last words shielded.

        Hypercorn tells a request's end to whoever still listens on `receive` while the last `send` is not yet
        done. An application that then cancels its own would leave the connection busy for ever. And it waits
        for the application to take the rest of a body, which one that has answered does not do.
        """
        has_body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])

        async def receiving() -> Any:
            nonlocal has_body
            message = await receive()
            has_body = has_body and message.get("more_body", False)
            return message

        async def sending(message: dict[str, Any]) -> None:
            if self._is_lost:
                raise _Gone
            if message["type"] != "http.response.body" or message.get("more_body"):
                await send(message)
                return
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._server.write_seconds):
                if not has_body:
                    await send(message)
                    return
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_swallow, receive)
                    await send(message)
                    nursery.cancel_scope.cancel()

        try:
            await self._application(scope, receiving, sending)
        except* _Gone:
            pass  # what the application could not say, nobody waits for

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            async with self.send_lock:
                await self._write(event.data)
            return
        if isinstance(event, Updated):
            self._idle = event.idle
            self._begun += not event.idle
            if event.idle and self._over:  # nobody is there to be waited for
                return
        await super().protocol_send(event)
        if isinstance(event, Closed):
            self._reading.cancel()

    async def _write(self, data: bytes) -> None:
        """Whole, or not at all: a response that breaks off inside a piece is no response."""
        for start in range(0, len(data), CHUNK):
            with trio.move_on_after(self._server.write_seconds, shield=True) as patience:
                try:
                    await self.stream.send_all(data[start : start + CHUNK])
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._lost()
                    return
            if patience.cancelled_caught:
                log.info("hung up on a client that does not read")
                self.cut()
                await self._lost()
                return

    async def _lost(self) -> None:
        self._is_lost = True
        await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        """Until the client leaves, or takes too long over the head of a request."""
        # Hypercorn would change to HTTP/2 whenever a client wants to; none of our bounds were made for that.
        cast("Any", self.protocol.protocol)._check_protocol = _stay
        with self._reading:
            await self._read_requests()
        self._over = True
        await self._lost()
        await self.idle_task.stop()

    async def _read_requests(self) -> None:
        head_due = math.inf
        while True:
            data = b""
            with trio.move_on_at(head_due), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                data = bytes(await self.stream.receive_some(CHUNK))
            if not data:
                break
            before = self._begun
            await self.protocol.handle(RawData(data))
            if not (self._idle and self._begun == before):  # no head is being waited for
                head_due = math.inf
            elif head_due == math.inf:
                head_due = trio.current_time() + self._server.head_seconds


async def _stay(request: Any) -> None:
    """With HTTP/1.1, whatever is asked for."""


async def _swallow(receive: Receive) -> None:
    while True:
        await receive()


async def _turn_away(stream: Any) -> None:
    with trio.move_on_after(1), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if isinstance(stream, trio.SocketStream):  # a handshake is more than we can afford now
            await stream.send_all(_FULL)
    await trio.aclose_forcefully(stream)
