"""What any HTTP server must keep to stand below our door: keep-alive, pipelining, bounds, drain, and no immortal client.

A test module subclasses `DoorContract` and says in `serve` how its server is made. The application is ours and
bare, so the contract knows nothing of routes and keys.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
import trio

# Real time that anything here may take on a loaded machine.
PATIENCE = 20.0
PIECE = b"x" * 65536

App = Callable[[Any, Any, Any], Awaitable[None]]


class Server(Protocol):
    @property
    def connections(self) -> int: ...
    async def run(self, listening: Any, *, task_status: Any) -> None: ...
    async def drain(self) -> None: ...


@dataclass
class Echo:
    """An application with one of each kind of answer, and what has happened to it."""

    go: trio.Event = field(default_factory=trio.Event)
    began: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.began.append(path)
        answer = getattr(self, path.strip("/").partition("/")[0], None)
        await (answer(scope, receive, send) if answer else say(send, b"nothing here", status=404))

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await say(send, body or scope["path"].encode())

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await say(send, b"slow")

    async def watchful(self, scope: Any, receive: Any, send: Any) -> None:
        """Cancels itself when its client leaves, as all of ours do; and answers while it listens."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_with_client, receive, nursery.cancel_scope)
            try:
                if scope["path"].endswith("/slow"):
                    await self.go.wait()
            except trio.Cancelled:
                self.cancelled.append(scope["path"])
                raise
            await say(send, b"watchful")
            nursery.cancel_scope.cancel()

    async def _leave_with_client(self, receive: Any, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def deaf(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers without reading the body."""
        await say(send, b"deaf", status=401)

    async def flood(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})

    async def torn(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a bug")


async def say(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Line:
    """A client that says exactly what it is told to, and reads whole responses."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream  # of bytes; its own, or one that encrypts
        self.rest = b""

    async def say(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(data)

    async def get(self, path: str) -> tuple[int, bytes]:
        await self.say(request(path))
        return await self.response()

    async def response(self) -> tuple[int, bytes]:
        """Status and body of one response with a length."""
        while b"\r\n\r\n" not in self.rest:
            self.rest += await self._more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(self.rest) < length:
            self.rest += await self._more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return status, body

    async def _more(self) -> bytes:
        with trio.fail_after(PATIENCE):
            data = await self.stream.receive_some(65536)
        assert data, f"the server hung up after {self.rest!r}"
        return data

    async def until_hung_up(self) -> bytes:
        """What still comes before the server hangs up."""
        said = self.rest
        with trio.fail_after(PATIENCE):
            try:
                while data := await self.stream.receive_some(65536):
                    said += data
            except trio.BrokenResourceError:
                pass
        return said


def request(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    given = {"host": "localhost", **({"content-length": str(len(body))} if body else {}), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Running:
    """A server that runs, and its application."""

    def __init__(
        self, server: Server, app: Echo, listening: socket.socket, wrap: Callable[[Any], Any]
    ) -> None:
        self.server = server
        self._wrap = wrap
        self.app = app
        self.port = listening.getsockname()[1]
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Line]:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            yield Line(self._wrap(stream))

    async def emptied(self) -> None:
        """Until the server has no connections."""
        with trio.fail_after(PATIENCE):
            while self.server.connections:  # noqa: ASYNC110 (a server tells nobody)
                await trio.sleep(0.005)

    async def until(self, happened: Callable[[], object]) -> None:
        with trio.fail_after(PATIENCE):
            while not happened():  # noqa: ASYNC110
                await trio.sleep(0.005)


class DoorContract:
    full = b" 503 "  # what one too many is told

    def serve(self, app: App, **limits: Any) -> Server:
        """The server under test. `limits`: head_seconds, write_seconds, idle_seconds, connections."""
        raise NotImplementedError

    def wrap(self, stream: trio.SocketStream) -> Any:
        """What a client says goes through this: nothing, unless the server encrypts."""
        return stream

    @asynccontextmanager
    async def running(self, **limits: Any) -> AsyncIterator[Running]:
        app = Echo()
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            running = Running(self.serve(app, **limits), app, listening, self.wrap)

            async def run(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
                with running.scope:
                    await running.server.run([listening], task_status=task_status)
                running.ended.set()

            async with trio.open_nursery() as nursery:
                await nursery.start(run)
                yield running
                with trio.fail_after(PATIENCE):
                    running.scope.cancel()
                    await running.ended.wait()

    async def test_a_connection_serves_many_requests(self) -> None:
        async with self.running() as door, door.client() as line:
            for number in range(1200):  # some servers hang up after a thousand
                path = f"/echo/{number}"
                assert await line.get(path) == (200, path.encode())

    @pytest.mark.parametrize("path", ["/echo", "/watchful"])
    async def test_a_connection_is_idle_again_after_a_response(self, path: str) -> None:
        async with self.running(idle_seconds=0.05) as door, door.client() as line:
            await line.get(path)
            assert await line.until_hung_up() == b""
            await door.emptied()

    async def test_pipelined_requests_are_answered_in_their_order(self) -> None:
        async with self.running() as door, door.client() as line:
            await line.say(b"".join(request(f"/echo/{number}") for number in range(20)))
            for number in range(20):
                assert await line.response() == (200, f"/echo/{number}".encode())

    @pytest.mark.parametrize("path", ["/echo", "/deaf"])
    async def test_requests_with_bodies_may_be_pipelined_too(self, path: str) -> None:
        async with self.running() as door, door.client() as line:
            await line.say(request(path, "POST", b"body") * 3 + request("/echo"))
            for _ in range(3):
                assert await line.response() == ((200, b"body") if path == "/echo" else (401, b"deaf"))
            assert await line.response() == (200, b"/echo")

    async def test_requests_may_come_byte_by_byte(self) -> None:
        async with self.running() as door, door.client() as line:
            for byte in request("/echo", "POST", b"body"):
                await line.say(bytes([byte]))
            assert await line.response() == (200, b"body")

    async def test_a_client_that_leaves_is_noticed_while_its_call_runs(self) -> None:
        async with self.running() as door:
            async with door.client() as line:
                await line.say(request("/watchful/slow"))
                await door.until(lambda: door.app.began)
            await door.until(lambda: door.app.cancelled == ["/watchful/slow"])
            await door.emptied()

    async def test_a_client_that_leaves_while_idle_is_forgotten_at_once(self) -> None:
        async with self.running(idle_seconds=3600) as door:
            async with door.client() as line:
                await line.get("/watchful")
            await door.emptied()

    async def test_a_head_that_dribbles_in_is_not_waited_for(self) -> None:
        async with self.running(head_seconds=0.2) as door, door.client() as line:
            await line.get("/echo")
            await line.say(b"GET /echo HTTP/1.1\r\n")
            hung_up = trio.Event()

            async def dribble() -> None:
                while not hung_up.is_set():
                    try:
                        await line.stream.send_all(b"x: y\r\n")
                    except trio.BrokenResourceError:
                        return
                    await trio.sleep(0.02)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(dribble)
                await line.until_hung_up()
                hung_up.set()
            await door.emptied()

    async def test_a_client_that_stops_reading_is_given_up(self) -> None:
        async with self.running(write_seconds=0.2) as door, door.client() as line:
            await line.say(request("/flood"))
            await door.until(lambda: door.app.began)
            await door.emptied()

    async def test_a_client_that_stops_reading_holds_up_no_stop(self) -> None:
        async with self.running(write_seconds=3600) as door, door.client() as line:
            await line.say(request("/flood"))
            await door.until(lambda: door.app.began)
            await trio.sleep(0.05)  # until the pipe is full
            with trio.fail_after(PATIENCE):
                door.scope.cancel()
                await door.ended.wait()

    async def test_a_body_that_nobody_reads_holds_nothing_up(self) -> None:
        async with self.running() as door, door.client() as line:
            async with trio.open_nursery() as nursery:

                async def post() -> None:
                    with suppress(trio.BrokenResourceError):
                        await line.stream.send_all(request("/deaf", "POST", b"x" * 8_000_000))

                nursery.start_soon(post)
                await line.until_hung_up()
            await door.emptied()

    async def test_a_response_that_breaks_off_does_not_look_whole(self) -> None:
        async with self.running() as door, door.client() as line:
            await line.say(request("/torn"))
            said = await line.until_hung_up()
            assert b"half" in said
            assert not said.endswith(b"0\r\n\r\n")
            assert (await line_of(door, "/echo")) == (200, b"/echo")

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
            b"POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"GET /echo HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
            b"\r\n" * 10_000,
        ],
    )
    async def test_garbage_ends_its_own_connection_only(self, garbage: bytes) -> None:
        async with self.running(head_seconds=0.2, idle_seconds=0.5) as door, door.client() as line:
            async with trio.open_nursery() as nursery:

                async def speak() -> None:
                    with suppress(trio.BrokenResourceError):
                        await line.stream.send_all(garbage)

                nursery.start_soon(speak)
                said = await line.until_hung_up()
            assert not said or said.split(b" ")[1][:1] == b"4"
            await door.emptied()
            assert (await line_of(door, "/echo")) == (200, b"/echo")

    async def test_there_is_one_protocol_only(self) -> None:
        """What bounds HTTP/1.1 need not bound another."""
        async with self.running(head_seconds=0.2, idle_seconds=0.5) as door:
            async with door.client() as line:
                settings = {"connection": "upgrade, http2-settings", "http2-settings": "AAMAAABkAAQAAP__"}
                await line.say(request("/echo", upgrade="h2c", **settings))
                assert await line.response() == (200, b"/echo")
            async with door.client() as line:
                await line.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                assert (await line.until_hung_up())[:10] in {b"", b"HTTP/1.1 4"}
            await door.emptied()

    async def test_a_drain_closes_what_is_idle_and_answers_what_runs(self) -> None:
        async with self.running() as door, door.client() as idle, door.client() as busy:
            await idle.get("/watchful")
            await busy.say(request("/slow"))
            await door.until(lambda: "/slow" in door.app.began)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(door.server.drain)
                assert await idle.until_hung_up() == b""
                door.app.go.set()
                assert await busy.response() == (200, b"slow")
                assert await busy.until_hung_up() == b""

    async def test_it_may_run_again(self) -> None:
        async with self.running() as door:
            door.scope.cancel()
            await door.ended.wait()
        async with self.running() as door:
            assert (await line_of(door, "/echo")) == (200, b"/echo")

    async def test_too_many_connections_are_refused_at_once_and_disturb_nobody(self) -> None:
        async with self.running(connections=2) as door, door.client() as one, door.client() as two:
            await one.get("/echo")
            await two.get("/echo")
            async with door.client() as three:
                assert self.full in await three.until_hung_up()
            assert await one.get("/echo") == (200, b"/echo")


async def line_of(door: Running, path: str) -> tuple[int, bytes]:
    async with door.client() as line:
        return await line.get(path)
