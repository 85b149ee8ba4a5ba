"""What a tool is: a name, a model of its arguments, a handler. Every door derives the rest.

Beside tools live the two other things that a service may offer to an agent, resources and
prompts, and `Call`, which tells a handler who asks and carries what it says while it works.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from mimo.errors import MimoError, Unavailable
from mimo.record import record

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = Mapping[str, Any]


class Arguments(BaseModel):
    """The arguments of a tool. Its docstring is the tool's description, as agents read it.

    Types are never coerced ("5" is not 5), and what is not declared is refused. Schemas stay
    flat: lists as `list[...]`, choices as `Literal[...]`, and no nested `$ref` where it can be helped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Capacity(enum.Enum):
    """What a call competes for. Each class has its own limit, so that none starves another."""

    LIGHT = "light"  # answers from memory
    READ = "read"  # a reader of the database
    WRITE = "write"  # the writer
    COMPUTE = "compute"  # a core: embedding, large scans
    OUTSIDE = "outside"  # waits for somebody else's process


class Trust(enum.Enum):
    """How far what a caller says is to be believed, most first."""

    USER = "user"
    AGENT = "agent"
    TOOL = "tool"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Client:
    """Who is connected. All of it is what the client said of itself, but for `uid`, `scopes` and `key`."""

    name: str = "unknown"
    version: str = ""
    namespace: str = "user"  # where this client's memories live when a call does not say
    session: str = ""  # the client's own session, when it names one
    cwd: str | None = None
    pid: int | None = None
    uid: int | None = None
    scopes: frozenset[str] = frozenset({"read", "write"})
    trust: Trust = Trust.AGENT
    key: str | None = None  # which key was shown, at the doors that ask for one


class Outlet(Protocol):
    """What a handler may say to its caller before it answers. A door without a way to say it drops it."""

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """How far the work is. Must grow from call to call."""
        ...

    async def log(self, level: str, data: Any, logger: str | None = None) -> None:
        """A line for the client's log, if it asked for this level."""
        ...

    async def ask(self, method: str, params: JsonObject, key: str | None = None) -> JsonObject:
        """A question to the client (`elicitation/create`, `sampling/createMessage`, `roots/list`).

        Ask before you change anything: for clients without a session the handler runs anew from its
        first line with each answer, and `key` (or else the order) tells which answer is whose.

        Raises:
            Unavailable: the client did not offer to answer such questions, or did not answer.
        """
        ...

    async def ask_all(self, questions: Mapping[str, tuple[str, JsonObject]]) -> Mapping[str, JsonObject]:
        """Several questions at once, each a method and its params, by key."""
        ...

    def keep(self, name: str, value: Json) -> None:
        """What this handler wants to find again, by `kept`, if it is run anew after a question. No client can read into
        it what it was not told, or change it."""
        ...

    def kept(self, name: str) -> Any:
        """What the run before this one kept under this name; None if there was none."""
        ...


class Silence:
    """The outlet of a door that can only answer."""

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        pass

    async def log(self, level: str, data: Any, logger: str | None = None) -> None:
        pass

    async def ask(self, method: str, params: JsonObject, key: str | None = None) -> JsonObject:
        raise Unavailable(f"this client cannot be asked ({method})")

    async def ask_all(self, questions: Mapping[str, tuple[str, JsonObject]]) -> Mapping[str, JsonObject]:
        raise Unavailable(f"this client cannot be asked ({', '.join(sorted(questions))})")

    def keep(self, name: str, value: Json) -> None:
        pass

    def kept(self, name: str) -> Any:
        return None


SILENCE = Silence()


@record
class Call:
    """One call of one tool: who asks, from where, and how to reach them meanwhile."""

    id: str
    client: Client = field(default_factory=Client)
    meta: JsonObject = field(default_factory=dict[str, Any])
    outlet: Outlet = SILENCE
    key: str | None = None  # the caller's idempotency key, when the door carries one
    offers: JsonObject = field(default_factory=dict[str, Any])  # what the client says it can be asked
    began: float | None = None  # when it came, by `time.perf_counter`, if it was passed on before it is run
    whole: bool = False  # a program asks, for which an answer that is cut is of no use


