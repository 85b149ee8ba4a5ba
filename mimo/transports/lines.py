"""A stream of newline-framed JSON-RPC as a connection: what our socket and our stdio have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import trio

from mimo.errors import MimoError
from mimo.gateway.bugs import broken
from mimo.gateway.sessions import Session
from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import TOO_LONG, Lines, Malformed, Request, parse
from mimo.protocol.mcp.events import Say
from mimo.protocol.mcp.failures import failure
from mimo.protocol.mcp.revisions import NEWEST_LEGACY
from mimo.tool import Client, Json, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.outbox import Outbox, Sink, Stalled
from mimo.transports.peer import Peer
from mimo.transports.pipe import Pipe

# Says a notification before the answer; waits until the client has room for more.
Tell: TypeAlias = Callable[[str, JsonObject], Awaitable[None]]
# Answers requests of our own programs, whose methods begin with `mimo/`. Raises only MimoError.
Control: TypeAlias = Callable[[str, JsonObject, Client, Tell], Awaitable[Json]]
OURS = "mimo/"
CHUNK = 64 * 1024
# A client that has said all it will say gets its last answers for this long.
LAST_ANSWERS = 0.8


class Source(Protocol):
    async def receive_some(self, max_bytes: int, /) -> bytes | bytearray: ...


class Stream(Source, Sink, Protocol):
    """Where lines come from and go to: a `Pipe`, or any stream of Trio's."""


class LineStream:
    """The lines of a byte stream, as many at a time as have come."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._lines = Lines()
        self._ready: deque[bytes | bytearray | Malformed] = deque()
        self._ended = False

    async def one(self) -> bytes | bytearray | Malformed | None:
        """The next line; None at the end. That it is too long is said before it has ended: it may have no end."""
        while not self._ready and not self._ended:
            await self._fill()
            if self._lines.skipping and not self._ready:
                return TOO_LONG
        return self._ready.popleft() if self._ready else None

    async def some(self) -> list[bytes | bytearray | Malformed]:
        """All lines that are there, at least one; none at the end."""
        while not self._ready and not self._ended:
            await self._fill()
        lines = list(self._ready)
        self._ready.clear()
        return lines

    async def _fill(self) -> None:
        try:
            chunk = await self._stream.receive_some(CHUNK)
        except trio.BrokenResourceError:
            chunk = b""
        self._ready.extend(self._lines.feed(chunk))
        if not chunk:
            self._ended = True
            if torn := self._lines.end():
                self._ready.append(torn)


class Connection:
    """One client on a stream, from its first message to its last answer. Cancelling `run` hangs up."""

    def __init__(self, stream: Stream, desk: Desk) -> None:
        self.lines = LineStream(stream)
        self._desk = desk
        self._outbox = Outbox(stream, send_now=stream.send_now if isinstance(stream, Pipe) else None)
        self._leaving = trio.Event()
        self._peer: Peer | None = None

    def say(self, said: Say) -> None:
        # The answer to the only call, or to the last of many, has no other to wait for.
        if said.last and self._peer is not None and self._peer.busy == 1:
            self._outbox.put_last(said.frame + b"\n")
        else:
            self._outbox.put(said.frame + b"\n")

    async def room(self) -> None:
        await self._outbox.room()

    def leave(self) -> None:
        """Read nothing more; answer what is in flight, and hang up."""
        self._leaving.set()

    async def run(
        self, client: Client, principal: str, control: Control | None = None, door: str = "socket"
    ) -> None:
        """Serve this client until it leaves, does not read any more, or we do not want to go on.

        With `control`, requests whose methods begin with `mimo/` are its to answer.

        Raises:
            Stalled: it stopped reading.
            Unavailable: we are going down.
        """
        with self._desk.session(client, door, self.leave) as session:
            await self._serve(client, principal, control, session)

    async def _serve(
        self, client: Client, principal: str, control: Control | None, session: Session | None
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._outbox.run)
                self._peer = peer = Peer(self._desk, self, nursery, client, principal, session)
                with self._desk.present(peer):
                    await self._listen(peer, nursery, control)
                    peer.goodbye()
                    with trio.move_on_after(LAST_ANSWERS):
                        await peer.quiet()
                        await self._outbox.emptied()
                nursery.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass  # it has gone: there is nobody to tell
        except* Stalled as group:
            raise Stalled(str(group.exceptions[0])) from None

    async def _listen(self, peer: Peer, nursery: trio.Nursery, control: Control | None) -> None:
        """Until the client has said all, or we leave."""
        async with trio.open_nursery() as listening:

            async def leave() -> None:
                await self._leaving.wait()
                listening.cancel_scope.cancel()

            listening.start_soon(leave)
            while lines := await self.lines.some():
                for line in lines:
                    message = line if isinstance(line, Malformed) else parse(line)
                    if control and isinstance(message, Request) and message.method.startswith(OURS):
                        nursery.start_soon(self._answer, control, message, peer.client)
                    else:
                        peer.receive(message)
                    if self._outbox.crowded:  # a thousand short questions of one read have long answers
                        await self.room()
            listening.cancel_scope.cancel()

    async def _answer(self, control: Control, request: Request, client: Client) -> None:
        try:
            value = await control(request.method, request.params, client, self._tell)
        except MimoError as error:
            self.say(Say(jsonrpc.error(request.id, failure(error, NEWEST_LEGACY)), request.id))
        except Exception as error:
            told = broken(request.method, error)
            self.say(Say(jsonrpc.error(request.id, failure(told, NEWEST_LEGACY)), request.id))
        else:
            self.say(Say(jsonrpc.encode({"jsonrpc": "2.0", "id": request.id, "result": value}), request.id))

    async def _tell(self, method: str, params: JsonObject) -> None:
        await self.room()
        self.say(Say(jsonrpc.notification(method, dict(params))))
        await trio.lowlevel.checkpoint()
