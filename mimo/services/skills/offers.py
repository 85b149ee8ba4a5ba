"""From what a skill lists to what mimo offers: under our names, with hidden characters stripped, word for word otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from pydantic import ConfigDict

from mimo.errors import MimoError
from mimo.protocol.jsonrpc import Object
from mimo.protocol.mcp.headers import unfit
from mimo.services.skills.configuration import Declared
from mimo.services.skills.exchange import Refused
from mimo.services.skills.kept import Kept
from mimo.services.skills.names import cleaned, name_of
from mimo.services.skills.passing import Outcome
from mimo.services.skills.results import Results
from mimo.tool import (
    Answer,
    Arguments,
    Call,
    Capacity,
    Contents,
    JsonObject,
    Message,
    Prompt,
    PromptArgument,
    Report,
    Resource,
    ResourceTemplate,
    Tool,
)

Thing: TypeAlias = Tool | Resource | ResourceTemplate | Prompt
# Method, params, and the call that it is for (none: our own), to the skill's result.
Ask: TypeAlias = Callable[[str, JsonObject, Call | None], Awaitable[Object]]
# The same for a tool, without a task; see `Passes`.
PassOn: TypeAlias = Callable[[JsonObject, Call, Outcome], Callable[[], None] | None]
# Our own deadline comes first, so that the breaker hears of it.
BEHIND = 5.0
OURS = "mimo:"


class Forwarded(Arguments):
    """A tool of a skill. What its arguments may be is the skill's to say."""

    model_config = ConfigDict(frozen=True, extra="allow")


def things(
    declared: Declared, kept: Kept, seconds: float, ask: Ask, pass_on: PassOn, results: Results
) -> list[Thing]:
    """All that this skill offers, each name once: the first counts."""
    waits = set(kept.changed) if declared.approve else set[str]()
    found: dict[tuple[str, str], Thing] = {}
    for thing in _things(declared, kept, seconds, ask, pass_on, results, waits):
        match thing:
            case Resource():
                found.setdefault(("resource", thing.uri), thing)
            case ResourceTemplate():
                found.setdefault(("template", thing.template), thing)
            case _:
                found.setdefault((type(thing).__name__, thing.name), thing)
    return list(found.values())


def _things(
    declared: Declared,
    kept: Kept,
    seconds: float,
    ask: Ask,
    pass_on: PassOn,
    results: Results,
    waits: set[str],
) -> Iterator[Thing]:
    for raw in kept.tools:
        name = raw.get("name")
        if declared.url and unfit(_object(raw.get("inputSchema"))):
            continue
        if isinstance(name, str) and name and name not in waits:
            yield _tool(declared, name, cleaned(raw), seconds, ask, pass_on, results)
    for raw in kept.resources:
        uri = raw.get("uri")
        if isinstance(uri, str) and ":" in uri and not uri.startswith(OURS):
            yield _resource(uri, cleaned(raw), ask)
    for raw in kept.templates:
        uri = raw.get("uriTemplate")
        if isinstance(uri, str) and ":" in uri and not uri.startswith((OURS, "{")):
            yield _template(uri, cleaned(raw), ask)
    for raw in kept.prompts:
        name = raw.get("name")
        if isinstance(name, str) and name:
            yield _prompt(declared, name, cleaned(raw), ask)


def _tool(
    declared: Declared,
    original: str,
    said: Object,
    seconds: float,
    ask: Ask,
    pass_on: PassOn,
    results: Results,
) -> Tool:
    hints = _object(said.get("annotations"))
    schema = said.get("inputSchema")
    if not isinstance(schema, dict) or cast("Object", schema).get("type") != "object":
        said["inputSchema"] = schema = {"type": "object"} | (_object(schema))
    reads = hints.get("readOnlyHint") is True
    name = name_of(declared.prefix, original)

    def asked(arguments: Forwarded) -> Object:
        return {"name": original, "arguments": arguments.model_extra or {}}

    def answered(result: Object) -> Answer:
        return results.fitting(_answer(result), name)

    async def handle(arguments: Forwarded, call: Call) -> Answer:
        result = await ask("tools/call", asked(arguments), call)
        return _answer(result) if call.whole else answered(result)

    def passes(arguments: Forwarded, call: Call, report: Report) -> Callable[[], None] | None:
        return pass_on(asked(arguments), call, _Told(report, answered))

    return Tool(
        name,
        Forwarded,
        handle,
        title=_text(said.get("title")),
        writes=not reads,
        destructive=not reads and hints.get("destructiveHint") is not False,
        idempotent=hints.get("idempotentHint") is True,
        open_world=hints.get("openWorldHint") is not False,
        capacity=Capacity.OUTSIDE,
        seconds=seconds + BEHIND,
        listed=declared.expose,
        schema=cast("Object", schema),
        text=_text(said.get("description")),
        meta=_meta(said, declared, original),
        definition=said,
        passes=passes,
    )


