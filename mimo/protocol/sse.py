"""Server-sent events: messages on a response that stays open."""

from __future__ import annotations

from collections.abc import Iterator

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b": \n\n"  # a comment; proxies cut streams on which nothing moves


def event(data: bytes) -> bytes:
    """One message. `data` must hold no newline, which JSON of ours never does."""
    return b"event: message\ndata: " + data + b"\n\n"


def message(data: bytes, *, kind: str = "message", number: int | None = None) -> bytes:
    """One message that says what it is, and by which number a client that was cut off resumes."""
    head = f"event: {kind}\n" if number is None else f"id: {number}\nevent: {kind}\n"
    return head.encode() + b"data: " + data + b"\n\n"


class Heard:
    """The events of a stream that somebody else sends: bytes in, as they come; the data of each event out.

    `last` is the id from which the stream can be resumed, if it has one, and `pause` the seconds to wait before.
    """

    def __init__(self, cap: int) -> None:
        self.last = ""
        self.pause = 1.0
        self._cap = cap
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that are whole now. Events without data are none.

        Raises:
            ValueError: an event is larger than the cap.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line:
                if self._data:
                    yield b"\n".join(self._data)
                self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size += len(line)
            elif line.startswith(b"id:") and b"\0" not in line:
                self.last = line[3:].strip().decode("latin-1")
            elif line.startswith(b"retry:") and line[6:].strip().isdigit():
                self.pause = min(60.0, int(line[6:].strip()[:9]) / 1000)
            if self._size > self._cap:
                break
        if self._size + len(self._rest) > self._cap:
            raise ValueError(f"an event of more than {self._cap} bytes")
