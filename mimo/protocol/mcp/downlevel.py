"""The one place that knows what older revisions lack: results in the newest shape in, theirs out.

Nothing is changed in place: blocks and schemas may belong to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from mimo.protocol.jsonrpc import Object, encode
from mimo.protocol.mcp.revisions import (
    R2024_11_05,
    R2025_03_26,
    R2025_06_18,
    R2025_11_25,
    R2026_07_28,
    Revision,
)

_ITEMS = ("tools", "resources", "resourceTemplates", "prompts")


def fit(result: Object, revision: Revision) -> Object:
    """The same result as this revision says it. Steps down one revision at a time."""
    for newer, step in _STEPS:
        if not revision.before(newer):
            break
        result = step(result)
    return result


def fit_notification(method: str, params: Object, revision: Revision) -> Object:
    if method == "notifications/progress" and revision is R2024_11_05:
        return _without(params, "message")
    return params


def _to_2025_11_25(result: Object) -> Object:
    """No result types, no caching, objects only as structured content and at the top of schemas."""
    fitted = _without(result, "resultType", "ttlMs", "cacheScope")
    if "structuredContent" in fitted and not isinstance(fitted["structuredContent"], dict):
        fitted = _without(fitted, "structuredContent")
    if isinstance(fitted.get("capabilities"), dict):
        fitted["capabilities"] = _without(fitted["capabilities"], "extensions")
    return _each(fitted, "tools", _plain_schemas)


def _to_2025_06_18(result: Object) -> Object:
    """No icons, and a server has no more than a name, a title and a version."""
    for name in _ITEMS:
        result = _each(result, name, lambda item: _without(item, "icons"))
    result = _blocks(result, lambda block: _without(block, "icons"))
    return _server(result, "icons", "websiteUrl", "description")


def _to_2025_03_26(result: Object) -> Object:
    """No titles, no structured content, no links to resources, no `_meta` on what is listed."""
    if "structuredContent" in result and not result.get("content"):
        result = result | {"content": [_text(encode(result["structuredContent"]).decode())]}
    result = _without(result, "structuredContent")
    for name in _ITEMS:
        result = _each(result, name, lambda item: _without(item, "title", "outputSchema", "_meta"))
    return _server(_blocks(result, _unlinked), "title")


def _to_2024_11_05(result: Object) -> Object:
    """No hints about tools, no audio, no completions capability."""
    result = _each(result, "tools", lambda item: _without(item, "annotations"))
    if isinstance(result.get("capabilities"), dict):
        result = result | {"capabilities": _without(result["capabilities"], "completions")}
    return _blocks(result, _silent)


_STEPS: tuple[tuple[Revision, Callable[[Object], Object]], ...] = (
    (R2026_07_28, _to_2025_11_25),
    (R2025_11_25, _to_2025_06_18),
    (R2025_06_18, _to_2025_03_26),
    (R2025_03_26, _to_2024_11_05),
)


def _without(value: Object, *names: str) -> Object:
    return {name: member for name, member in value.items() if name not in names}


def _each(result: Object, name: str, change: Callable[[Object], Object]) -> Object:
    """`result` with each item of its list `name` changed. Reading a resource has `contents`, which stay."""
    items = result.get(name)
    if not isinstance(items, list):
        return result
    return result | {name: [change(item) for item in cast("list[Object]", items)]}


def _blocks(result: Object, change: Callable[[Object], Object]) -> Object:
    """`result` with each content block changed, of a tool's answer and of a prompt's messages alike."""

    def in_message(message: Object) -> Object:
        content: Any = message.get("content")
        return (
            message | {"content": change(cast("Object", content))} if isinstance(content, dict) else message
        )

    return _each(_each(result, "content", change), "messages", in_message)


def _server(result: Object, *names: str) -> Object:
    info = result.get("serverInfo")
    return (
        result | {"serverInfo": _without(cast("Object", info), *names)} if isinstance(info, dict) else result
    )


def _plain_schemas(tool: Object) -> Object:
    for name in ("inputSchema", "outputSchema"):
        schema = tool.get(name)
        if schema is None or (isinstance(schema, dict) and cast("Object", schema).get("type") == "object"):
            continue
        tool = tool | {"inputSchema": {"type": "object"}} if name == "inputSchema" else _without(tool, name)
    return tool


def _unlinked(block: Object) -> Object:
    if block.get("type") != "resource_link":
        return block
    return _text(f"[{block.get('title') or block.get('name', '')}]({block.get('uri', '')})")


def _silent(block: Object) -> Object:
    return _text(f"(audio, {block.get('mimeType', 'unknown')})") if block.get("type") == "audio" else block


def _text(text: str) -> Object:
    return {"type": "text", "text": text}
