"""JSON-RPC 2.0: bytes to messages and back, within bounds that no peer can push us over.

`parse` never raises: what cannot be understood becomes a `Malformed` that carries its one right answer,
or none where JSON-RPC forbids one. Params and results stay plain JSON, so that what a later revision
adds survives forwarding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

Id: TypeAlias = "str | int"
Object: TypeAlias = "dict[str, Any]"

# The official servers' cap over HTTP, and far above anything an agent can read.
MAX_LINE = 4 * 1024 * 1024
# Real traffic nests below 20; the parser itself gives up at 200.
MAX_DEPTH = 64
MAX_BATCH = 1000

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

# JSON has no infinity, but a number can be written so large that it becomes one.
# Two patterns, because one that begins with digits is searched for at a multiple of the speed.
_LARGE_EXPONENT = re.compile(rb"\d[eE]\+?\d{3}")
_MANY_DIGITS = re.compile(rb"\d{200}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_IDS = (str, int)  # a union would be made anew for each message


@dataclass(frozen=True, slots=True)
class Failure:
    """JSON-RPC's error object."""

    code: int
    message: str
    data: Any = None

    def as_json(self) -> Object:
        shown: Object = {"code": self.code, "message": self.message}
        if self.data is not None:
            shown["data"] = self.data
        return shown


@dataclass(frozen=True, slots=True)
class Request:
    id: Id
    method: str
    params: Object = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Notification:
    method: str
    params: Object = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Response:
    """What the peer says to a request of ours: a result, or a failure."""

    id: Id
    result: Object | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a message. `answered` is false where JSON-RPC forbids an answer: it was a notification or a response."""

    failure: Failure
    id: Id | None = None
    answered: bool = True


Message: TypeAlias = "Request | Notification | Response | Malformed"


@dataclass(frozen=True, slots=True)
class Batch:
    """Several messages in one array. Whether that is allowed depends on the revision in force."""

    messages: tuple[Message, ...]


def parse(data: bytes | bytearray) -> Message | Batch:
    """One message, or one batch, from the bytes of a line, a frame or a body."""
    if len(data) > MAX_LINE:
        return TOO_LONG
    value = plain(data)
    if isinstance(value, Malformed):
        return value
    if isinstance(value, list):
        return _batch(cast("list[Any]", value))
    return _message(value)


def plain(data: bytes | bytearray) -> Any:
    """Any JSON, within the same bounds; `Malformed` if it is none, or nested too deeply. The caller bounds its length."""
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        text = str(error)
        if "recursion limit" in text:
            return TOO_DEEP
        return Malformed(Failure(PARSE_ERROR, f"not JSON: {text}"))
    # Most messages have few brackets, and then there is nothing to walk.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(value):
        return TOO_DEEP
    large = _LARGE_EXPONENT.search(data) or (len(data) > 200 and _MANY_DIGITS.search(data))
    if large and _has_infinity(value):
        return Malformed(Failure(PARSE_ERROR, "not JSON: a number is too large"))
    return value


def request(id: Id, method: str, params: Object | None = None) -> bytes:  # noqa: A002
    if params is None:
        return encode({"jsonrpc": "2.0", "id": id, "method": method})
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def notification(method: str, params: Object | None = None) -> bytes:
    return encode({"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params}))


def result(id: Id, result: Object) -> bytes:  # noqa: A002
    return encode({"jsonrpc": "2.0", "id": id, "result": result})


def error(id: Id | None, failure: Failure) -> bytes:  # noqa: A002
    return encode({"jsonrpc": "2.0", "id": id, "error": failure.as_json()})


def encode(value: Any) -> bytes:
    """JSON in UTF-8 without a newline. NaN and infinity become null, lone surrogates U+FFFD, as JSON has neither."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(_scrubbed(value), inf_nan_mode="null")


def is_id(value: object) -> TypeGuard[Id]:
    return isinstance(value, _IDS) and not isinstance(value, bool)


