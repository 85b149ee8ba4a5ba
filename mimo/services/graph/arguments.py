"""What the tool `knowledge` takes. Agents are shown the least; every operation's error says what it lacks."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from mimo.services.memory.arguments import Format, Name, Namespace, When
from mimo.tool import Arguments

LONGEST_NAME = 10_240  # bytes; longer things are texts, and belong into a memory
LONGEST_TEXT = 50_000
MOST_TRIPLES = 10_000
DEEPEST, MOST_WAYS, MOST_RESULTS = 20, 10, 1_000

# fmt: off
Operation: TypeAlias = Annotated[
    Literal[
        "query", "teach", "path", "neighbours", "infer", "why", "retract", "resolve", "merge", "stats",
        "closure", "ancestors", "impact", "split", "undo", "suggest", "ask", "help",
    ],
    WithJsonSchema({
        "enum": ["query", "teach", "path", "neighbours", "infer", "why", "retract", "resolve", "merge", "stats", "help"],
    }),
]
# fmt: on


def _thing(name: str) -> str:
    if name.isascii() and len(name) <= LONGEST_NAME and "\0" not in name and (stripped := name.strip()):
        return stripped  # most are: a batch has thousands
    if not name.strip():
        raise ValueError("a name is empty; say what it is about")
    if "\0" in name:
        raise ValueError("a name holds NUL: that is binary data")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate); send whole ones") from None
    if size > LONGEST_NAME:
        raise ValueError(f"a name has at most {LONGEST_NAME:,} bytes (got {size:,}); keep texts as memories")
    return name.strip()


def _sure(confidence: float) -> float:
    if not 0 <= confidence <= 1:
        raise ValueError(f"a confidence is from 0 to 1 (got {confidence})")
    return confidence


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"at most {LONGEST_TEXT:,} characters (got {len(text):,}); teach it in parts")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate); send whole ones") from None
    if "\0" in text:
        raise ValueError("it holds NUL: that is binary data, not text")
    return text


# Their lengths are judged, not declared: every byte of a schema is read by every agent.
# Built when the first call comes, not with the daemon.
LATER = ConfigDict(defer_build=True)
Thing: TypeAlias = Annotated[str, AfterValidator(_thing)]
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
Sure: TypeAlias = Annotated[float, AfterValidator(_sure)]
Type: TypeAlias = Annotated[str, Field(max_length=100), AfterValidator(_text)]


class Item(Arguments):
    """One fact."""

    model_config = LATER

    subject: Thing
    predicate: Thing
    object: Thing
    subject_type: Type = ""
    object_type: Type = ""
    confidence: Sure | None = None
    source: Type | None = None
    evidence: Annotated[str, Field(max_length=2_000), AfterValidator(_text)] = ""
    valid_from: When | None = None
    valid_to: When | None = None
    ttl: float | None = Field(default=None, gt=0, le=10 * 365 * 86_400)
    expires_at: When | None = None
    metadata: dict[str, Any] | None = None
    engram: Name | None = None


def _fact(given: Any) -> Any:
    if isinstance(given, list) and len(cast("list[Any]", given)) == 3:
        subject, predicate, object_ = cast("list[Any]", given)
        return {"subject": subject, "predicate": predicate, "object": object_}
    if (
        not isinstance(given, dict)
        or not {"subject", "predicate", "object"} <= cast("dict[str, Any]", given).keys()
    ):
        raise ValueError("a fact is [subject, predicate, object], or an object with these")
    return cast("dict[str, Any]", given)


# A list of three names, or an object with more; clients are told of the list only.
Triple: TypeAlias = Annotated[
    Item,
    BeforeValidator(_fact),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


class Knowledge(Arguments):
    """Use for exact relations: who reports to whom, what depends on what, since when. Teach facts, query, prove;
    help tells all."""

    model_config = LATER

    operation: Operation
    subject: Thing | None = None
    predicate: Thing | None = None
    object: Thing | None = None
    pattern: Text | None = Field(default=None, description="?x owns ?y, ?y uses Git")
    triples: Annotated[list[Triple], Field(max_length=MOST_TRIPLES)] = Field(default_factory=list[Any])
    text: Text | None = None
    # Whoever asked for help knows these, too.
    as_of: SkipJsonSchema[When | None] = None
    format: SkipJsonSchema[Format] = "text"
    to: SkipJsonSchema[Thing | None] = None
    ids: SkipJsonSchema[Annotated[list[Name], Field(max_length=1_000)]] = Field(default_factory=list[str])
    aliases: SkipJsonSchema[Annotated[list[Thing], Field(max_length=100)]] = Field(default_factory=list[str])
    rules: SkipJsonSchema[Annotated[list[Text], Field(max_length=200)]] = Field(default_factory=list[str])
    graph: SkipJsonSchema[Namespace | None] = None
    graphs: SkipJsonSchema[Annotated[list[Namespace], Field(max_length=20)]] = Field(
        default_factory=list[str]
    )
    predicates: SkipJsonSchema[Annotated[list[str], Field(max_length=100)] | None] = None
    direction: SkipJsonSchema[Literal["out", "in", "both"] | None] = None
    depth: SkipJsonSchema[int | None] = Field(default=None, ge=1, le=DEEPEST)
    count: SkipJsonSchema[int] = Field(default=1, ge=1, le=MOST_WAYS)
    limit: SkipJsonSchema[int | None] = Field(default=None, ge=1, le=MOST_RESULTS)
    known_at: SkipJsonSchema[When | None] = None
    confidence: SkipJsonSchema[Sure | None] = None
    types: SkipJsonSchema[Annotated[list[Type], Field(max_length=50)] | None] = None
    inferred: SkipJsonSchema[bool | None] = None
    source: SkipJsonSchema[Type | None] = None
    valid_from: SkipJsonSchema[When | None] = None
    valid_to: SkipJsonSchema[When | None] = None
    ttl: SkipJsonSchema[float | None] = Field(default=None, gt=0, le=10 * 365 * 86_400)
    metadata: SkipJsonSchema[dict[str, Any] | None] = None
    subject_type: SkipJsonSchema[Type] = ""
    object_type: SkipJsonSchema[Type] = ""
    engram: SkipJsonSchema[Name | None] = None
    key: SkipJsonSchema[Annotated[str, Field(min_length=1, max_length=150)] | None] = None


HELP = """\
knowledge: facts as subject, predicate, object. Every operation takes `graph` (default: this project), `format`.
- teach: `subject`, `predicate`, `object`, or `triples` ([[s, p, o], ...] or objects with confidence, source,
  valid_from, valid_to, ttl, metadata, evidence, engram, subject_type, object_type); `text` is read for facts;
  `rules` like "x manages y, y manages z -> x senior_to z"; `aliases` are more names of `subject`. `key`: done once.
- query: `subject`, `predicate`, `object` (any of them), or a `pattern`: "?who manages ?x, ?x uses Git". Narrow with
  `types`, `confidence` (at least), `inferred` false, `as_of` (true then), `known_at` (believed then), `limit`.
- neighbours, closure, ancestors (of `subject` and `object`): `predicates`, `direction` (out, in, both), `depth`.
- path: from `subject` to `object`; `count` up to 10 ways; `predicates`, `direction` (both), `depth`.
- impact: what would break without `subject`.
- why: the proof of `subject`, `predicate`, `object` (or of `ids`), to the sentence and who said it.
- retract: `ids`, or what fits `subject`, `predicate`, `object`; or `rules`.
- infer: draw all conclusions now. stats: how much there is, rules, predicates.
- resolve: which thing `subject` is. merge: `subject` into `to`. split: from `subject` the facts `ids` and `aliases`
  to the new name `to`. undo: the last merge or split.
- ask: a question in plain words, as `text`; where no fact is known, memories. suggest: at most two facts that bear
  on `text`."""
