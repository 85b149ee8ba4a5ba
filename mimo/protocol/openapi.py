"""What can be asked by REST, as an OpenAPI 3.1 document and as a page to read. Made from the routes themselves."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mimo.tool import JsonObject

MEDIA_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Query:
    """A word in the query of an address."""

    name: str
    text: str
    schema: JsonObject = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `gives` without `media` of JSON is text."""

    method: str
    path: str
    name: str
    summary: str
    takes: JsonObject | None = None
    gives: JsonObject = field(default_factory=lambda: {"type": "object"})
    media: str = MEDIA_JSON
    takes_media: str = MEDIA_JSON
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict[int, str])  # other answers that are no errors
    query: Sequence[Query] = ()
    open: bool = False
    may_stream: bool = False  # who asks for it gets server-sent events instead


ERROR: JsonObject = {
    "type": "object",
    "required": ["type", "message", "id", "retry"],
    "properties": {
        "type": {"type": "string", "description": "one word for programs"},
        "message": {"type": "string", "description": "what happened, and the cure"},
        "id": {"type": "string", "description": "the request's, as in X-Request-Id and in the log"},
        "retry": {"type": "boolean", "description": "whether the same request may succeed later"},
        "code": {"type": ["string", "null"]},
        "param": {"type": ["string", "null"], "description": "the argument that does not fit"},
        "details": {"type": "object"},
    },
}
_ERRORS = {
    400: "The request is no JSON, or not HTTP as we know it",
    401: "No key, or one that opens nothing; it belongs into Authorization: Bearer",
    403: "The key may not do this, or a page of another site asks",
    404: "There is nothing of this name",
    408: "The body did not arrive in time",
    409: "The state is not what the caller took it for",
    413: "The body is too long",
    415: "The body must be JSON, and say so",
    421: "Not our host name",
    422: "The arguments do not fit",
    429: "Too often; Retry-After says when",
    500: "A bug of mimo; the log has it under the id",
    503: "Not at the moment; Retry-After says when",
    504: "Not done within the deadline",
    507: "The disk is full; reading and forgetting still work",
}


def document(version: str, operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mimo",
            "version": version,
            "summary": "One lasting memory, and one door to their tools, for all the agents of a person.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "mimo key create"}
            },
            "schemas": {
                "Error": {"type": "object", "required": ["error"], "properties": {"error": dict(ERROR)}}
            },
        },
    }


def page(version: str, operations: Sequence[Operation]) -> str:
    """The same for people: one page without scripts, fonts or anything else from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>mimo: REST</title><style>"
        "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#8882;padding:.6rem}"
        "h2{margin:2rem 0 0}b{display:inline-block;min-width:4.5rem}</style>"
        f"<h1>mimo {html.escape(version)}</h1>"
        "<p>Every request but <code>/health</code> shows a key: <code>Authorization: Bearer mimo_...</code>. "
        "<code>mimo token</code> prints the owner's, <code>mimo key create</code> makes others. "
        "The same as data: <a href=/openapi.json>openapi.json</a>.</p>"
    ]
    for each in operations:
        parts.append(
            f"<h2><b>{each.method}</b> <code>{html.escape(each.path)}</code></h2><p>{html.escape(each.summary)}</p>"
        )
        if each.query:
            rows = (f"<li><code>{q.name}</code>: {html.escape(q.text)}" for q in each.query)
            parts.append(f"<ul>{''.join(rows)}</ul>")
        for title, schema in (("takes", each.takes), ("gives", each.gives)):
            if schema is not None:
                shown = html.escape(json.dumps(schema, indent=1, ensure_ascii=False))
                parts.append(f"<details><summary>{title}</summary><pre>{shown}</pre></details>")
    return "".join(parts)


def _operation(operation: Operation) -> dict[str, Any]:
    schema: JsonObject = operation.gives if operation.media == MEDIA_JSON else {"type": "string"}
    good: dict[str, Any] = {"description": "Done"}
    if operation.status != 204:
        content: dict[str, Any] = {operation.media: {"schema": schema}}
        if operation.may_stream:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        good["content"] = content
    answers: dict[str, Any] = {str(operation.status): good}
    for status, text in operation.also.items():
        answers[str(status)] = {"description": text, "content": {MEDIA_JSON: {"schema": operation.gives}}}
    answers |= {
        str(status): {
            "description": text,
            "content": {MEDIA_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in _ERRORS.items()
        if str(status) not in answers
    }
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": answers,
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
    ]
    parameters += [
        {"name": each.name, "in": "query", "description": each.text, "schema": dict(each.schema)}
        for each in operation.query
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.takes is not None:
        told["requestBody"] = {
            "required": True,
            "content": {operation.takes_media: {"schema": dict(operation.takes)}},
        }
    if operation.open:
        told["security"] = []
    return told
