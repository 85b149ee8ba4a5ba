"""What a request asks for: its method and params, read and checked, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from mimo.protocol.jsonrpc import Id, Object, is_id
from mimo.protocol.mcp.revisions import Revision
from mimo.protocol.mcp.terms import LEVELS, client_info, invalid, unknown_method

Kind: TypeAlias = Literal["tools", "resources", "templates", "prompts"]

# A client subscribes to what a person looks at; more than this is a loop gone wrong.
MAX_WATCHED = 1000


@dataclass(frozen=True, slots=True)
class Initialize:
    version: str
    capabilities: Object
    client_name: str
    client_version: str


@dataclass(frozen=True, slots=True)
class Discover:
    pass


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class SetLevel:
    level: str


@dataclass(frozen=True, slots=True)
class List:
    kind: Kind
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    uri: str
    on: bool


@dataclass(frozen=True, slots=True)
class Listen:
    """A modern subscription: the lists and the resources whose changes the client wants to hear of."""

    kinds: frozenset[Kind]
    uris: frozenset[str]


@dataclass(frozen=True, slots=True)
class Retried:
    """What a modern client sends along when it tries again after it was asked something."""

    responses: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: str | None = None


FIRST = Retried()


@dataclass(frozen=True, slots=True)
class CallTool:
    name: str
    arguments: Object
    retried: Retried = FIRST


@dataclass(frozen=True, slots=True)
class ReadResource:
    uri: str
    retried: Retried = FIRST


@dataclass(frozen=True, slots=True)
class GetPrompt:
    name: str
    arguments: Mapping[str, str]
    retried: Retried = FIRST


@dataclass(frozen=True, slots=True)
class Complete:
    """Complete the value of one argument of a prompt, or one variable of a resource template."""

    of: Literal["prompt", "template"]
    name: str
    argument: str
    begun: str
    others: Object


# Those that wait for somebody; all others are answered at once.
Errand: TypeAlias = "CallTool | ReadResource | GetPrompt | Complete"
Operation: TypeAlias = "Errand | Initialize | Discover | Ping | SetLevel | List | Subscribe | Listen"


def operation(method: str, params: Object, revision: Revision) -> Operation:
    """Raises: Refused: this revision has no such method, or its params are wrong."""
    readers = _MODERN if revision.modern else _LEGACY
    reader = readers.get(method)
    if reader is None:
        raise unknown_method(method)
    return reader(params)


def progress_token(params: Object) -> Id | None:
    meta = params.get("_meta")
    token = cast("Object", meta).get("progressToken") if isinstance(meta, dict) else None
    return token if is_id(token) else None


def initialize(params: Object) -> Initialize:
    version = _text(params, "protocolVersion")
    name, client_version = client_info(params.get("clientInfo"))
    return Initialize(version, _object(params, "capabilities"), name, client_version)


def _text(params: Object, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    return value


def _object(params: Object, name: str) -> Object:
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object")
    return cast("Object", value)


def _set_level(params: Object) -> SetLevel:
    level = params.get("level")
    if level not in LEVELS:
        raise invalid(f"level must be one of {', '.join(LEVELS)}")
    return SetLevel(level)


def _list(kind: Kind) -> Callable[[Object], List]:
    def read(params: Object) -> List:
        cursor = params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise invalid("cursor must be a string")
        return List(kind, cursor)

    return read


def _retried(params: Object) -> Retried:
    state = params.get("requestState")
    if state is not None and not isinstance(state, str):
        raise invalid("requestState must be the string that you were given")
    if "inputResponses" not in params:
        return FIRST if state is None else Retried(state=state)
    responses = params["inputResponses"]
    if not isinstance(responses, dict):
        raise invalid("inputResponses must be an object")
    return Retried(cast("Object", responses), state)


def _call_tool(params: Object) -> CallTool:
    return CallTool(_text(params, "name"), _object(params, "arguments"), _retried(params))


def _read_resource(params: Object) -> ReadResource:
    return ReadResource(_text(params, "uri"), _retried(params))


def _get_prompt(params: Object) -> GetPrompt:
    arguments = _object(params, "arguments")
    if not all(isinstance(value, str) for value in arguments.values()):
        raise invalid("the arguments of a prompt must be strings")
    return GetPrompt(_text(params, "name"), arguments, _retried(params))


def _complete(params: Object) -> Complete:
    ref, argument = _object(params, "ref"), _object(params, "argument")
    others = _object(_object(params, "context"), "arguments")
    match ref.get("type"):
        case "ref/prompt":
            of, name = "prompt", _text(ref, "name")
        case "ref/resource":
            of, name = "template", _text(ref, "uri")
        case _:
            raise invalid("ref must be of type ref/prompt or ref/resource")
    return Complete(of, name, _text(argument, "name"), _text(argument, "value"), others)


def _subscribe(on: bool) -> Callable[[Object], Subscribe]:
    return lambda params: Subscribe(_text(params, "uri"), on)


def _nothing(read: Ping | Discover) -> Callable[[Object], Operation]:
    return lambda params: read


def _listen(params: Object) -> Listen:
    wanted = _object(params, "notifications")
    uris = cast("list[Any]", wanted.get("resourceSubscriptions") or [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid("resourceSubscriptions must be a list of URIs")
    if len(uris) > MAX_WATCHED:
        raise invalid(f"at most {MAX_WATCHED} resources can be watched")
    kinds: list[Kind] = ["tools", "prompts", "resources"]
    return Listen(
        frozenset(kind for kind in kinds if wanted.get(f"{kind}ListChanged") is True),
        frozenset(uris),
    )


_Reader: TypeAlias = Callable[[Object], Operation]

_BOTH: dict[str, _Reader] = {
    "tools/list": _list("tools"),
    "tools/call": _call_tool,
    "resources/list": _list("resources"),
    "resources/templates/list": _list("templates"),
    "resources/read": _read_resource,
    "prompts/list": _list("prompts"),
    "prompts/get": _get_prompt,
    "completion/complete": _complete,
}
_LEGACY: dict[str, _Reader] = {
    **_BOTH,
    "initialize": initialize,
    "ping": _nothing(Ping()),
    "logging/setLevel": _set_level,
    "resources/subscribe": _subscribe(True),
    "resources/unsubscribe": _subscribe(False),
}
_MODERN: dict[str, _Reader] = {
    **_BOTH,
    "server/discover": _nothing(Discover()),
    "subscriptions/listen": _listen,
}
