"""What we answer, in the newest revision's shape; `downlevel` changes it for older ones."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

from mimo.protocol.jsonrpc import Object, encode
from mimo.protocol.mcp.about import LIST_TTL_MS
from mimo.tool import Answer, Contents, JsonObject, Message, Prompt, Resource, ResourceTemplate, Tool

MAX_COMPLETIONS = 100
# Bounds that no agent runs into but by mistake, and that there is nothing else: the error says it then. Every byte of a list of tools is read
# by every agent in every session.
UNSAID = frozenset({"minLength", "maxLength", "minItems", "maxItems", "pattern"})


def tool(shown: Tool, schema: JsonObject) -> Object:
    if shown.definition is not None:
        return _with_meta({**shown.definition, "name": shown.name}, shown.meta)
    said: Object = {"name": shown.name}
    if shown.title:
        said["title"] = shown.title
    said["description"] = shown.description
    said["inputSchema"] = schema if shown.schema is not None else _brief(schema)
    if shown.output_schema is not None:
        said["outputSchema"] = shown.output_schema
    said["annotations"] = {
        "readOnlyHint": not shown.writes,
        "destructiveHint": shown.destructive,
        "idempotentHint": shown.idempotent or not shown.writes,
        "openWorldHint": shown.open_world,
    }
    if shown.icons:
        said["icons"] = [dict(icon) for icon in shown.icons]
    return _with_meta(said, shown.meta)


def resource(shown: Resource) -> Object:
    if shown.definition is not None:
        return _with_meta(dict(shown.definition), shown.meta)
    return _with_meta({"uri": shown.uri, **_described(shown), "mimeType": shown.mime}, shown.meta)


def template(shown: ResourceTemplate) -> Object:
    if shown.definition is not None:
        return _with_meta(dict(shown.definition), shown.meta)
    return _with_meta(
        {"uriTemplate": shown.template, **_described(shown), "mimeType": shown.mime}, shown.meta
    )


def prompt(shown: Prompt) -> Object:
    if shown.definition is not None:
        return _with_meta({**shown.definition, "name": shown.name}, shown.meta)
    said = _described(shown)
    if shown.arguments:
        said["arguments"] = [
            {"name": argument.name, "description": argument.description, "required": argument.required}
            for argument in shown.arguments
        ]
    return _with_meta(said, shown.meta)


def listed(name: str, items: list[Object], cursor: str | None) -> Object:
    said: Object = {"resultType": "complete", name: items, "ttlMs": LIST_TTL_MS, "cacheScope": "private"}
    if cursor is not None:
        said["nextCursor"] = cursor
    return said


def called(answer: Answer) -> Object:
    """A tool's answer. Data without blocks is said as text too, since some clients read nothing else."""
    said: Object = {**answer.more, "resultType": "complete", "content": list(answer.content)}
    if answer.data is not None:
        said["structuredContent"] = answer.data
        if not answer.content:
            said["content"] = [{"type": "text", "text": encode(answer.data).decode()}]
    if answer.failed:
        said["isError"] = True
    return _with_meta(said, answer.meta)


def read(contents: Sequence[Contents]) -> Object:
    return {
        "resultType": "complete",
        "contents": [_content(part) for part in contents],
        "ttlMs": 0,
        "cacheScope": "private",
    }


def prompted(shown: Prompt, messages: Sequence[Message]) -> Object:
    said: Object = {"resultType": "complete"}
    if shown.description:
        said["description"] = shown.description
    said["messages"] = [{"role": message.role, "content": dict(message.content)} for message in messages]
    return said


def completed(values: Sequence[str]) -> Object:
    first = list(values[:MAX_COMPLETIONS])
    more = len(values) > MAX_COMPLETIONS
    return {
        "resultType": "complete",
        "completion": {"values": first, "total": len(values), "hasMore": more},
    }


def empty() -> Object:
    return {"resultType": "complete"}


def _brief(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        node = cast("Mapping[str, Any]", schema)
        # Among properties these are names that an argument may have.
        return {
            name: {each: _brief(its) for each, its in value.items()}
            if name == "properties"
            else _brief(value)
            for name, value in node.items()
            if name not in UNSAID and (name, value) != ("additionalProperties", False)
        }
    return schema


def _described(shown: Resource | ResourceTemplate | Prompt) -> Object:
    said: Object = {"name": shown.name}
    if shown.title:
        said["title"] = shown.title
    if shown.description:
        said["description"] = shown.description
    return said


def _with_meta(said: Object, meta: JsonObject) -> Object:
    if meta:
        said["_meta"] = dict(meta)
    return said


def _content(part: Contents) -> Object:
    if part.said is not None:
        return dict(part.said)
    body: dict[str, Any] = (
        {"text": part.body} if isinstance(part.body, str) else {"blob": base64.b64encode(part.body).decode()}
    )
    return {"uri": part.uri, "mimeType": part.mime, **body}
