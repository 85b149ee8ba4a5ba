"""The toolbox by HTTP: which tools there are, and a call of any of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from mimo.errors import InvalidArguments, MimoError
from mimo.protocol.openapi import ERROR, Operation
from mimo.protocol.rest import retry_after, status_of, tool_error, tool_result
from mimo.tool import Answer, Call, JsonObject, Tool
from mimo.transports.http.exchange import Reply, Request, Route, reply_json

_TOOL = {
    "type": "object",
    "required": ["name", "description", "arguments", "writes"],
    "properties": {
        "name": {"type": "string"},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "arguments": {"type": "object", "description": "a JSON Schema"},
        "writes": {"type": "boolean"},
        "destructive": {"type": "boolean"},
    },
}
_TAKES: JsonObject = {
    "type": "object",
    "required": ["tool"],
    "additionalProperties": False,
    "properties": {
        "tool": {"type": "string", "minLength": 1},
        "arguments": {"type": "object", "default": {}},
    },
}
_GIVES = {
    "type": "object",
    "required": ["tool_call_id", "status", "latency_ms"],
    "properties": {
        "tool_call_id": {"type": "string"},
        "status": {"type": "string", "enum": ["ok", "error"]},
        "data": {"description": "what the tool gives as data, else its text"},
        "error": dict(ERROR),
        "latency_ms": {"type": "number"},
    },
}


class Dispatch(Protocol):
    async def call(self, name: str, arguments: object, call: Call, *, seconds: float | None = None) -> Answer:
        """Run a tool. Raises only MimoError."""
        ...


class Shelf(Protocol):
    """Where the tools are."""

    def tools(self) -> Sequence[Tool]: ...
    def schema(self, tool: Tool) -> JsonObject: ...


def tool_routes(dispatch: Dispatch, toolbox: Shelf) -> Sequence[Route]:
    async def listing(request: Request) -> Reply:
        return reply_json({"tools": [_shown(tool, toolbox.schema(tool)) for tool in toolbox.tools()]})

    async def run(request: Request) -> Reply:
        name, arguments = _asked(request.object())
        began = time.perf_counter()
        try:
            answer = await dispatch.call(name, arguments, request.call())
        except MimoError as error:
            after = retry_after(error)
            told = tool_error(request.id, error, time.perf_counter() - began)
            return reply_json(told, status_of(error), **({} if after is None else {"retry_after": after}))
        return reply_json(tool_result(request.id, answer, time.perf_counter() - began))

    tools = {
        "type": "object",
        "required": ["tools"],
        "properties": {"tools": {"type": "array", "items": _TOOL}},
    }
    return [
        Route(
            Operation("GET", "/v1/mimo/tools", "list_tools", "Every tool, with its arguments.", gives=tools),
            listing,
        ),
        Route(
            Operation(
                "POST",
                "/v1/mimo/tool",
                "call_tool",
                "Call a tool. An error has the same place in the answer as data has.",
                takes=_TAKES,
                gives=_GIVES,
            ),
            run,
        ),
    ]


def _asked(body: dict[str, Any]) -> tuple[str, Any]:
    name = body.get("tool")
    if not isinstance(name, str) or not name:
        raise InvalidArguments(
            'the body is {"tool": "...", "arguments": {...}}; tool is missing', field="tool"
        )
    if more := sorted(body.keys() - {"tool", "arguments"}):
        raise InvalidArguments(
            f"the body has tool and arguments only, not {', '.join(more)[:100]}", field=more[0][:100]
        )
    return name, body.get("arguments", {})


def _shown(tool: Tool, schema: JsonObject) -> dict[str, Any]:
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "arguments": schema,
        "writes": tool.writes,
        "destructive": tool.destructive,
    }
