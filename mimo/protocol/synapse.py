"""Synapse, pure: the channel frames that Phoenix clients speak, both serialisations, and what an agent may ask.

A frame has five parts. `vsn=1.0.0` writes them as an object, `vsn=2.0.0` as an array; nothing else differs.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from mimo.errors import InvalidArguments, MimoError, TooSlow
from mimo.protocol import jsonrpc
from mimo.protocol.rest import problem_of
from mimo.tool import JsonObject

PHOENIX = "phoenix"  # the topic of heartbeats, and of what concerns no channel
HEARTBEAT, JOIN, LEAVE, REPLY, ERROR, CLOSE = (
    "heartbeat",
    "phx_join",
    "phx_leave",
    "phx_reply",
    "phx_error",
    "phx_close",
)
PRESENCE_STATE, PRESENCE_DIFF = "presence_state", "presence_diff"

MAX_NAME = 128  # topics, events, refs
MAX_QUESTION = 10_000  # characters
MAX_TIMEOUT = 600_000  # milliseconds
MAX_PATTERNS = 32

_TOPIC = re.compile(r"cortex:([A-Za-z0-9_.@-]{1,64})")
_PATTERN = re.compile(r"[a-z]{2,20}:(\*|[a-z_]{1,60})")


class Version(enum.Enum):
    """How a frame is written."""

    OBJECTS = "1.0.0"
    ARRAYS = "2.0.0"


class Priority(enum.IntEnum):
    """Who is served first of those that wait."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Frame:
    topic: str
    event: str
    payload: JsonObject = field(default_factory=dict[str, Any])
    ref: str | None = None
    join_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    q: str
    ref: str
    priority: Priority = Priority.NORMAL
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    ref: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallTool:
    name: str
    arguments: JsonObject
    ref: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Subscribe:
    """From now on these kinds, and no others."""

    events: tuple[str, ...]


Wish: TypeAlias = Query | Interrupt | CallTool | Ping | Subscribe


def version(text: str | None) -> Version:
    """What a client asked for in `vsn`; clients that say nothing are old ones. Raises: InvalidArguments."""
    try:
        return Version(text or "1.0.0")
    except ValueError:
        raise InvalidArguments(f"vsn is 1.0.0 or 2.0.0 (got {str(text)[:20]!r})", field="vsn") from None


def agent_of(topic: str) -> str:
    """The agent's id in `cortex:<agent_id>`. Raises: InvalidArguments."""
    if found := _TOPIC.fullmatch(topic):
        return found[1]
    raise InvalidArguments(
        f"no topic {topic[:80]!r}; join 'cortex:<agent_id>', where the id has 1..64 letters, digits, _ . @ -",
        field="topic",
    )


def read(text: str, how: Version) -> Frame:
    """The frame in a message. Its length is bounded by who received it. Raises: InvalidArguments."""
    value = jsonrpc.plain(text.encode("utf-8", "surrogatepass"))
    if isinstance(value, jsonrpc.Malformed):
        raise InvalidArguments(value.failure.message)
    if how is Version.ARRAYS:
        parts = cast("list[object]", value) if isinstance(value, list) else []
        if len(parts) != 5:
            raise InvalidArguments("a frame of vsn 2.0.0 is [join_ref, ref, topic, event, payload]")
        join_ref, ref, topic, event, payload = parts
    else:
        if not isinstance(value, dict):
            raise InvalidArguments('a frame of vsn 1.0.0 is {"topic", "event", "payload", "ref"}')
        named = cast("dict[str, object]", value)
        join_ref, ref = named.get("join_ref"), named.get("ref")
        topic, event, payload = named.get("topic"), named.get("event"), named.get("payload", {})
    if not isinstance(payload, dict):
        raise InvalidArguments("a frame's payload is an object", field="payload")
    return Frame(
        _name(topic, "topic"),
        _name(event, "event"),
        cast("JsonObject", payload),
        _ref(ref, "ref"),
        _ref(join_ref, "join_ref"),
    )


def write(frame: Frame, how: Version) -> str:
    return write_around(frame, jsonrpc.encode(dict(frame.payload)).decode(), how)


def write_around(frame: Frame, payload: str, how: Version) -> str:
    """As `write`, with a payload that was encoded before: what goes to many is encoded once."""
    join_ref, ref, topic, event = (
        jsonrpc.encode(part).decode() for part in (frame.join_ref, frame.ref, frame.topic, frame.event)
    )
    if how is Version.ARRAYS:
        return f"[{join_ref},{ref},{topic},{event},{payload}]"
    return f'{{"topic":{topic},"event":{event},"payload":{payload},"ref":{ref},"join_ref":{join_ref}}}'


def reply(to: Frame, response: JsonObject, *, ok: bool = True) -> Frame:
    payload = {"status": "ok" if ok else "error", "response": response}
    return Frame(to.topic, REPLY, payload, to.ref, to.join_ref)


