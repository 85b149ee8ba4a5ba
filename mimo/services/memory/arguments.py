"""What the memory's tools take, as agents read it. Every byte of these descriptions is read by every agent."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema

from mimo.services.memory.secrets import kind_of_secret, redactor
from mimo.tool import Arguments

LONGEST_CONTENT = 100_000  # bytes
MOST_ITEMS = 1_000
MOST_TAGS = 64
MAX_CHARS, MOST_CHARS = 6_000, 40_000
# Characters without a width, and blanks between them.
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff \t\r\n"


def _tag(tag: str) -> str:
    tag = tag.strip()
    if not tag or not tag.isprintable():
        raise ValueError("a tag is some printable characters")
    return tag


def _whole(text: str) -> str:
    """UTF-16 torn apart somewhere on its way: SQLite keeps whole characters only."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character (a lone surrogate) at {error.start}; send whole ones") from None
    return text


def _name(name: str) -> str:
    if not name.isprintable():
        raise ValueError("printable characters only")
    return name


def _key(key: str) -> str:
    if kind := kind_of_secret(key):
        raise ValueError(f"it holds a secret ({kind}), and a key is kept as it is; choose another")
    return key


def _text(text: str) -> str:
    _whole(text)
    if not text.strip().strip(UNSEEN):
        raise ValueError("there is nothing in it; say what is to be remembered")
    if "\0" in text:
        raise ValueError("it holds NUL: that is binary data, not text")
    size = len(text.encode())
    if size > LONGEST_CONTENT:
        raise ValueError(f"at most {LONGEST_CONTENT:,} bytes (got {size:,}); split it, or store where it is")
    return text


def _space(namespace: str) -> str:
    if namespace != namespace.strip() or not namespace.isprintable():
        raise ValueError("a namespace has printable characters, and no space at its ends")
    return namespace


Text: TypeAlias = Annotated[str, AfterValidator(_text)]
Kind: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Tag: TypeAlias = Annotated[str, Field(max_length=100), AfterValidator(_tag)]
Tags: TypeAlias = Annotated[list[Tag], Field(max_length=MOST_TAGS)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
Namespace: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_space)]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=150), AfterValidator(_key)]
Importance: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Id: TypeAlias = Annotated[str, Field(min_length=2, max_length=40)]
Ids: TypeAlias = Annotated[list[Id], Field(min_length=1, max_length=100)]
# A date as text, or a number of seconds; clients are told of the text only, because some cannot read a choice.
When: TypeAlias = Annotated[str | float, WithJsonSchema({"type": "string"})]
# Text is how far it is to be trusted, or who says so; an object says both.
Source: TypeAlias = Annotated[str | dict[str, str], WithJsonSchema({"type": "string"})]
Format: TypeAlias = Literal["text", "json"]

KINDS = "fact, preference, decision, observation, action, plan, episode, procedure, ..."


class Item(Arguments):
    """One thing to remember."""

    content: Text
    kind: Kind | None = None
    importance: Importance | None = None
    tags: Tags = Field(default_factory=list[str])
    reference: Name | None = Field(default=None, description="your own id of it")
    session: Name | None = None
    position: int | None = Field(default=None, ge=0, le=1 << 40, description="place in the session")
    created_at: When | None = Field(default=None, description="ISO 8601")
    valid_from: When | None = None
    valid_to: When | None = None
    ttl: float | None = Field(default=None, ge=0, le=30 * 86_400)
    supersedes: Annotated[list[Id], Field(max_length=100)] | SkipJsonSchema[str] = Field(
        default_factory=list[str]
    )
    source: Source | None = Field(default=None, description="user, agent, tool or web")


