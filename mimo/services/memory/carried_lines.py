"""The lines of an export: each one thing, as JSON, and back. Pure.

`{"mimo_export": 1, ...}` comes first, then days, namespaces, memories, and what ties them together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mimo.errors import InvalidArguments
from mimo.services.memory import decay
from mimo.services.memory.arguments import Importance, Kind, Name, Namespace, Tags, Text
from mimo.services.memory.blotting import Blotting
from mimo.services.memory.drafts import IMPORTANCE, USUAL_IMPORTANCE
from mimo.services.memory.moments import moment, shown
from mimo.services.memory.names import name_of, number_of
from mimo.storage.engrams.engram import Engram, Origin
from mimo.storage.engrams.history import Happened
from mimo.storage.engrams.take_in import Days, Header, Thing
from mimo.storage.engrams.transfer import Carried, Counts, End, Place, Tie

VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


Trust: TypeAlias = Literal["user", "agent", "tool", "web"]
State: TypeAlias = Literal["live", "working", "archived", "forgotten"]
When: TypeAlias = str | float
Count: TypeAlias = Annotated[int, Field(ge=0, le=1 << 53)]


class _Origin(_Model):
    reference: str | None = None
    client: str = ""
    tool: str = ""
    trust: Trust = "agent"
    session: str | None = None
    position: int | None = None
    created_at: When
    stored_at: When


class _Happened(_Model):
    action: str
    op: str
    at: When
    actor: str = ""
    before: dict[str, Any] | None = None
    undone: bool = False


class _Memory(_Model):
    content: Text
    id: str | None = None
    namespace: Namespace | None = None
    state: State = "live"
    state_since: When | None = None
    kind: Kind = "fact"
    importance: Importance | None = None
    decay_rate: Annotated[float, Field(ge=0)] | None = None
    protected: bool = False
    tags: Tags = Field(default_factory=list[str])
    reference: Name | None = None
    session: Name | None = None
    position: Count | None = None
    client: str = ""
    tool: str = ""
    trust: Trust = "agent"
    created_at: When | None = None
    stored_at: When | None = None
    changed_at: When | None = None
    valid_from: When | None = None
    valid_to: When | None = None
    expires_at: When | None = None
    accessed_at: When | None = None
    accessed_day: str | None = None
    access_count: Count = 0
    origins: list[_Origin] = Field(default_factory=list[_Origin])
    history: list[_Happened] = Field(default_factory=list[_Happened])


class _End(_Model):
    id: str
    namespace: Namespace
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Tie(_Model):
    one: _End
    relation: Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,39}$")]
    other: _End
    created_at: When = 0


class _Place(_Model):
    name: Namespace
    created_at: When


class _Days(_Model):
    days: list[Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]]


_MEMORY, _TIE, _PLACE, _DAYS = (
    TypeAdapter(_Memory),
    TypeAdapter(_Tie),
    TypeAdapter(_Place),
    TypeAdapter(_Days),
)


def header_line(counts: Counts) -> str:
    return _line(
        {"mimo_export": VERSION, "namespaces": counts.places, "memories": counts.engrams, "ties": counts.ties}
    )


def days_line(days: Sequence[str]) -> str:
    return _line({"t": "days", "days": list(days)})


def place_line(place: Place) -> str:
    return _line({"t": "namespace", "name": place.name, "created_at": shown(place.created_at)})


def tie_line(tie: Tie) -> str:
    return _line(
        {
            "t": "tie",
            "one": _end(tie.one),
            "relation": tie.relation,
            "other": _end(tie.other),
            "created_at": shown(tie.created_at),
        }
    )


def memory_line(it: Carried) -> str:
    engram = it.engram
    return _line(
        {
            "t": "memory",
            "id": name_of(engram.id),
            "namespace": engram.namespace,
            "content": engram.content,
            "kind": engram.kind,
            "state": engram.state,
            "state_since": shown(engram.state_since),
            "importance": engram.importance,
            "decay_rate": engram.decay_rate,
            "protected": engram.protected,
            "tags": list(engram.tags),
            "session": engram.session,
            "position": engram.position,
            "client": engram.client,
            "tool": engram.tool,
            "trust": engram.trust,
            "created_at": shown(engram.created_at),
            "stored_at": shown(engram.stored_at),
            "changed_at": shown(engram.changed_at),
            "valid_from": _maybe(engram.valid_from),
            "valid_to": _maybe(engram.valid_to),
            "expires_at": _maybe(engram.expires_at),
            "accessed_at": shown(engram.accessed_at),
            "accessed_day": it.day,
            "access_count": engram.access_count,
            "origins": [
                {
                    "reference": o.reference,
                    "client": o.client,
                    "tool": o.tool,
                    "trust": o.trust,
                    "session": o.session,
                    "position": o.position,
                    "created_at": shown(o.created_at),
                    "stored_at": shown(o.stored_at),
                }
                for o in engram.origins
            ],
            "history": [
                {
                    "action": each.action,
                    "op": each.op,
                    "at": shown(each.at),
                    "actor": each.actor,
                    "before": each.before,
                    "undone": each.undone,
                }
                for each in it.history
            ],
        }
    )


def read_line(line: str, namespace: str, now: int) -> Thing:
    """What a line says. A memory that does not say where it belongs belongs to `namespace`.

    Raises:
        InvalidArguments: it is none of ours; the message says why.
    """
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidArguments("not JSON") from None
    if not isinstance(value, dict):
        raise InvalidArguments("not a JSON object")
    try:
        return _read(value, namespace, now)  # pyright: ignore[reportUnknownArgumentType]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidArguments(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidArguments(f"it cannot be kept: {error}") from None


def _read(value: Mapping[str, Any], namespace: str, now: int) -> Thing:
    if "mimo_export" in value:
        if value["mimo_export"] != VERSION:
            raise InvalidArguments(
                f"an export of version {value['mimo_export']!r}; this mimo reads version {VERSION}"
            )
        return Header(VERSION, _promised(value))
    match value.get("t", "memory"):
        case "days":
            return Days(tuple(_DAYS.validate_python(value).days))
        case "namespace":
            place = _PLACE.validate_python(value)
            return Place(place.name, moment(place.created_at, "created_at"))
        case "tie":
            tie = _TIE.validate_python(value)
            return Tie(
                _read_end(tie.one), tie.relation, _read_end(tie.other), moment(tie.created_at, "created_at")
            )
        case "memory":
            return _read_memory(_MEMORY.validate_python(value), namespace, now)
        case other:
            raise InvalidArguments(f"a line of an unknown kind {str(other)[:40]!r}")


def _promised(value: Mapping[str, Any]) -> int:
    """How many lines a header says that there are: itself, the days, and what it counts. 0 if it does not say."""
    numbers = [value.get(name) for name in ("namespaces", "memories", "ties")]
    counted = [number for number in numbers if isinstance(number, int) and 0 <= number < 1 << 53]
    return 2 + sum(counted) if len(counted) == len(numbers) else 0


def _read_memory(it: _Memory, namespace: str, now: int) -> Carried:
    def at(when: When | None, name: str, otherwise: int = now) -> int:
        return otherwise if when is None else moment(when, name)

    def maybe(when: When | None, name: str) -> int | None:
        return None if when is None else moment(when, name)

    created_at = at(it.created_at, "created_at")
    stored_at = at(it.stored_at, "stored_at")
    importance = IMPORTANCE.get(it.kind, USUAL_IMPORTANCE) if it.importance is None else float(it.importance)
    valid_from, valid_to = maybe(it.valid_from, "valid_from"), maybe(it.valid_to, "valid_to")
    if valid_from is not None and valid_to is not None and valid_to < valid_from:
        raise InvalidArguments("valid_to is before valid_from")
    if it.position is not None and it.session is None:
        raise InvalidArguments("a position has a meaning only within a session")
    if (it.state == "working") != (it.expires_at is not None) and it.state in {"working", "live"}:
        raise InvalidArguments("working memory has a time when it expires, and what is live has none")
    texts = Blotting(it.content, it.tags, [each.before for each in it.history if each.before])
    name = texts.name
    origins = tuple(
        Origin(
            texts.maybe(o.reference),
            name(o.client),
            name(o.tool),
            o.trust,
            texts.maybe(o.session),
            o.position,
            moment(o.created_at, "origins.created_at"),
            moment(o.stored_at, "origins.stored_at"),
        )
        for o in it.origins
    )
    who, tool, session = name(it.client), name(it.tool), texts.maybe(it.session)
    first = Origin(
        texts.maybe(it.reference), who, tool, it.trust, session, it.position, created_at, stored_at
    )
    engram = Engram(
        id=0 if it.id is None else number_of(it.id),
        namespace=it.namespace or namespace,
        state=it.state,
        state_since=at(it.state_since, "state_since"),
        content=texts.text(it.content),
        kind=it.kind,
        importance=importance,
        protected=it.protected,
        session=session,
        position=it.position,
        client=who,
        tool=tool,
        trust=it.trust,
        created_at=created_at,
        stored_at=stored_at,
        changed_at=at(it.changed_at, "changed_at", stored_at),
        valid_from=valid_from,
        valid_to=valid_to,
        superseded_by=None,
        expires_at=maybe(it.expires_at, "expires_at"),
        accessed_at=at(it.accessed_at, "accessed_at"),
        accessed_day=0,
        access_count=it.access_count,
        decay_rate=decay.rate(importance) if it.decay_rate is None else float(it.decay_rate),
        tags=tuple(dict.fromkeys(map(texts.text, it.tags))),
        origins=origins or (first,),
    )
    history = tuple(
        Happened(
            0,
            0,
            each.action,
            each.op,
            moment(each.at, "history.at"),
            name(each.actor),
            None if each.before is None else texts.before(each.before),
            each.undone,
        )
        for each in it.history
    )
    return Carried(engram, it.accessed_day, history, tuple(texts.found))


def _maybe(at: int | None) -> str | None:
    return None if at is None else shown(at)


def _end(end: End) -> dict[str, str]:
    return {"id": name_of(end.id), "namespace": end.namespace, "hash": end.content_hash.hex()}


def _read_end(end: _End) -> End:
    return End(number_of(end.id), end.namespace, bytes.fromhex(end.hash))


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
