"""One open WebSocket: what is to be sent waits in a bounded backlog, dead peers are noticed, and it closes in good order.

What trio-websocket does not do by itself: ping, bound what waits for a slow reader, tell why it closes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from mimo.transports.websocket.backlog import Backlog, Lost, Weight

# A peer that says nothing for a ping and its patience is gone: 40 s, and never more than 60.
PING_SECONDS = 20.0
PONG_SECONDS = 20.0
# One message, on its way to a client that reads slowly.
WRITE_SECONDS = 20.0
# For what was said last, and for the peer's part in closing.
LAST_WORDS_SECONDS = 2.0
CLOSE_SECONDS = 0.5
MOST_REASON = 120  # bytes; a close frame has 125 for code and reason

GOING_AWAY, NOT_TEXT, NOT_ALLOWED, TOO_LARGE, BROKEN, TRY_LATER = 1001, 1003, 1008, 1009, 1011, 1013


class Left(Exception):
    """Nothing more will be heard: the peer has gone, or we are leaving."""


class Link:
    """`say` never waits. What `run` is given to do ends when the peer has gone or we hang up."""

    def __init__(
        self,
        socket: WebSocketConnection,
        stream: trio.abc.Stream,
        *,
        most: int,
        missed: Callable[[Lost], str] | None = None,
    ) -> None:
        """`most`: bytes in one message. `missed` words what a slow reader is told of what was left out."""
        self._socket = socket
        self._stream = stream
        self._most = most
        self._missed = missed
        self._backlog = Backlog()
        self._news = trio.Event()
        self._room = trio.Event()
        self._written = trio.Event()
        self._doing = trio.CancelScope()
        self._hearing: trio.CancelScope | None = None
        self._code: tuple[int, str] | None = None
        self._abrupt = False
        self._cut = False
        self.leaving = False
        self.still_welcome: Callable[[], bool] = lambda: True  # asked with every ping

    def say(self, text: str, weight: Weight = Weight.RESULT) -> None:
        """Queue a message. Never waits; whoever reads too slowly for its results is hung up on."""
        if self._code is not None and self._abrupt:
            return
        if not self._backlog.put(text, weight):
            self.hang_up(TRY_LATER, "you read too slowly: results would have been lost")
        self._news.set()

    async def room(self) -> None:
        """Until the peer has read enough of what it was sent before."""
        await trio.lowlevel.checkpoint()
        while self._backlog.crowded and not self._written.is_set():
            self._room = trio.Event()
            await self._room.wait()

    async def hear(self) -> str:
        """The next message. Raises: Left."""
        if self.leaving or self._code is not None:
            raise Left
        if self._backlog.crowded:
            await self.room()
        message: str | bytes | None = None
        with trio.CancelScope() as self._hearing:
            try:
                message = await self._socket.get_message()
            except ConnectionClosed:
                raise Left from None
        if message is None:
            raise Left
        if isinstance(message, bytes):
            self.hang_up(NOT_TEXT, "text frames only")
            raise Left
        if len(message) > self._most // 4 and len(message.encode("utf-8", "replace")) > self._most:
            self.hang_up(TOO_LARGE, f"a message has at most {self._most} bytes")
            raise Left
        return message

    def leave(self) -> None:
        """Hear nothing more; what runs is answered, and then the link closes with 1001."""
        self.leaving = True
        if self._hearing is not None:
            self._hearing.cancel()

    def hang_up(self, code: int, reason: str) -> None:
        """End now: nothing more is answered."""
        if self._code is None:
            self._code, self._abrupt = (code, reason), True
        self._doing.cancel()
        self._news.set()

    async def run(self, do: Callable[[], Awaitable[None]]) -> None:
        """Talk until it ends, and close. Cancelling it closes with 1001."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._ping)
                with self._doing:
                    await do()
                if self._code is None:
                    self._code = (GOING_AWAY, "mimo is going down") if self.leaving else (1000, "")
                self._news.set()
                with trio.move_on_after(LAST_WORDS_SECONDS) as patience:
                    await self._written.wait()
                self._cut |= patience.cancelled_caught  # in the middle of a message there is no other
                nursery.cancel_scope.cancel()
        finally:
            code, reason = self._code or (GOING_AWAY, "mimo is going down")
            if not self._cut:
                with trio.move_on_after(CLOSE_SECONDS, shield=True):
                    cropped = reason.encode()[:MOST_REASON].decode(errors="ignore")
                    await self._socket.aclose(code, cropped or None)
            await trio.aclose_forcefully(self._stream)

    async def _write(self) -> None:
        try:
            while not self._abrupt:
                text = self._next()
                if text is None:
                    if self._code is not None:
                        break
                    self._news = trio.Event()
                    await self._news.wait()
                    continue
                with trio.move_on_after(WRITE_SECONDS) as patience:
                    await self._socket.send_message(text)
                if patience.cancelled_caught:
                    self._give_up()
                if not self._backlog.crowded:
                    self._room.set()
        except ConnectionClosed:
            self._doing.cancel()
        finally:
            self._written.set()
            self._room.set()

    def _next(self) -> str | None:
        """What is sent next; what was left out is told as soon as anything can be."""
        lost = self._backlog.take_lost()
        if lost is not None and self._missed is not None:
            return self._missed(lost)
        return self._backlog.take()

    async def _ping(self) -> None:
        while True:
            await trio.sleep(PING_SECONDS)
            if not self.still_welcome():
                self.hang_up(NOT_ALLOWED, "this key opens nothing any more")
            with trio.move_on_after(PONG_SECONDS) as patience:
                try:
                    await self._socket.ping()
                except ConnectionClosed:
                    return
            if patience.cancelled_caught:
                self._give_up()

    def _give_up(self) -> None:
        """The peer neither reads nor answers: it would not see a goodbye either."""
        self._cut = True
        self.hang_up(TRY_LATER, "")


class Wire(trio.abc.Stream):
    """A stream that tells when it has ended: before the upgrade trio-websocket would keep that to itself."""

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self.on_end = on_end
        try:
            inner: Any = getattr(stream, "transport_stream", stream)
            self.peer: str = str(inner.socket.getpeername()[0])
        except OSError:
            self.peer = "?"  # gone before it was asked

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.on_end()
            raise
        if not data:
            self.on_end()
        return data

    async def aclose(self) -> None:
        self.on_end()
        await self._stream.aclose()