def refused(to: Frame, error: MimoError, request: str = "") -> Frame:
    """`reason` is where Phoenix clients look."""
    return reply(to, {"reason": error.message, **problem_of(error, request)}, ok=False)


def closed(topic: str, join_ref: str | None) -> Frame:
    """A channel has ended. Clients find the channel by `join_ref`, and older ones by `ref`."""
    return Frame(topic, CLOSE, {}, join_ref, join_ref)


def wish(frame: Frame) -> Wish:
    """What an agent asks for within its channel. Raises: InvalidArguments."""
    payload = frame.payload
    match frame.event:
        case "query":
            _only(payload, {"q", "ref", "priority", "timeout"})
            return Query(
                _text(payload, "q", MAX_QUESTION), _named(frame), _priority(payload), _seconds(payload)
            )
        case "interrupt":
            _only(payload, {"ref", "reason"})
            reason = payload.get("reason")
            if reason is not None and not isinstance(reason, str):
                raise InvalidArguments("reason is text", field="reason")
            return Interrupt(_text(payload, "ref", MAX_NAME), (reason or "")[:500])
        case "tool":
            _only(payload, {"name", "arguments", "ref"})
            arguments = payload.get("arguments", {})
            if not isinstance(arguments, dict):
                raise InvalidArguments("arguments is an object", field="arguments")
            return CallTool(_text(payload, "name", MAX_NAME), cast("JsonObject", arguments), _named(frame))
        case "ping":
            return Ping()
        case "subscribe":
            _only(payload, {"events"})
            return Subscribe(_patterns(payload.get("events")))
        case other:
            raise InvalidArguments(
                f"no event {other[:80]!r}; there are query, interrupt, tool, ping, subscribe", field="event"
            )


def result(ref: str, status: str, data: object, seconds: float) -> JsonObject:
    return {"ref": ref, "status": status, "data": data, "latency_ms": round(seconds * 1000, 3)}


def failed(ref: str, error: MimoError, seconds: float) -> JsonObject:
    """The `result` of what went wrong."""
    status = "timeout" if isinstance(error, TooSlow) else "error"
    return {**result(ref, status, None, seconds), "error": problem_of(error, ref)}


def thought(kind: str, content: str, ref: str | None, at: str, **more: object) -> JsonObject:
    """`at`: the time, as RFC 3339 has it."""
    return {"thought": {"type": kind, "content": content, **more}, "ref": ref, "timestamp": at}


def presence(agent: str, metas: Sequence[JsonObject]) -> JsonObject:
    """Who is there, as Phoenix's `Presence` reads it. Nobody when there are no metas."""
    return {agent: {"metas": list(metas)}} if metas else {}


def _only(payload: JsonObject, names: set[str]) -> None:
    if more := sorted(payload.keys() - names):
        raise InvalidArguments(
            f"this event has {', '.join(sorted(names))}, not {', '.join(more)[:100]}", field=more[0][:100]
        )


def _named(frame: Frame) -> str:
    """What the client calls this errand; if it does not say, the message's own ref."""
    if frame.payload.get("ref") is None and frame.ref is not None:
        return frame.ref
    return _text(frame.payload, "ref", MAX_NAME)


def _text(payload: Mapping[str, object], name: str, most: int) -> str:
    value = payload.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name == "ref":
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise InvalidArguments(f"{name} is text of 1..{most} characters", field=name)
    return value


def _priority(payload: Mapping[str, object]) -> Priority:
    said = payload.get("priority", "normal")
    if isinstance(said, str) and said.upper() in Priority.__members__:
        return Priority[said.upper()]
    raise InvalidArguments(f"priority is high, normal or low (got {str(said)[:20]!r})", field="priority")


def _seconds(payload: Mapping[str, object]) -> float | None:
    said = payload.get("timeout")
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 1 <= said <= MAX_TIMEOUT:
        raise InvalidArguments(f"timeout is 1..{MAX_TIMEOUT} milliseconds", field="timeout")
    return said / 1000


def _patterns(said: object) -> tuple[str, ...]:
    patterns = cast("list[object]", said) if isinstance(said, list) else None
    if patterns is None or len(patterns) > MAX_PATTERNS:
        raise InvalidArguments(f"events is a list of at most {MAX_PATTERNS} kinds", field="events")
    for each in patterns:
        if not isinstance(each, str) or not _PATTERN.fullmatch(each):
            raise InvalidArguments(
                f"no kind {str(each)[:60]!r}; kinds are 'memory:*', 'system:*' or one of theirs",
                field="events",
            )
    return tuple(dict.fromkeys(cast("list[str]", patterns)))


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
        raise InvalidArguments(f"a frame's {what} is text of 1..{MAX_NAME} characters", field=what)
    return value


def _ref(value: object, what: str) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if value is None or (isinstance(value, str) and len(value) <= MAX_NAME):
        return value
    raise InvalidArguments(f"a frame's {what} is text of at most {MAX_NAME} characters", field=what)