class Add(Arguments):
    """Use when the user states a preference or fact, a decision is made, or something learned should outlast this
    session: remember, note, save it. One thing as `content`, or many as `items`. The answer says what became of each;
    duplicates are merged, secrets are blotted out."""

    content: Text | None = Field(default=None, description="one self-contained statement")
    kind: Kind | None = Field(default=None, description=KINDS)
    importance: Importance | None = None
    tags: Tags = Field(default_factory=list[str])
    ttl: float | None = Field(
        default=None, ge=0, le=30 * 86_400, description="working memory: seconds to keep it (0: 600)"
    )
    supersedes: Annotated[list[Id], Field(max_length=100)] | SkipJsonSchema[str] = Field(
        default_factory=list[str], description="ids that this replaces"
    )
    items: Annotated[list[Item], Field(max_length=MOST_ITEMS)] = Field(default_factory=list[Item])
    namespace: Namespace | None = Field(
        default=None, description='default: this project; "user" for what is about the person'
    )
    key: Key | None = Field(default=None, description="same key: done once")
    format: Format = "text"
    # Whoever says one thing may say all of it; agents are shown only what they need.
    reference: SkipJsonSchema[Name | None] = None
    session: SkipJsonSchema[Name | None] = None
    position: SkipJsonSchema[Annotated[int, Field(ge=0, le=1 << 40)] | None] = None
    created_at: SkipJsonSchema[When | None] = None
    valid_from: SkipJsonSchema[When | None] = None
    valid_to: SkipJsonSchema[When | None] = None
    source: SkipJsonSchema[Source | None] = None

    def all_items(self) -> list[Item]:
        """What is to be added, in whichever form it was said."""
        if self.content is None:
            return self.items
        given: dict[str, Any] = self.model_dump(include=set(Item.model_fields))
        return [Item.model_construct(**given), *self.items]


class Search(Arguments):
    """Use when earlier work may bear on the question: recall what was said, decided, preferred, tried or learned
    (notes, history, "last time", "we agreed"). Search before answering from scratch. Says so when nothing fits."""

    query: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_whole)] = Field(
        description="plain words, or a question"
    )
    namespace: Namespace | None = Field(
        default=None, description='default: this project and "user"; "*": all'
    )
    limit: int = Field(default=5, ge=1, le=50)
    cursor: Name | None = None
    kinds: Annotated[list[Kind], Field(max_length=20)] | None = None
    tags: Tags | None = None
    time: Name | None = Field(default=None, description="yesterday, last week, since March, 2031-05-23")
    as_of: When | None = Field(default=None, description="as it was known then")
    strategy: Literal["balanced", "semantic", "recent", "important", "popular"] = "balanced"
    detail: Literal["brief", "full"] = "brief"
    max_chars: int = Field(default=MAX_CHARS, ge=200, le=MOST_CHARS)
    why: bool = False
    format: Format = "text"


class Get(Arguments):
    """Use when the whole text, source or history of memories is wanted, by their ids."""

    ids: Ids
    history: bool = False
    max_chars: int = Field(default=MOST_CHARS, ge=200, le=MOST_CHARS)
    format: Format = "text"


Action: TypeAlias = Literal[
    "update",
    "forget",
    "restore",
    "undo",
    "protect",
    "unprotect",
    "tag",
    "untag",
    "link",
    "supersede",
    "purge",
]


class Edit(Arguments):
    """Use when a memory is wrong, outdated or unwanted: correct, forget, restore, protect, tag or link it. undo takes
    back your own last change; a purge cannot be undone. supersede: `ids` are replaced by `target`."""

    action: Action
    ids: Annotated[list[Id], Field(max_length=100)] = Field(default_factory=list[str])
    content: Text | None = None
    kind: Kind | None = None
    importance: Importance | None = None
    tags: Tags | None = None
    protected: bool | None = None
    valid_from: When | None = None
    valid_to: When | None = None
    target: Id | None = None
    relation: Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,39}$")] = "related"
    namespace: SkipJsonSchema[Namespace | None] = None  # of undo: where; else wherever it was
    key: Key | None = None
    format: Format = "text"

    @model_validator(mode="after")
    def _no_secret_in_tags(self) -> Self:
        # Of what is said once a part is blotted out; who only tags can say it again. Taken away may be any tag.
        if self.tags and self.action != "untag":
            redact = redactor(self.tags)
            if found := [kind for tag in self.tags for kind in redact(tag).found]:
                raise ValueError(
                    f"tags: one holds a secret ({found[0]}), and tags are shown; nothing was changed"
                )
        return self


class Context(Arguments):
    """Use when a session starts, or the thread is lost: what matters now in this project (protected notes,
    preferences, recent decisions, unfinished work), and with `task` what bears on it."""

    task: Annotated[str, Field(max_length=20_000), AfterValidator(_whole)] = ""
    namespace: Namespace | None = None
    max_chars: int = Field(default=1_500, ge=200, le=MOST_CHARS)
    format: Literal["text", "json", "hook"] = "text"
