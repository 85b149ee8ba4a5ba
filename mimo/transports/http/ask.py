"""One question to all stores, by HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mimo.errors import InvalidArguments
from mimo.protocol.openapi import Operation
from mimo.tool import Call
from mimo.transports.http.exchange import Reply, Request, Route, reply_json

LONGEST, MOST_MS = 20_000, 60_000
DEFAULT_MS = 10_000
_TAKES = {
    "type": "object",
    "required": ["query"],
    "additionalProperties": False,
    "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "a question"},
        "context_id": {
            "type": ["string", "null"],
            "maxLength": 64,
            "description": "from the answer before, for a question that goes on from it; kept for half an hour",
        },
        "timeout_ms": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MOST_MS,
            "default": DEFAULT_MS,
            "description": "then what was found so far is the answer, and router_decision.cut says who was not done",
        },
    },
}
_GIVES = {
    "type": "object",
    "required": ["query_id", "router_decision", "results", "synthesis", "context_id", "latency_ms"],
    "properties": {
        "query_id": {"type": "string"},
        "router_decision": {
            "type": "object",
            "required": ["asked", "stores", "cut", "fallback", "reason", "synthesis"],
            "properties": {
                "asked": {"type": "array", "items": {"type": "string"}},
                "stores": {"type": "object", "description": "how each fared"},
                "cut": {"type": "array", "items": {"type": "string"}},
                "fallback": {"type": ["string", "null"], "description": "who stands in for those that gave nothing"},
                "reason": {"type": "string"},
                "synthesis": {"type": "string"},
                "context": {"type": "string"},
            },
        },
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["store", "id", "content", "score"],
                "properties": {
                    "store": {"type": "string", "enum": ["memories", "facts", "procedures"]},
                    "id": {"type": "string"},
                    "content": {"type": "string"},
                    "score": {"type": "number"},
                },
            },
        },
        "synthesis": {"type": ["string", "null"], "description": "null without a language model"},
        "context_id": {"type": "string"},
        "latency_ms": {"type": "number"},
    },
}  # fmt: skip


class Asking(Protocol):
    async def ask(
        self, query: str, call: Call, *, context_id: str | None = None, seconds: float = ...
    ) -> dict[str, Any]:
        """Raises: MimoError."""
        ...


def ask_routes(asking: Asking) -> Sequence[Route]:
    async def ask(request: Request) -> Reply:
        query, context, milliseconds = _asked(request.object())
        told = await asking.ask(query, request.call(), context_id=context, seconds=milliseconds / 1000)
        return reply_json(told)

    operation = Operation(
        "POST",
        "/v1/mimo/ask",
        "ask",
        "One question to all stores: memories, facts, procedures.",
        takes=_TAKES,
        gives=_GIVES,
    )
    return [Route(operation, ask)]


def _asked(body: dict[str, Any]) -> tuple[str, str | None, int]:
    if more := sorted(body.keys() - {"query", "context_id", "timeout_ms"}):
        raise InvalidArguments(
            f"the body has query, context_id and timeout_ms only, not {', '.join(more)[:100]}",
            field=more[0][:100],
        )
    query: object = body.get("query")
    if not isinstance(query, str) or not query.strip() or len(query) > LONGEST:
        raise InvalidArguments(f"query must be a question of 1..{LONGEST} characters", field="query")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidArguments("query holds half a character (a lone surrogate)", field="query") from error
    context: object = body.get("context_id")
    if context is not None and (not isinstance(context, str) or len(context) > 64):
        raise InvalidArguments("context_id must be one that an answer gave", field="context_id")
    wanted: object = body.get("timeout_ms")
    milliseconds = DEFAULT_MS if wanted is None else wanted
    if (
        not isinstance(milliseconds, int)
        or isinstance(milliseconds, bool)
        or not 1 <= milliseconds <= MOST_MS
    ):
        raise InvalidArguments(f"timeout_ms must be 1..{MOST_MS}", field="timeout_ms")
    return query, context, milliseconds