class Lines:
    """Bytes, as they come, to lines. A line that is too long is given once, as `TOO_LONG`, and skipped to its end.

    The memory used stays below the cap and one chunk.
    """

    def __init__(self, cap: int = MAX_LINE) -> None:
        self._cap = cap
        self._begun = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes | bytearray) -> Iterable[bytes | bytearray | Malformed]:
        """The lines that this chunk completes, without their newline; empty ones are left out."""
        if not self._begun and not self._skipping and chunk.find(b"\n") == len(chunk) - 1 <= self._cap:
            line = chunk[:-1]  # one whole line, as most chunks are
            return () if not line or line.isspace() else (line,)
        return self._split(chunk)

    def _split(self, chunk: bytes | bytearray) -> Iterator[bytes | bytearray | Malformed]:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = chunk[start:end]
            start = end + 1
            if self._begun:
                line = bytes(self._begun) + line
                self._begun.clear()
            if self._skipping:
                self._skipping = False
            elif len(line) > self._cap:
                yield TOO_LONG
            elif line and not line.isspace():
                yield line
        if self._skipping:
            return
        self._begun += chunk[start:]
        if len(self._begun) > self._cap:
            self._begun.clear()
            self._skipping = True
            yield TOO_LONG

    def end(self) -> Malformed | None:
        """The stream has ended. What it broke off in the middle of, if it did."""
        torn = bool(self._begun) and not self._begun.isspace()
        self._begun.clear()
        self._skipping = False
        return TORN if torn else None


TOO_LONG = Malformed(Failure(INVALID_REQUEST, f"a message must be at most {MAX_LINE} bytes; split the work"))
TOO_DEEP = Malformed(Failure(INVALID_REQUEST, f"a message must nest at most {MAX_DEPTH} deep; flatten it"))
TORN = Malformed(Failure(PARSE_ERROR, "the stream ended within a message"))


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        return Malformed(Failure(INVALID_REQUEST, "a message must be a JSON object"))
    raw = cast("Object", value)
    has_id, identity = "id" in raw, raw.get("id")
    answerable = identity if is_id(identity) else None
    if "method" not in raw:
        if "result" in raw or "error" in raw:
            return _response(raw, answerable)
        return Malformed(Failure(INVALID_REQUEST, "method is missing"), answerable)
    method, params = raw["method"], raw.get("params", {})
    if raw.get("jsonrpc") != "2.0":
        wrong = 'jsonrpc must be "2.0"'
    elif not isinstance(method, str):
        wrong = "method must be a string"
    elif has_id and answerable is None:
        wrong = "id must be a string or an integer"
    elif not isinstance(params, dict):
        wrong = "params must be an object"
    else:
        members = cast("Object", params)
        return Notification(method, members) if answerable is None else Request(answerable, method, members)
    # A notification is never answered, however wrong; but without a method it is none.
    is_notification = not has_id and isinstance(method, str)
    return Malformed(Failure(INVALID_REQUEST, wrong), answerable, answered=not is_notification)


def _response(raw: Object, identity: Id | None) -> Message:
    ours, failed = raw.get("result"), raw.get("error")
    if identity is not None and raw.get("jsonrpc") == "2.0":
        if isinstance(ours, dict) and "error" not in raw:
            return Response(identity, result=cast("Object", ours))
        if isinstance(failed, dict) and "result" not in raw:
            told = cast("Object", failed)
            code, message = told.get("code"), told.get("message")
            if isinstance(code, int) and isinstance(message, str):
                return Response(identity, failure=Failure(code, message, told.get("data")))
    return Malformed(Failure(INVALID_REQUEST, "not a valid response"), identity, answered=False)


def _batch(values: list[Any]) -> Malformed | Batch:
    if not values:
        return Malformed(Failure(INVALID_REQUEST, "a batch must not be empty"))
    if len(values) > MAX_BATCH:
        return Malformed(Failure(INVALID_REQUEST, f"a batch must hold at most {MAX_BATCH} messages"))
    return Batch(tuple(_message(value) for value in values))


def _within(level: list[Any]) -> list[Any]:
    """The items of the objects and arrays of one level: the next level down."""
    below: list[Any] = []
    for item in level:
        if isinstance(item, dict):
            below.extend(cast("Object", item).values())
        elif isinstance(item, list):
            below.extend(cast("list[Any]", item))
    return below


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for item in _within(level) if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _has_infinity(value: Any) -> bool:
    level: list[Any] = [value]
    while level:
        if any(isinstance(item, float) and math.isinf(item) for item in level):
            return True
        level = _within(level)
    return False


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {_scrubbed(name): _scrubbed(member) for name, member in members.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in cast("list[Any]", value)]
    return value
