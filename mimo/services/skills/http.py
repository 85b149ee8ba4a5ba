"""One HTTP/1.1 server, asked by several at once: connections are kept and used again, bodies come as they arrive."""

from __future__ import annotations

import select
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11
import trio
import trio.abc

from mimo.errors import Unavailable

CHUNK = 1 << 16
# To reach a server at all; what it then does has the caller's deadline.
CONNECT = 10.0
KEPT = 8


class Reply:
    """The head of an answer, and its body for as long as the request's block lasts."""

    def __init__(self, connection: _Connection, response: h11.Response) -> None:
        self.status = response.status_code
        self.headers = {name.decode("ascii"): value.decode("latin-1") for name, value in response.headers}
        self._connection = connection

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises: Unavailable: it was cut off."""
        while True:
            event = await self._connection.event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return

    async def body(self, most: int) -> bytes:
        """Raises: Unavailable: it was cut off, or is larger than `most`."""
        whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            if len(whole) > most:
                raise Unavailable(f"an answer of more than {most} bytes was not read to its end")
        return bytes(whole)


class _Connection:
    def __init__(self, stream: trio.abc.Stream, plain: trio.SocketStream) -> None:
        self._stream = stream
        self._plain = plain
        self._h11 = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> h11.Response:
        request = h11.Request(method=method, target=target, headers=list(headers.items()))
        sent = [request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
        data = b"".join(self._h11.send(event) or b"" for event in sent)
        await self._stream.send_all(data)
        while True:
            event = await self.event()
            if isinstance(event, h11.Response):
                return event

    async def event(self) -> h11.Event:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self._stream.receive_some(CHUNK)))
            elif isinstance(event, h11.ConnectionClosed | type(h11.PAUSED)):
                raise h11.RemoteProtocolError("closed before it had answered")
            else:
                assert isinstance(event, h11.Event)
                return event

    def reusable(self) -> bool:
        """The last answer was read to its end, and the other side has not hung up."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            return True
        return False

    def there(self) -> bool:
        """False: it has hung up, or says what nobody asked for."""
        poll = select.poll()
        poll.register(self._plain.socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._plain.socket.close()


class Http:
    """`async with http.request(...) as reply`. `url` is where all requests go."""

    def __init__(self, url: str) -> None:
        """Raises: Unavailable: it is no address."""
        self.url = url
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Unavailable(f"{url!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unavailable(f"{url!r} is no address of http or https")
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, port or (443 if self._tls else 80)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._name = host if port is None else f"{host}:{port}"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._kept: list[_Connection] = []

    @asynccontextmanager
    async def request(self, method: str, headers: Mapping[str, str], body: bytes) -> AsyncGenerator[Reply]:
        """Raises: Unavailable: nobody there, or it was cut off; also from within the block."""
        said = {"Host": self._name, **headers}
        if body or method == "POST":
            said["Content-Length"] = str(len(body))
        connection: _Connection | None = None
        whole = False
        try:
            connection = self._taken() or await self._connected()
            yield Reply(connection, await connection.ask(method, self._target, said, body))
            whole = connection.reusable()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError) as error:
            why = str(error.__cause__ or error) or type(error).__name__
            unsent = {} if connection is not None else {"done": False}
            raise Unavailable(f"{self.url} did not answer: {why}", **unsent) from error
        finally:
            if connection is not None:
                if whole and len(self._kept) < KEPT:
                    self._kept.append(connection)
                else:
                    connection.close()

    def close(self) -> None:
        """Hang up all connections that nobody uses."""
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    def _taken(self) -> _Connection | None:
        while self._kept:
            connection = self._kept.pop()
            if connection.there():
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        with trio.move_on_after(CONNECT):
            plain = await trio.open_tcp_stream(self._host, self._port)
            if not self._tls:
                return _Connection(plain, plain)
            import ssl  # most skills are programs, and need none of it

            from mimo.trust import trusted

            stream = trio.SSLStream(plain, await trusted(), server_hostname=self._host, https_compatible=True)
            try:
                await stream.do_handshake()
            except (ssl.SSLError, trio.BrokenResourceError) as error:
                plain.socket.close()
                raise Unavailable(f"{self.url}: {error.__cause__ or error}", done=False) from error
            return _Connection(stream, plain)
        raise Unavailable(f"{self.url} cannot be reached within {CONNECT:g} s", done=False)
