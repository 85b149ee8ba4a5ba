"""What the house tells of itself by HTTP: health, metrics, events, and what can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from mimo import __version__
from mimo.errors import InvalidArguments
from mimo.observability.events import Event, Events, as_json
from mimo.observability.metrics import CONTENT_TYPE, Metrics
from mimo.protocol import jsonrpc, openapi, sse
from mimo.protocol.openapi import Operation, Query
from mimo.transports.http.exchange import Emit, Reply, Request, Route, reply_json
from mimo.transports.http.responses import KEEP_ALIVE_SECONDS

# "healthy", "degraded" or "unhealthy" under "status", and what that is made of.
Health = Callable[[], Mapping[str, Any]]

_STATUS_WORDS = {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]}
_HEALTH = {"type": "object", "required": ["status"], "properties": {"status": _STATUS_WORDS}}


def health_routes(health: Health) -> Sequence[Route]:
    async def show(request: Request) -> Reply:
        told = health()
        return reply_json(told, 503 if told["status"] == "unhealthy" else 200)

    return [
        Route(
            Operation(
                "GET",
                "/health",
                "health",
                "How mimo is: the writer, the readers, the embedder, the supervision tree. Needs no key.",
                gives=_HEALTH,
                also={503: "Unhealthy"},
                open=True,
            ),
            show,
            scope=None,
        )
    ]


def metrics_routes(metrics: Metrics) -> Sequence[Route]:
    async def show(request: Request) -> Reply:
        return Reply(body=metrics.render(), media=CONTENT_TYPE)

    media = CONTENT_TYPE.partition(";")[0]
    return [Route(Operation("GET", "/metrics", "metrics", "All numbers, for Prometheus.", media=media), show)]


def event_routes(events: Events) -> Sequence[Route]:
    async def follow(request: Request) -> Reply:
        wanted = [kind for kind in request.query.get("types", "").split(",") if kind]
        since = _number(request.headers.get("last-event-id") or request.query.get("since"))

        async def stream(emit: Emit) -> None:
            async with events.subscribe(*wanted, since=since) as told:
                await emit(sse.KEEP_ALIVE)  # so that the client knows that we listen
                while True:
                    event: Event | None = None
                    with trio.move_on_after(KEEP_ALIVE_SECONDS):
                        try:
                            event = await anext(told)
                        except StopAsyncIteration:
                            return
                    if event is None:
                        await emit(sse.KEEP_ALIVE)
                        continue
                    number = event.seq or None  # what was missed has none of its own
                    await emit(sse.message(jsonrpc.encode(as_json(event)), kind=event.kind, number=number))

        return Reply(media=sse.MEDIA_TYPE, headers={"x-accel-buffering": "no"}, stream=stream)

    number = {"type": "integer", "minimum": 0}
    return [
        Route(
            Operation(
                "GET",
                "/v1/events",
                "events",
                "What happens, as it happens: server-sent events. None holds the text of a memory.",
                media=sse.MEDIA_TYPE,
                query=(
                    Query(
                        "types", "kinds with commas between them, as memory:*,system:tool_called; else all"
                    ),
                    Query("since", "only what came after this id; Last-Event-ID says the same", number),
                ),
            ),
            follow,
        )
    ]


def document_routes(operations: Callable[[], Sequence[Operation]]) -> Sequence[Route]:
    async def document(request: Request) -> Reply:
        return reply_json(openapi.document(__version__, operations()))

    async def page(request: Request) -> Reply:
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        body = openapi.page(__version__, operations()).encode()
        return Reply(body=body, media="text/html; charset=utf-8", headers=headers)

    return [
        Route(
            Operation("GET", "/openapi.json", "openapi", "This, as an OpenAPI 3.1 document."),
            document,
            for_browsers=True,
        ),
        Route(
            Operation("GET", "/docs", "docs", "This, as a page to read.", media="text/html"),
            page,
            for_browsers=True,
        ),
    ]


def _number(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidArguments(
            f"since must be the id of an event, a whole number (got {text[:40]!r})", field="since"
        )
    return int(text)