class _Told:
    """A skill's result as a tool's answer, told on."""

    __slots__ = ("_answered", "more", "report")

    def __init__(self, report: Report, answered: Callable[[Object], Answer]) -> None:
        self.report = report
        self.more = report.more
        self._answered = answered

    def over(self, came: Object | MimoError) -> None:
        if isinstance(came, MimoError):
            self.report.over(came)
            return
        try:
            answer = self._answered(came)
        except Refused as error:
            self.report.over(error)
        else:
            self.report.over(answer)


def _answer(result: Object) -> Answer:
    content: Any = result.get("content", [])
    if not isinstance(content, list) or not all(
        isinstance(each, dict) for each in cast("list[Any]", content)
    ):
        raise Refused("the skill's answer holds no list of content blocks")
    return Answer(
        tuple(cast("list[Object]", content)),
        result.get("structuredContent"),
        result.get("isError") is True,
        _object(result.get("_meta")),
        {key: value for key, value in result.items() if key not in _READ},
    )


_READ = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})


def _resource(uri: str, said: Object, ask: Ask) -> Resource:
    return Resource(
        uri,
        _text(said.get("name")) or uri,
        _reading(ask),
        title=_text(said.get("title")),
        description=_text(said.get("description")),
        mime=_text(said.get("mimeType")) or "text/plain",
        meta=_object(said.get("_meta")),
        definition=said,
    )


def _template(uri: str, said: Object, ask: Ask) -> ResourceTemplate:
    return ResourceTemplate(
        uri,
        _text(said.get("name")) or uri,
        _reading(ask),
        title=_text(said.get("title")),
        description=_text(said.get("description")),
        mime=_text(said.get("mimeType")) or "text/plain",
        complete=_completing(ask, {"type": "ref/resource", "uri": uri}),
        meta=_object(said.get("_meta")),
        definition=said,
    )


def _prompt(declared: Declared, original: str, said: Object, ask: Ask) -> Prompt:
    async def get(given: Mapping[str, str], call: Call) -> Sequence[Message]:
        result = await ask("prompts/get", {"name": original, "arguments": dict(given)}, call)
        messages: Any = result.get("messages", [])
        if not isinstance(messages, list):
            raise Refused("the skill's answer holds no messages")
        return [_message(_object(each)) for each in cast("list[Any]", messages)]

    arguments: Any = said.get("arguments")
    listed = cast("list[Any]", arguments) if isinstance(arguments, list) else []
    return Prompt(
        name_of(declared.prefix, original),
        get,
        title=_text(said.get("title")),
        description=_text(said.get("description")),
        arguments=tuple(
            PromptArgument(
                _text(_object(each).get("name")),
                _text(_object(each).get("description")),
                _object(each).get("required") is True,
            )
            for each in listed
        ),
        complete=_completing(ask, {"type": "ref/prompt", "name": original}),
        meta=_meta(said, declared, original),
        definition=said,
    )


def _reading(ask: Ask) -> Callable[[str, Call], Awaitable[Sequence[Contents]]]:
    async def read(uri: str, call: Call) -> Sequence[Contents]:
        result = await ask("resources/read", {"uri": uri}, call)
        contents: Any = result.get("contents", [])
        if not isinstance(contents, list):
            raise Refused("the skill's answer holds no contents")
        return [
            Contents(
                _text(said.get("uri")) or uri,
                _text(said.get("text")),
                _text(said.get("mimeType")) or "text/plain",
                said,
            )
            for said in map(_object, cast("list[Any]", contents))
        ]

    return read


def _completing(ask: Ask, ref: Object) -> Callable[[str, str, JsonObject], Awaitable[Sequence[str]]]:
    async def complete(name: str, begun: str, others: JsonObject) -> Sequence[str]:
        params: Object = {"ref": ref, "argument": {"name": name, "value": begun}}
        if others:
            params["context"] = {"arguments": dict(others)}
        result = await ask("completion/complete", params, None)
        values: Any = _object(result.get("completion")).get("values", [])
        return [each for each in cast("list[Any]", values) if isinstance(each, str)]

    return complete


def _message(said: Object) -> Message:
    role = said.get("role")
    return Message("assistant" if role == "assistant" else "user", _object(said.get("content")))


def _meta(said: Object, declared: Declared, original: str) -> Object:
    """Where it came from, beside what it says itself."""
    return {**_object(said.get("_meta")), "mimo/skill": declared.name, "mimo/name": original}


def _object(value: Any) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