@record
class Answer:
    """What a tool gives back: blocks for the model to read, and data when data was asked for.

    `content` holds MCP content blocks as plain JSON. Clients show either the text or the data to
    the model, never both well, so a handler fills `data` only when the caller asked for JSON.
    """

    content: tuple[JsonObject, ...] = ()
    data: Any = None
    failed: bool = False
    meta: JsonObject = field(default_factory=dict[str, Any])
    more: JsonObject = field(default_factory=dict[str, Any])  # further members, when somebody else answered

    @staticmethod
    def text(text: str, *, data: Any = None, failed: bool = False) -> Answer:
        return Answer(({"type": "text", "text": text},), data, failed)

    def as_text(self) -> str:
        """All text blocks, for doors and people that read text only."""
        return "\n".join(str(block["text"]) for block in self.content if block.get("type") == "text")


Handler: TypeAlias = Callable[[Any, Call], Awaitable[Answer]]


class Report(Protocol):
    """To whom a tool says what came of a call that it has passed on. Neither waits, and only the first word counts."""

    def over(self, came: Answer | MimoError) -> None: ...

    def more(self) -> None:
        """It takes more than passing on: the handler is to take the call up."""
        ...


# Passes a call on to somebody else, and gives what calls it off; the report comes later, never at once.
# None: nothing was done, and the handler is to run.
Passes: TypeAlias = Callable[[Any, Call, Report], "Callable[[], None] | None"]


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A tool, declared once, at the foot of the service that runs it."""

    name: str
    arguments: type[Arguments]
    handler: Handler
    title: str = ""
    writes: bool = False
    destructive: bool = False
    idempotent: bool = False
    keyed: bool = False  # asked again under the same `Call.key` it gives its first answer, and does nothing
    open_world: bool = False
    capacity: Capacity | None = None
    seconds: float = 60.0  # the deadline when the caller sets none
    listed: bool = True  # in the default list that agents see
    schema: JsonObject | None = None  # somebody else's schema, forwarded word for word
    output_schema: JsonObject | None = None
    text: str | None = None  # a description that is not the model's docstring
    icons: tuple[JsonObject, ...] = ()
    meta: JsonObject = field(default_factory=dict[str, Any])
    definition: JsonObject | None = None  # somebody else's, shown word for word but for the name and `meta`
    passes: Passes | None = None  # a way round the handler that needs no task of its own

    @property
    def description(self) -> str:
        if self.text is not None:
            return self.text
        return " ".join((self.arguments.__doc__ or "").split())

    @property
    def competes_for(self) -> Capacity:
        return self.capacity or (Capacity.WRITE if self.writes else Capacity.READ)

    def renamed(self, name: str, **changes: Any) -> Tool:
        return replace(self, name=name, **changes)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a resource: text or bytes."""

    uri: str
    body: str | bytes
    mime: str = "text/plain"
    said: JsonObject | None = None  # somebody else's, shown word for word


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """Something to read, by its address."""

    uri: str
    name: str
    read: Callable[[str, Call], Awaitable[Sequence[Contents]]]
    title: str = ""
    description: str = ""
    mime: str = "text/plain"
    meta: JsonObject = field(default_factory=dict[str, Any])
    definition: JsonObject | None = None  # as for a tool


@dataclass(frozen=True, slots=True, eq=False)
class ResourceTemplate:
    """Many things to read, by an address with `{names}` in it. `read` gets the whole address and raises `NotFound`."""

    template: str
    name: str
    read: Callable[[str, Call], Awaitable[Sequence[Contents]]]
    title: str = ""
    description: str = ""
    mime: str = "text/plain"
    complete: Callable[[str, str, JsonObject], Awaitable[Sequence[str]]] | None = (
        None  # (variable, begun, the others)
    )
    meta: JsonObject = field(default_factory=dict[str, Any])
    definition: JsonObject | None = None  # as for a tool


@dataclass(frozen=True, slots=True)
class PromptArgument:
    name: str
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant"]
    content: JsonObject  # one MCP content block


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prepared request that a person picks from a menu."""

    name: str
    get: Callable[[Mapping[str, str], Call], Awaitable[Sequence[Message]]]
    title: str = ""
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()
    complete: Callable[[str, str, JsonObject], Awaitable[Sequence[str]]] | None = None
    meta: JsonObject = field(default_factory=dict[str, Any])
    definition: JsonObject | None = None  # as for a tool
