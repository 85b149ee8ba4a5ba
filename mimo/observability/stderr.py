"""A log handler that never waits for whoever reads stderr, and never fails because of them.

Stderr may be a full pipe, shared with a program that made it non-blocking, closed, or, worst of all, closed
and its number given to another file. Lines that cannot be written now wait, a bounded number of them, and go out
with a later line; lines that are lost are counted, and the next line that passes says so.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque

MOST_WAITING = 1000
# A pipe that poll() calls writable takes at least this much without blocking.
PIECE = 4096
# How long the end of the process waits for a reader.
GOODBYE_MS = 500


class StderrHandler(logging.Handler):
    """Writes to a file descriptor; `lost` says how many lines it did not take."""

    def __init__(self, fd: int = 2) -> None:
        super().__init__()
        self.fd = fd
        self.lost = 0
        self._untold = 0
        self._waiting = deque[bytes]()
        self._rest = b""  # of a line that was written in part
        self._file = self._identity()

    @property
    def is_terminal(self) -> bool:
        return self._file is not None and os.isatty(self.fd)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # a formatter's bug costs one line, and says so
            line = f"a line of {record.name} could not be formatted: {type(error).__name__}: {record.msg!r}"[
                :200
            ]
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._lose(1)
        self._waiting.append(f"{line}\n".encode(errors="backslashreplace"))
        self._write(0)

    def flush(self) -> None:
        """Write what waits, as far as the reader lets us."""
        with self.lock or _NO_LOCK:
            self._write(0)

    def close(self) -> None:
        with self.lock or _NO_LOCK:
            self._write(GOODBYE_MS)
        super().close()

    def _write(self, patience_ms: int) -> None:
        if self._file is None or self._file != self._identity():
            self._lose(len(self._waiting))
            self._waiting.clear()
            return
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while self._rest or self._waiting:
            if not self._rest:
                self._rest = self._told_losses() + self._waiting.popleft()
            try:
                # What cannot be written now may be a regular file: poll calls those writable at all times.
                if not poll.poll(patience_ms):
                    return
                self._rest = self._rest[os.write(self.fd, self._rest[:PIECE]) :]
            except BlockingIOError:  # less room than a piece, and somebody set O_NONBLOCK
                if not patience_ms:
                    return
            except OSError:  # nobody reads any more
                self._rest = b""
                self._lose(1 + len(self._waiting))
                self._waiting.clear()

    def _lose(self, count: int) -> None:
        self.lost += count
        self._untold += count

    def _told_losses(self) -> bytes:
        count, self._untold = self._untold, 0
        return (
            b'{"level":"warning","logger":"mimo.observability","lines_lost":%d}\n' % count if count else b""
        )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self.fd)
        except OSError:
            return None
        return status.st_dev, status.st_ino


class _NoLock:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NO_LOCK = _NoLock()
