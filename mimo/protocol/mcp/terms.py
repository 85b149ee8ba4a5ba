"""Under which revision, and with which client, one request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mimo.protocol.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Failure, Object
from mimo.protocol.mcp.revisions import CAPABILITIES, CLIENT_INFO, LOG_LEVEL, MODERN, VERSION, Revision

HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

# RFC 5424, as the protocol uses it, least urgent first.
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Refused(Exception):
    """A request that breaks the protocol. It is answered with this failure, and nothing runs."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def invalid(message: str, data: Any = None) -> Refused:
    return Refused(Failure(INVALID_PARAMS, message, data))


def unknown_method(method: str) -> Refused:
    return Refused(Failure(METHOD_NOT_FOUND, f"no method {method[:100]!r} in this revision of the protocol"))


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one request: in the legacy era agreed once, in the modern one said by the request itself."""

    revision: Revision
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    client_name: str = "unknown"
    client_version: str = ""
    log_level: str | None = None

    def logs(self, level: str) -> bool:
        """Does the client want lines of this level?"""
        return self.log_level is not None and rank(level) >= rank(self.log_level)


def rank(level: str) -> int:
    """How urgent a level is; an unknown one counts as info."""
    return LEVELS.index(level) if level in LEVELS else 1


def says_terms(params: Object) -> bool:
    """Does this request speak for itself, as the modern era has it?"""
    meta = params.get("_meta")
    return isinstance(meta, dict) and (VERSION in meta or CAPABILITIES in meta)


def said_terms(params: Object) -> Terms:
    """The terms that a modern request carries.

    Raises:
        Refused: something required is missing or of the wrong type, or the revision is not a modern one of ours.
    """
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        raise invalid(f"_meta must be an object with {VERSION} and {CAPABILITIES}")
    said = cast("Object", meta)
    version, capabilities = said.get(VERSION), said.get(CAPABILITIES)
    if not isinstance(version, str):
        raise invalid(f"_meta must name {VERSION} (a string); or send initialize first")
    revision = MODERN.get(version)
    if revision is None:
        raise Refused(
            Failure(
                UNSUPPORTED_VERSION,
                f"protocol version {version[:40]!r} is not supported here",
                {"supported": list(MODERN), "requested": version},
            )
        )
    if not isinstance(capabilities, dict):
        raise invalid(f"_meta must carry {CAPABILITIES} (an object, possibly empty)")
    level = said.get(LOG_LEVEL)
    if level is not None and level not in LEVELS:
        raise invalid(f"{LOG_LEVEL} must be one of {', '.join(LEVELS)}")
    name, client_version = client_info(said.get(CLIENT_INFO))
    return Terms(revision, cast("Object", capabilities), name, client_version, level)


def client_info(value: object) -> tuple[str, str]:
    """Name and version from an Implementation, as far as they are there: nothing depends on them."""
    if not isinstance(value, dict):
        return "unknown", ""
    info = cast("Object", value)
    name, version = info.get("name"), info.get("version")
    return (
        name[:200] if isinstance(name, str) and name else "unknown",
        version[:100] if isinstance(version, str) else "",
    )
