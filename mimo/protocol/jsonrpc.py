"""JSON-RPC 2.0: bytes to messages and back, within bounds that no peer can push us over.

`parse` never raises: what cannot be understood becomes a `Malformed` that carries its one right answer,
or none where JSON-RPC forbids one. Params and results stay plain JSON, so that what a later revision
adds survives forwarding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeGuard, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

from mimo.protocol.salvage import HEAD, TAIL, half_character, loosely, named, own_members

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
    """Not a message. `answered` is false where JSON-RPC forbids an answer: it was a notification or a response.

    `without` is the request without its arguments, where nothing but these is wrong.
    """

    failure: Failure
    id: Id | None = None
    answered: bool = True
    without: Request | None = None


Message: TypeAlias = "Request | Notification | Response | Malformed"


@dataclass(frozen=True, slots=True)
class Batch:
    """Several messages in one array. Whether that is allowed depends on the revision in force."""

    messages: tuple[Message, ...]


def parse(data: bytes | bytearray) -> Message | Batch:
    """One message, or one batch, from the bytes of a line, a frame or a body."""
    if len(data) > MAX_LINE:
        return _found(data[:HEAD], data[-TAIL:], TOO_LONG.failure)
    value, wrong = _read(data)
    if wrong is not None:
        return _blamed(data, value, wrong)
    if isinstance(value, list):
        return _batch(cast("list[Any]", value))
    return _message(value)


def plain(data: bytes | bytearray) -> Any:
    """Any JSON, within the same bounds; `Malformed` if it is none, or nested too deeply. The caller bounds its length."""
    value, wrong = _read(data)
    return value if wrong is None else Malformed(wrong)


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
    """Bytes, as they come, to lines. One that is too long is skipped, and given at its end as what `TOO_LONG` says.

    The memory used stays below the cap and one chunk.
    """

    def __init__(self, cap: int = MAX_LINE) -> None:
        self._cap = cap
        self._begun = bytearray()
        self._head: bytes | None = None  # of a line that is being skipped
        self._tail = b""

    def feed(self, chunk: bytes | bytearray) -> Iterable[bytes | bytearray | Malformed]:
        """The lines that this chunk completes, without their newline; empty ones are left out."""
        if not self._begun and self._head is None and chunk.find(b"\n") == len(chunk) - 1 <= self._cap:
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
            if self._head is not None:
                self._skip(line)
                yield _found(self._head, self._tail, TOO_LONG.failure)
                self._head = None
            elif len(line) > self._cap:
                yield _found(line[: self._kept], line[-TAIL:], TOO_LONG.failure)
            elif line and not line.isspace():
                yield line
        if self._head is not None:
            self._skip(chunk[start:])
            return
        self._begun += chunk[start:]
        if len(self._begun) > self._cap:
            self._head, self._tail = bytes(self._begun[: self._kept]), b""
            self._skip(self._begun)
            self._begun.clear()

    def end(self) -> Malformed | None:
        """The stream has ended. What it broke off in the middle of, if it did."""
        torn = bool(self._begun) and not self._begun.isspace()
        skipped, self._head = self._head, None
        self._begun.clear()
        if skipped is not None:
            return _found(skipped, b"", TOO_LONG.failure)  # what came last need not be its end
        return TORN if torn else None

    @property
    def skipping(self) -> bool:
        """Is a line under way that is too long already?"""
        return self._head is not None

    @property
    def _kept(self) -> int:
        return min(HEAD, self._cap)

    def _skip(self, part: bytes | bytearray) -> None:
        self._tail = (self._tail + bytes(part[-TAIL:]))[-TAIL:]


TOO_LONG = Malformed(Failure(INVALID_REQUEST, f"a message must be at most {MAX_LINE} bytes; split the work"))
TOO_DEEP = Malformed(Failure(INVALID_REQUEST, f"a message must nest at most {MAX_DEPTH} deep; flatten it"))
TORN = Malformed(Failure(PARSE_ERROR, "the stream ended within a message"))
_ENDLESS = Failure(PARSE_ERROR, "not JSON: a number is NaN, infinite or too large")


def _read(data: bytes | bytearray) -> tuple[Any, Failure | None]:
    """The value and what is wrong with it. One that cannot be read at all is None."""
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            return None, TOO_DEEP.failure
        value = loosely(data)
        return value, _unfit(value) or Failure(PARSE_ERROR, f"not JSON: {error}")
    # Most messages have few brackets, and then there is nothing to walk.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(value):
        return value, TOO_DEEP.failure
    large = _LARGE_EXPONENT.search(data) or (len(data) > 200 and _MANY_DIGITS.search(data))
    if large and _is_endless(value):
        return value, _ENDLESS
    return value, None


def _unfit(value: Any) -> Failure | None:
    """What is wrong with a value that a looser reader has read."""
    if _too_deep(value):
        return TOO_DEEP.failure
    if _is_endless(value):
        return _ENDLESS
    path = half_character(value)
    if path is None:
        return None
    where = path[2:] if path[:2] == ("params", "arguments") else path
    text = f"{named(where) or 'it'} must be valid Unicode: it holds half a character (half an emoji, or a byte that is not UTF-8); send whole ones"
    data = {"kind": "invalid_arguments", "retry": False, "fields": [named(where)]}
    return Failure(INVALID_PARAMS if path[:1] == ("params",) else INVALID_REQUEST, text, data)


def _blamed(data: bytes | bytearray, value: Any, wrong: Failure) -> Malformed | Batch:
    """What is not to be read, under the id of whoever waits for its answer, if that can be found."""
    if value is None:
        return _found(data[:HEAD], data[-TAIL:], wrong) if wrong is TOO_DEEP.failure else Malformed(wrong)
    if not isinstance(value, list):
        return _of(value, wrong)
    batch = _batch(cast("list[Any]", value))
    if isinstance(batch, Malformed):
        return batch
    each_wrong = [(each, _unfit(each)) for each in cast("list[Any]", value)]
    return Batch(tuple(_message(each) if own is None else _of(each, own) for each, own in each_wrong))


def _found(head: bytes | bytearray, tail: bytes | bytearray, wrong: Failure) -> Malformed:
    """A message of which only the beginning and the end are looked at."""
    members = own_members(head, tail)
    identity = members.get("id")
    if "method" not in members and ("result" in members or "error" in members):
        return Malformed(wrong, identity if is_id(identity) else None, answered=False)
    # Without an id it may be a notification, or the id stands where nobody looks: so it is answered, to nobody.
    return Malformed(wrong, identity if is_id(identity) and "method" in members else None)


def _of(value: Any, wrong: Failure) -> Malformed:
    """As much of a message as could be read, with what is wrong with the whole."""
    message = _message(value)
    match message:
        case Request():
            bare = replace(message, params={**message.params, "arguments": {}})
            only_arguments = (
                wrong.code == INVALID_PARAMS and _unfit([bare.method, bare.id, bare.params]) is None
            )
            return Malformed(wrong, message.id, without=bare if only_arguments else None)
        case Notification():
            return Malformed(wrong, answered=False)
        case Response():
            return Malformed(wrong, message.id, answered=False)
        case Malformed():
            return Malformed(wrong, message.id, message.answered)


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


def _is_endless(value: Any) -> bool:
    """Is there a number in it that JSON cannot write?"""
    level: list[Any] = [value]
    while level:
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
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
