"""What HTTP repeats of a modern request in its headers, so that proxies need not read bodies; both must agree."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, cast

from mimo.protocol.jsonrpc import Failure, Object, Request
from mimo.protocol.mcp.revisions import VERSION
from mimo.protocol.mcp.terms import HEADER_MISMATCH
from mimo.tool import JsonObject

PROTOCOL_VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
PARAM = "mcp-param-"

# Which of the params is the name, for those methods that have one.
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")
_SAFE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def mismatch(request: Request, headers: Mapping[str, str], schema: JsonObject | None) -> Failure | None:
    """The first disagreement between headers (names in lower case) and body, if there is any.

    `schema` is that of the called tool's arguments, whose members may ask for a header of their own.
    """
    meta = request.params.get("_meta")
    version = cast("Object", meta).get(VERSION) if isinstance(meta, dict) else None
    said = headers.get(PROTOCOL_VERSION)
    if version is not None and said != version:
        return _disagree("MCP-Protocol-Version", said, version)
    if headers.get(METHOD) != request.method:
        return _disagree("Mcp-Method", headers.get(METHOD), request.method)
    if named := _NAMED.get(request.method):
        wanted, said = request.params.get(named), headers.get(NAME)
        if wanted is not None and _decoded(said) != wanted:
            return _disagree("Mcp-Name", said, wanted)
    arguments = request.params.get("arguments")
    if schema is None or not isinstance(arguments, dict):
        return None
    return _arguments(cast("Object", arguments), headers, schema)


def repeated(method: str, params: Object, schema: JsonObject | None) -> dict[str, str]:
    """What a client says of its modern request in headers, beside the version. `schema` is the called tool's."""
    said = {"Mcp-Method": method}
    named = params.get(_NAMED.get(method, ""))
    if isinstance(named, str):
        said["Mcp-Name"] = _encoded(named)
    arguments = params.get("arguments")
    properties = schema.get("properties") if schema is not None else None
    if isinstance(arguments, dict) and isinstance(properties, dict):
        given = cast("Object", arguments)
        for name, wanted in cast("Object", properties).items():
            header = cast("Object", wanted).get("x-mcp-header") if isinstance(wanted, dict) else None
            if isinstance(header, str) and _TOKEN.fullmatch(header) and given.get(name) is not None:
                said[f"Mcp-Param-{header}"] = _encoded(_as_text(given[name]))
    return said


def unfit(schema: JsonObject) -> bool:
    """Does it ask for headers that cannot be? Such a tool must not be called over HTTP."""
    properties = schema.get("properties")
    seen = set[str]()
    for wanted in cast("Object", properties).values() if isinstance(properties, dict) else ():
        said = cast("Object", wanted) if isinstance(wanted, dict) else {}
        if "x-mcp-header" not in said:
            continue
        header = said["x-mcp-header"]
        if not isinstance(header, str) or not _TOKEN.fullmatch(header) or header.lower() in seen:
            return True
        if said.get("type") not in ("string", "integer", "boolean"):
            return True
        seen.add(header.lower())
    return False


def _arguments(arguments: Object, headers: Mapping[str, str], schema: JsonObject) -> Failure | None:
    properties = schema.get("properties")
    for name, wanted in cast("Object", properties).items() if isinstance(properties, dict) else ():
        header = cast("Object", wanted).get("x-mcp-header") if isinstance(wanted, dict) else None
        if not isinstance(header, str):
            continue
        said, value = headers.get(PARAM + header.lower()), arguments.get(name)
        if value is None and said is None:
            continue
        if said is None or value is None or _decoded(said) != _as_text(value):
            return _disagree(f"Mcp-Param-{header}", said, value)
    return None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _encoded(value: str) -> str:
    """As it is if it survives as a header, else in base64."""
    if _SAFE.fullmatch(value) and not _ENCODED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode(errors='replace')).decode()}?="


def _decoded(said: str | None) -> str | None:
    """A value that would not survive as a header comes as `=?base64?...?=`. None: it is no proper base64."""
    found = _ENCODED.fullmatch(said) if said is not None else None
    if found is None:
        return said
    try:
        raw = base64.b64decode(found[1], validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == found[1] else None
    except (binascii.Error, ValueError):
        return None


def _disagree(header: str, said: str | None, wanted: Any) -> Failure:
    shown = "is missing" if said is None else f"says {said[:80]!r}"
    return Failure(HEADER_MISMATCH, f"the header {header} {shown}, but the body says {str(wanted)[:80]!r}")
