"""The frames that wait to be sent on one response, in a bounded room."""

from __future__ import annotations

from collections import deque

import trio

from mimo.protocol.mcp.events import Say
from mimo.transports.outbox import CROWDED, FULL


class Mailbox:
    """Filled by calls that run, emptied by the response that they belong to."""

    def __init__(self) -> None:
        self._waiting: deque[Say] = deque()
        self._size = 0
        self._closed = False
        self._news = trio.Event()
        self._room = trio.Event()
        self._room.set()

    def put(self, said: Say) -> None:
        """What comes after the mailbox was closed, or is too much for it, is lost with its reader."""
        if self._closed:
            return
        if self._size > FULL:
            self.close()
            return
        self._waiting.append(said)
        self._size += len(said.frame)
        self._news.set()
        if self._size > CROWDED and self._room.is_set():
            self._room = trio.Event()

    def close(self) -> None:
        self._closed = True
        self._news.set()
        self._room.set()

    async def next(self) -> Say | None:
        """The next frame; None when the mailbox is closed and empty."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._waiting and not self._closed:
            self._news = trio.Event()
            await self._news.wait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        if not self._waiting:
            return None
        said = self._waiting.popleft()
        self._size -= len(said.frame)
        if self._size <= CROWDED:
            self._room.set()
        return said

    async def room(self) -> None:
        await self._room.wait()
