"""One open WebSocket: what is to be sent waits in a bounded backlog, dead peers are noticed, and it closes in good order.

What trio-websocket does not do by itself: ping, bound what waits for a slow reader, tell why it closes. And what is
said goes around it, straight to the kernel while that takes it: a broadcast wakes no task for each who hears it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from mimo.transports.websocket.backlog import Backlog, Lost, Weight

PONG_SECONDS = 20.0
# One message, on its way to a client that reads slowly.
WRITE_SECONDS = 20.0
# So much of what waits is written at once.
BATCH = 64 * 1024
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
        stream: Wire,
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
        self._writes_nothing = False
        self._doing = trio.CancelScope()
        self._hearing: trio.CancelScope | None = None
        self._nursery: trio.Nursery | None = None
        self._pinging = False
        self._code: tuple[int, str] | None = None
        self._abrupt = False
        self._cut = False
        self.leaving = False
        self.still_welcome: Callable[[], bool] = lambda: True  # asked with every ping

    def say(self, text: str, weight: Weight = Weight.RESULT) -> None:
        """Queue a message. Never waits; whoever reads too slowly for its results is hung up on."""
        if self._code is not None and self._abrupt:
            return
        if self._writes_nothing and self._stream.write_now(framed(text)):
            if self._stream.torn:
                self._news.set()
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

    def ping(self) -> None:
        """Is the peer there, and still welcome? Never waits; who does not answer is hung up on."""
        if not self.still_welcome():
            self.hang_up(NOT_ALLOWED, "this key opens nothing any more")
        elif self._nursery is not None and not self._pinging:
            self._pinging = True
            self._nursery.start_soon(self._ping)

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
                self._nursery = nursery
                nursery.start_soon(self._write)
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
            self._nursery = None
            code, reason = self._code or (GOING_AWAY, "mimo is going down")
            if not self._cut:
                with trio.move_on_after(CLOSE_SECONDS, shield=True):
                    cropped = reason.encode()[:MOST_REASON].decode(errors="ignore")
                    await self._socket.aclose(code, cropped or None)
            await trio.aclose_forcefully(self._stream)

    async def _write(self) -> None:
        try:
            while not self._abrupt:
                frames = self._next_frames()
                if not frames and not self._stream.torn:
                    if self._code is not None:
                        break
                    self._news, self._writes_nothing = trio.Event(), True
                    await self._news.wait()
                    self._writes_nothing = False
                    continue
                with trio.move_on_after(WRITE_SECONDS) as patience:
                    await self._stream.send_all(frames)
                if patience.cancelled_caught:
                    self._give_up()
                if not self._backlog.crowded:
                    self._room.set()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._doing.cancel()
        finally:
            self._writes_nothing = False
            self._written.set()
            self._room.set()

    def _next_frames(self) -> bytes:
        """As much of what waits as is written at once."""
        frames, size = list[bytes](), 0
        while size < BATCH and (text := self._next()) is not None:
            frames.append(framed(text))
            size += len(frames[-1])
        return b"".join(frames)

    def _next(self) -> str | None:
        """What is sent next; what was left out is told as soon as anything can be."""
        lost = self._backlog.take_lost()
        if lost is not None and self._missed is not None:
            return self._missed(lost)
        return self._backlog.take()

    async def _ping(self) -> None:
        with trio.move_on_after(PONG_SECONDS) as patience:
            try:
                await self._socket.ping()
            except ConnectionClosed:
                return
            finally:
                self._pinging = False
        if patience.cancelled_caught:
            self._give_up()

    def _give_up(self) -> None:
        """The peer neither reads nor answers: it would not see a goodbye either."""
        self._cut = True
        self.hang_up(TRY_LATER, "")


class Wire(trio.abc.Stream):
    """The stream below a WebSocket, on which we write beside trio-websocket: whole frames, never one within another.

    It also tells when it has ended: before the upgrade trio-websocket would keep that to itself.
    """

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._plain: Any = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._writing = trio.StrictFIFOLock()
        self.on_end = on_end
        self.torn = b""  # the rest of a frame that the kernel did not take whole
        try:
            inner: Any = getattr(stream, "transport_stream", stream)
            self.peer: str = str(inner.socket.getpeername()[0])
        except OSError:
            self.peer = "?"  # gone before it was asked

    def write_now(self, frame: bytes) -> bool:
        """Write without waiting. False: nothing was written. What the kernel takes in part is `torn`, and goes on first."""
        if self._plain is None or self.torn or self._writing.locked():
            return False
        try:
            taken = os.write(self._plain.fileno(), frame)
        except OSError:  # it is full, or broken, which who waits will find out
            return False
        self.torn = frame[taken:]
        return True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        async with self._writing:
            torn, self.torn = self.torn, b""
            await self._stream.send_all(torn + data if torn else data)

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


def framed(text: str) -> bytes:
    """A whole text message as a server writes it: one frame, not masked."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)
