"""Requests to the end of their body, and responses as ASGI wants them: one JSON, a stream of events, or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import trio

from mimo.protocol.mcp.events import Say
from mimo.protocol.sse import KEEP_ALIVE, MEDIA_TYPE, event
from mimo.transports.http.mailbox import Mailbox

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

# A stream on which nothing is said for longer is cut by some proxies.
KEEP_ALIVE_SECONDS = 15.0


class TooLarge(Exception):
    """The body is over the limit; nothing more of it was read."""


class Left(Exception):
    """The client has gone before its request was complete."""


async def read_body(length: str, receive: Receive, limit: int) -> bytes:
    """Raises: TooLarge, Left."""
    if length.isdigit() and int(length[:20]) > limit:
        raise TooLarge
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise TooLarge
        if not message.get("more_body"):
            return b"".join(parts)


async def cancel_when_left(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def respond(
    box: Mailbox, send: Send, status: Mapping[int, int], headers: Mapping[str, str] | None = None
) -> None:
    """One frame as JSON; as a stream when something comes before the answer, or it lets itself be waited for."""
    first: Say | None = None
    with trio.move_on_after(KEEP_ALIVE_SECONDS) as slow:
        first = await box.next()
    if slow.cancelled_caught:
        await stream(box, None, send, headers or {})
    elif first is None:
        await empty(send, 404)  # the session has been ended meanwhile
    elif first.last:
        await send_json(send, status.get(first.code or 0, 200), first.frame, headers)
    else:
        await stream(box, first, send, headers or {})


async def stream(box: Mailbox, first: Say | None, send: Send, headers: Mapping[str, str]) -> None:
    """Frames as they come, up to the last one of their request."""
    head = {"content-type": MEDIA_TYPE, "cache-control": "no-cache", "x-accel-buffering": "no", **headers}
    await _start(send, 200, head)
    said = first
    while True:
        if said is not None:
            await send({"type": "http.response.body", "body": event(said.frame), "more_body": not said.last})
            if said.last:
                return
        with trio.move_on_after(KEEP_ALIVE_SECONDS) as quiet:
            said = await box.next()
            if said is None:
                await send({"type": "http.response.body", "body": b""})
                return
        if quiet.cancelled_caught:
            said = None
            await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})


async def send_json(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    head = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await _start(send, status, head)
    await send({"type": "http.response.body", "body": body})


async def accepted(send: Send) -> None:
    await empty(send, 202)


async def empty(send: Send, status: int) -> None:
    await _start(send, status, {} if status == 204 else {"content-length": "0"})
    await send({"type": "http.response.body", "body": b""})


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
