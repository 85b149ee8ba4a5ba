"""Server-sent events: messages on a response that stays open."""

from __future__ import annotations

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b": \n\n"  # a comment; proxies cut streams on which nothing moves


def event(data: bytes) -> bytes:
    """One message. `data` must hold no newline, which JSON of ours never does."""
    return b"event: message\ndata: " + data + b"\n\n"


def message(data: bytes, *, kind: str = "message", number: int | None = None) -> bytes:
    """One message that says what it is, and by which number a client that was cut off resumes."""
    head = f"event: {kind}\n" if number is None else f"id: {number}\nevent: {kind}\n"
    return head.encode() + b"data: " + data + b"\n\n"
