"""One request of a client's, through a skill and back: what comes meanwhile goes to that client, and its questions too.

A question of an older skill is asked at once. If the client is a modern one it answers by a request of its
own: until then the skill's request stays open, parked. A modern skill asks by its result, and is asked again with
the answers; what it wants to find again then lies sealed with our client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import trio

from mimo.errors import MimoError, Unavailable
from mimo.protocol.jsonrpc import Object
from mimo.protocol.mcp.asking import Asked, Progressed, Told
from mimo.protocol.mcp.questions import InputRequired
from mimo.protocol.mcp.revisions import LOG_LEVEL, META
from mimo.services.skills.exchange import Exchange, Refused
from mimo.services.skills.link import NOBODY, Link
from mimo.tool import Call, JsonObject

NOTE = "skill"
# A skill that still asks after so many rounds will ask for ever.
MOST_ROUNDS = 20


async def forward(
    link: Link, method: str, params: JsonObject, call: Call, begun: Exchange | None = None
) -> Object:
    """The skill's result, word for word. Cancelling it cancels the request there. `begun` is one that was sent already.

    Raises:
        Refused, InvalidArguments, NotFound: the skill says no.
        Unavailable: it has gone.
        InputRequired: the client has to answer something first.
    """
    base = said_to(params, call)
    note: Any = call.outlet.kept(NOTE)
    kept = cast("Object", note) if isinstance(note, dict) else {}
    if isinstance(kept.get("ticket"), str):
        exchange = link.unpark(kept["ticket"])
        if exchange is not None:
            return await _follow(link, exchange, call)
        kept = {}
    said = base
    if kept:
        said = base | await _answers(kept, call)
    for _ in range(MOST_ROUNDS):
        exchange = begun or begin(link, method, said, call)
        begun = None
        result = await _follow(link, exchange, call)
        kind = result.get("resultType", "complete")
        if kind == "complete":
            return result
        if kind != "input_required":
            raise Refused(f"the skill gave a result of an unknown kind, {str(kind)[:40]!r}")
        said = base | await _answers(result, call)
    raise Refused(f"the skill still asked for more after {MOST_ROUNDS} rounds")


async def _answers(result: Object, call: Call) -> Object:
    """What to ask the skill again with: its state, and the answers of the client."""
    wanted = _questions(result.get("inputRequests"))
    call.outlet.keep(NOTE, {key: result[key] for key in ("inputRequests", "requestState") if key in result})
    answers = dict(await call.outlet.ask_all(wanted)) if wanted else {}
    call.outlet.keep(NOTE, None)
    said: Object = {"inputResponses": answers} if wanted else {}
    if "requestState" in result:
        said["requestState"] = result["requestState"]
    return said


def _questions(requests: Any) -> dict[str, tuple[str, JsonObject]]:
    wanted: dict[str, tuple[str, JsonObject]] = {}
    if not isinstance(requests, dict):
        return wanted
    for key, request in cast("Object", requests).items():
        asked = cast("Object", request) if isinstance(request, dict) else {}
        method, params = asked.get("method"), asked.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            raise Refused("the skill asked for something that cannot be understood")
        wanted[key] = method, cast("Object", params)
    return wanted


async def _follow(link: Link, exchange: Exchange, call: Call) -> Object:
    exchange.call = call
    parked = False
    try:
        if exchange.pending is not None:
            asked, exchange.pending = exchange.pending, None
            await _relay(link, exchange, asked, call)
        while True:
            while exchange.notes:
                await _pass_on(link, exchange, exchange.notes.popleft(), call)
            if exchange.over:
                return exchange.taken()
            await exchange.news()
    except InputRequired:
        parked = exchange.pending is not None
        raise
    finally:
        if not parked:
            link.give_up(exchange)


async def _pass_on(link: Link, exchange: Exchange, note: Progressed | Told | Asked, call: Call) -> None:
    match note:
        case Progressed():
            done, total, message = (note.params.get(key) for key in ("progress", "total", "message"))
            if isinstance(done, int | float):
                await call.outlet.progress(
                    done,
                    total if isinstance(total, int | float) else None,
                    message if isinstance(message, str) else None,
                )
        case Told():
            level, logger = note.params.get("level"), note.params.get("logger")
            await call.outlet.log(
                level if isinstance(level, str) else "info",
                note.params.get("data"),
                logger if isinstance(logger, str) else None,
            )
        case Asked():
            if not exchange.over:
                await _relay(link, exchange, note, call)


async def _relay(link: Link, exchange: Exchange, asked: Asked, call: Call) -> None:
    """Ask the client what the skill wants to know."""
    try:
        with trio.CancelScope() as exchange.scope:
            answer = await call.outlet.ask(asked.method, asked.params, f"ask-{asked.id}")
            link.answer(asked, answer)
    except InputRequired:
        exchange.pending = asked
        try:
            call.outlet.keep(NOTE, {"ticket": link.park(exchange)})
        except Unavailable:
            exchange.pending = None
            raise
        raise
    except MimoError as error:
        link.refuse(asked, NOBODY, error.message)
    finally:
        exchange.scope = None


def begin(link: Link, method: str, said: JsonObject, call: Call) -> Exchange:
    """Raises: Unavailable, Refused: it could not be sent."""
    return link.begin(method, said, call, log_level=call.meta.get(LOG_LEVEL, "info"))


def said_to(params: JsonObject, call: Call) -> Object:
    """What a skill is asked with."""
    meta = passed_on(call.meta)
    return {**params, "_meta": meta} if meta else dict(params)


def passed_on(meta: Mapping[str, Any]) -> Object:
    """What a client says beside its request that is not about its connection with us."""
    return {
        key: value
        for key, value in meta.items()
        if key != "progressToken" and not key.startswith((META, "mimo/"))
    }
