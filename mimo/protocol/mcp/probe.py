"""The answer to a client's first probe, for a bridge whose daemon is still starting. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mimo.protocol.mcp.about import MIMO, discovered
from mimo.protocol.mcp.revisions import CAPABILITIES, LOG_LEVEL, MODERN, SERVER_INFO, VERSION


def foreknown(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the daemon will answer to this `server/discover`; None if there is anything about it to object to."""
    identity, params = message.get("id"), message.get("params")
    meta: Any = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    if (
        message.get("jsonrpc") != "2.0"
        or not isinstance(identity, str | int)
        or isinstance(identity, bool)
        or not isinstance(meta, dict)
    ):
        return None
    said = cast("dict[str, Any]", meta)
    version = said.get(VERSION)
    if not isinstance(version, str) or version not in MODERN or not isinstance(said.get(CAPABILITIES), dict):
        return None
    if said.get(LOG_LEVEL) is not None:
        return None
    result = discovered(MIMO) | {"_meta": {SERVER_INFO: MIMO.implementation()}}
    return {"jsonrpc": "2.0", "id": identity, "result": result}
