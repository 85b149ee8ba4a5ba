"""Our side of a conversation with somebody else's server: what we ask, what it answers, and what it asks of us.

Whoever drives it sends the frames and feeds it messages. Params and results are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import Failure, Id, Object
from mimo.protocol.mcp.about import MIMO, ServerInfo
from mimo.protocol.mcp.revisions import (
    CAPABILITIES,
    CLIENT_INFO,
    LEGACY,
    LOG_LEVEL,
    MODERN,
    NEWEST,
    NEWEST_LEGACY,
    SUBSCRIPTION,
    VERSION,
    Revision,
)
from mimo.protocol.mcp.terms import HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION
from mimo.tool import JsonObject

# One process serves clients of all kinds, so we offer what any of them may; each question is then checked.
OFFERED: JsonObject = {"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}


@dataclass(slots=True)
class Answered:
    """The answer to a request of ours: a result, or a failure."""

    id: Id
    result: Object | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Progressed:
    id: Id
    params: Object


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the server's, to be answered by `answer` or `refuse`."""

    id: Id
    method: str
    params: Object


@dataclass(frozen=True, slots=True)
class Told:
    """A notification; `id` is the request of ours that it belongs to, if it says so."""

    method: str
    params: Object
    id: Id | None = None


@dataclass(frozen=True, slots=True)
class Strange:
    """Nothing that can be understood, or an answer that nobody waits for."""

    reason: str


Hearing: TypeAlias = "Answered | Progressed | Asked | Told | Strange"


class Asking:
    """Numbers our requests and stamps them as the agreed revision wants it; knows which are open."""

    def __init__(self, about: ServerInfo = MIMO) -> None:
        self.revision: Revision | None = None
        self._about = about
        self._last = 0
        self._open: set[Id] = set()

    @property
    def open(self) -> int:
        """How many requests have no answer yet."""
        return len(self._open)

    def request(
        self,
        method: str,
        params: JsonObject | None = None,
        *,
        offers: JsonObject = OFFERED,
        log_level: str | None = None,
        progress: bool = False,
    ) -> tuple[int, Object]:
        """A request's id, and its params as they are to be sent. `offers` is what the client behind it can be asked."""
        self._last += 1
        said = dict(params or {})
        meta: Object = dict(said.get("_meta") or {})
        if progress:
            meta["progressToken"] = self._last
        if self.revision is not None and self.revision.modern:
            meta |= self._terms(self.revision, offers)
            meta |= {} if log_level is None else {LOG_LEVEL: log_level}
        if meta:
            said["_meta"] = meta
        self._open.add(self._last)
        return self._last, said

    def discover(self) -> tuple[int, Object]:
        """The probe: who does not know it is of the older kind."""
        number, _ = self.request("server/discover")
        return number, {"_meta": self._terms(self.revision or NEWEST, OFFERED)}

    def initialize(self) -> tuple[int, Object]:
        info = {"name": self._about.name, "version": self._about.version}
        said = {"protocolVersion": NEWEST_LEGACY.name, "capabilities": dict(OFFERED), "clientInfo": info}
        return self.request("initialize", said)

    def cancel(self, number: Id, reason: str = "") -> bytes | None:
        """The notification that we do not want the answer any more; None if there is nothing to cancel."""
        if number not in self._open:
            return None
        self._open.discard(number)
        params: Object = {"requestId": number} | ({"reason": reason} if reason else {})
        return jsonrpc.notification("notifications/cancelled", params)

    def forget(self, number: Id) -> None:
        """No answer will come."""
        self._open.discard(number)

    def receive(self, message: jsonrpc.Message | jsonrpc.Batch) -> list[Hearing]:
        if isinstance(message, jsonrpc.Batch):
            return [self._one(each) for each in message.messages]
        return [self._one(message)]

    def _one(self, message: jsonrpc.Message) -> Hearing:
        match message:
            case jsonrpc.Response():
                if message.id not in self._open:
                    return Strange(f"an answer to {message.id!r}, which nobody waits for")
                self._open.discard(message.id)
                return Answered(message.id, message.result, message.failure)
            case jsonrpc.Request():
                return Asked(message.id, message.method, message.params)
            case jsonrpc.Notification("notifications/progress"):
                token = message.params.get("progressToken")
                if jsonrpc.is_id(token) and token in self._open:
                    return Progressed(token, message.params)
                return Strange("progress of what nobody waits for")
            case jsonrpc.Notification():
                return Told(message.method, message.params, _belongs_to(message.params))
            case jsonrpc.Malformed():
                if message.id is not None and message.id in self._open:
                    self._open.discard(message.id)
                    return Answered(message.id, None, message.failure)
                return Strange(message.failure.message)

    def _terms(self, revision: Revision, offers: JsonObject) -> Object:
        info = {"name": self._about.name, "version": self._about.version}
        return {VERSION: revision.name, CAPABILITIES: dict(offers), CLIENT_INFO: info}


def modern(answered: Answered) -> Revision | None:
    """What the answer to the probe says: the modern revision to speak, or None for the older kind."""
    versions: Any = None
    if answered.result is not None:
        versions = answered.result.get("supportedVersions")
    elif answered.failure is not None and answered.failure.code in _MODERN_CODES:
        data = answered.failure.data
        versions = cast("Object", data).get("supported") if isinstance(data, dict) else None
    if not isinstance(versions, list):
        return None
    known = [MODERN[each] for each in cast("list[Any]", versions) if isinstance(each, str) and each in MODERN]
    return max(known, key=lambda each: each.rank, default=None)


def handshaken(result: Mapping[str, Any]) -> Revision | None:
    """The revision that `initialize` settled; None if it is none of ours."""
    version = result.get("protocolVersion")
    return LEGACY.get(version) if isinstance(version, str) else None


_MODERN_CODES = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})


def _belongs_to(params: Object) -> Id | None:
    meta = params.get("_meta")
    found = cast("Object", meta).get(SUBSCRIPTION) if isinstance(meta, dict) else None
    return found if jsonrpc.is_id(found) else None
