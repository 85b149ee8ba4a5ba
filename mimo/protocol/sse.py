"""Server-sent events: messages on a response that stays open."""

from __future__ import annotations

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b": \n\n"  # a comment; proxies cut streams on which nothing moves


def event(data: bytes) -> bytes:
    """One message. `data` must hold no newline, which JSON of ours never does."""
    return b"event: message\ndata: " + data + b"\n\n"
