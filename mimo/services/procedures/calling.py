"""From an action to a tool's call, and from what it answers to what happened to the run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from mimo.errors import Busy, Fault, MimoError, TooSlow, UnknownTool
from mimo.services.procedures.happenings import Act, Failed, Finished
from mimo.services.procedures.runs import Trouble
from mimo.tool import Answer, Call, Client, JsonObject, Tool, Trust

LARGEST_RESULT = 256 * 1024  # as JSON: a run carries its results along
LONGEST_MESSAGE = 2_000
# Nothing to look into.
_PLAIN = (bool, int, float)


class CallTool(Protocol):
    """Runs a tool as the house runs every call; raises `MimoError`s only."""

    def __call__(self, name: str, arguments: object, call: Call) -> Awaitable[Answer]: ...


Find: TypeAlias = Callable[[str], tuple[Tool, JsonObject]]


async def acted(call: CallTool, act: Act, client: Client) -> Finished | Failed:
    """Cancellation passes, and says nothing of what was done."""
    try:
        answer = await call(act.tool, dict(act.arguments), Call(act.key, client, key=act.key, whole=True))
    except MimoError as error:
        return Failed(act.step, act.attempt, trouble_of(error))
    if answer.failed:
        return Failed(act.step, act.attempt, Trouble("failed", answer.as_text()[:LONGEST_MESSAGE]))
    result: Any = answer.data if answer.data is not None else answer.as_text()
    if result is None or isinstance(result, _PLAIN):
        return Finished(act.step, act.attempt, result)
    try:
        size = len(json.dumps(result))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{act.tool} gave what is no JSON: {error}"
        return Failed(act.step, act.attempt, _done_but("not_json", message[:LONGEST_MESSAGE]))
    if size > LARGEST_RESULT:
        message = f"{act.tool} gave {size:,} bytes and a run keeps at most {LARGEST_RESULT:,}: ask it for less, or for where it is"
        return Failed(act.step, act.attempt, _done_but("too_large", message))
    return Finished(act.step, act.attempt, result)


def trouble_of(error: MimoError) -> Trouble:
    """What its caller did wrong does not become right by doing it again; but a tool that is gone may come back."""
    return Trouble(
        "timeout" if isinstance(error, TooSlow) else error.kind,
        error.message[:LONGEST_MESSAGE],
        retry=error.fault is not Fault.CALLER or isinstance(error, UnknownTool),
        unsure=not (refused := _nothing_was_done(error)),
        refused=refused,
    )


def _nothing_was_done(error: MimoError) -> bool:
    """Who refuses has not begun. Of whoever has gone, is late or has broken only this word of its own says so."""
    return error.fault is Fault.CALLER or isinstance(error, Busy) or error.details.get("done") is False


def _done_but(kind: str, message: str) -> Trouble:
    """Its answer is of no use, but it was done."""
    return Trouble(kind, message, retry=False, unsure=True)


def repeatable_by(find: Find) -> Callable[[str], bool]:
    """Whether a tool is harmless to call twice, as it says of itself: it only reads, is idempotent, or keeps its keys."""

    def repeatable(name: str) -> bool:
        try:
            tool, _ = find(name)
        except MimoError:
            return False
        return tool.idempotent or tool.keyed or not tool.writes

    return repeatable


def client_json(client: Client) -> Mapping[str, Any]:
    """For whom a run calls tools, as far as that has to outlast a restart."""
    return {
        "name": client.name,
        "version": client.version,
        "namespace": client.namespace,
        "scopes": sorted(client.scopes),
        "trust": client.trust.value,
        "key": client.key,
    }


def client_of(told: Mapping[str, Any]) -> Client:
    return Client(
        name=told.get("name", "procedure"),
        version=told.get("version", ""),
        namespace=told.get("namespace", "user"),
        scopes=frozenset(told.get("scopes", ())),
        trust=Trust(told.get("trust", "agent")),
        key=told.get("key"),
    )
