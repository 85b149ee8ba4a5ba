"""A stream on file descriptors that takes no turn of the loop which it does not need.

Trio's own streams give way to others on each read and each write. Here whoever reads waits for data in
any case, and whoever writes has waited for something to say; on short messages that halves the cost.
"""

from __future__ import annotations

import os

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, wait_readable, wait_writable


class Pipe:
    """Reads from one non-blocking descriptor and writes to another, or the same. It does not close them."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink

    async def receive_some(self, max_bytes: int) -> bytes:
        """What has come; nothing at the end. Raises: trio.BrokenResourceError."""
        while True:
            try:
                await wait_readable(self._source)
            except PermissionError:  # a file, or /dev/null: always ready
                await checkpoint()
            try:
                return os.read(self._source, max_bytes)
            except BlockingIOError:  # somebody who shares our stdin was faster
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | memoryview) -> None:
        """Gives way to others only when the other end is slow. Raises: trio.BrokenResourceError."""
        await checkpoint_if_cancelled()
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._sink, left) :]
            except BlockingIOError:
                await wait_writable(self._sink)
            except OSError as error:
                raise trio.BrokenResourceError from error

    def send_now(self, data: bytes) -> int:
        """As much as goes without waiting; 0 also when nobody is there, which `send_all` will notice."""
        try:
            return os.write(self._sink, data)
        except OSError:
            return 0
