"""What waits to be written to one client: many small frames leave in few writes, and the wait is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import trio

# A reader that is merely busy is given this much room; one that has stopped reading does not get more.
FULL = 8 * 1024 * 1024
# From here on we do not read from this client either, so that its own pipe tells it to wait.
CROWDED = 1024 * 1024
PATIENCE = 30.0
CHUNK = 64 * 1024


class Stalled(Exception):
    """The client does not read what it is sent."""


class Sink(Protocol):
    async def send_all(self, data: bytes | memoryview, /) -> None: ...


class Outbox:
    """Frames in, bytes out, in order. `put` never waits; `room` does, for those who can.

    `run` ends only by cancellation or when the client is lost or stalled. `send_now` writes what goes
    without waiting, and gives how much that was; where a stream has such a thing, `put_last` needs no turn of the loop.
    """

    def __init__(
        self,
        stream: Sink,
        full: int = FULL,
        patience: float = PATIENCE,
        send_now: Callable[[bytes], int] | None = None,
    ) -> None:
        self._stream = stream
        self._full = full
        self._patience = patience
        self._send_now = send_now
        self._writing = False
        self._waiting: list[bytes] = []
        self._size = 0
        self._scope = trio.CancelScope()
        self._news = trio.Event()
        self._room = trio.Event()
        self._room.set()
        self._empty = trio.Event()
        self._empty.set()

    def put(self, frame: bytes) -> None:
        """One frame may be larger than all the room there is, but nothing is added on top of too much."""
        if self._size > self._full:
            self._scope.cancel()
            return
        self._waiting.append(frame)
        self._size += len(frame)
        self._news.set()
        if self._empty.is_set():
            self._empty = trio.Event()
        if self._size > CROWDED and self._room.is_set():
            self._room = trio.Event()

    def put_last(self, frame: bytes) -> None:
        """The last frame of this turn of the loop: it and what waits are written, as far as that goes at once."""
        if self._send_now is None or self._writing or self._size + len(frame) > CHUNK:
            self.put(frame)
            return
        data = b"".join([*self._waiting, frame]) if self._waiting else frame
        self._waiting.clear()
        self._size = 0
        written = self._send_now(data)
        if written < len(data):
            self.put(data[written:])
        else:
            self._empty.set()

    async def room(self) -> None:
        """Until the client has read enough of what it was sent."""
        await self._room.wait()

    async def emptied(self) -> None:
        """Until everything that was put has been written."""
        await self._empty.wait()

    @property
    def crowded(self) -> bool:
        return not self._room.is_set()

    async def run(self) -> None:
        """Raises: Stalled, trio.BrokenResourceError."""
        # One scope for all writes: to make one for each would cost as much as the write.
        with self._scope as scope:
            while True:
                # What others say in this turn of the loop is there before we run again, and leaves with it.
                await self._news.wait()
                self._news = trio.Event()
                if self._waiting:
                    await self._write(scope)
                if not self._waiting:
                    self._empty.set()
        if self._size > self._full:
            raise Stalled(f"{self._size} bytes wait for a client that does not read")
        if self._size:
            raise Stalled(f"nothing was read for {self._patience:g} s")

    async def _write(self, scope: trio.CancelScope) -> None:
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._writing = True
        for start in range(0, len(data), CHUNK):
            if start:  # a large answer to a fast reader must not keep the loop
                await trio.lowlevel.checkpoint()
            part = data[start : start + CHUNK]
            scope.deadline = trio.current_time() + self._patience
            await self._stream.send_all(part)
            scope.deadline = math.inf
            self._sent(len(part))
        self._writing = False

    def _sent(self, size: int) -> None:
        self._size -= size
        if self._size <= CROWDED and not self._room.is_set():
            self._room.set()
