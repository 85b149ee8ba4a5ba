"""Procedures as REST has them. Everything is a tool's work; these are the addresses of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo.errors import InvalidArguments
from mimo.protocol.openapi import Operation, Query
from mimo.protocol.rest import data_of
from mimo.tool import JsonObject
from mimo.transports.http.exchange import Handler, Reply, Request, Route, reply_json
from mimo.transports.http.tools import Dispatch

_OBJECT: JsonObject = {"type": "object", "additionalProperties": True}
_RUN: JsonObject = {
    "type": "object",
    "properties": {
        "input": _OBJECT,
        "version": {"type": "string"},
        "wait": {
            "type": "number",
            "minimum": 0,
            "maximum": 300,
            "description": "seconds to wait for its end",
        },
    },
}
_SIGNAL: JsonObject = {
    "type": "object",
    "required": ["event"],
    "properties": {"event": {"type": "string"}, "data": _OBJECT},
}
_ACT: JsonObject = {
    "type": "object",
    "properties": {
        "rollback": {"type": "boolean", "description": "of interrupt: take back what was done"},
        "state": {"type": "string", "description": "of retry: from there on"},
    },
}
_ACTS = ("interrupt", "pause", "resume", "retry")
_NUMBER: JsonObject = {"type": "integer", "minimum": 0}


def procedure_routes(dispatch: Dispatch) -> Sequence[Route]:
    async def ask(request: Request, tool: str, operation: str, arguments: Mapping[str, Any]) -> JsonObject:
        asked = {**arguments, "operation": operation, "format": arguments.get("format", "json")}
        return data_of(await dispatch.call(tool, asked, request.call()))

    def look(request: Request, operation: str, **arguments: Any) -> Any:
        return ask(request, "procedure_look", operation, arguments)

    async def list_all(request: Request) -> Reply:
        return reply_json(await look(request, "list"))

    async def define(request: Request) -> Reply:
        told = await ask(request, "procedure", "define", {"text": _text(request)})
        return reply_json(told, 201 if told["new"] else 200)

    async def validate(request: Request) -> Reply:
        return reply_json(await look(request, "validate", text=_text(request)))

    async def schema(request: Request) -> Reply:
        return reply_json((await look(request, "help"))["schema"])

    async def get(request: Request) -> Reply:
        return reply_json(
            await look(request, "get", name=request.parts["name"], **_given(request, "version"))
        )

    async def picture(request: Request) -> Reply:
        named = _given(request, "version", "run")
        told = await look(
            request,
            "get",
            format="svg",
            **({} if "run" in named else {"name": request.parts["name"]}),
            **named,
        )
        return Reply(media="image/svg+xml", body=told["svg"].encode())

    async def deactivate(request: Request) -> Reply:
        named = {"name": request.parts["name"], **_given(request, "version")}
        return reply_json(await ask(request, "procedure", "deactivate", named))

    async def run(request: Request) -> Reply:
        asked = {"wait": 0.0, **_only(request, "input", "version", "wait"), "name": request.parts["name"]}
        if isinstance(asked["wait"], int):
            asked["wait"] = float(asked["wait"])
        return reply_json(await ask(request, "procedure", "run", asked), 201)

    async def runs(request: Request) -> Reply:
        return reply_json(
            await look(
                request,
                "list",
                name=request.parts["name"],
                **_given(request, "status", "after"),
                **_numbers(request, "limit"),
            )
        )

    async def runs_by_status(request: Request) -> Reply:
        status = request.query.get("status", "running")
        more = {**_given(request, "after"), **_numbers(request, "limit")}
        return reply_json(await look(request, "list", status=status, **more))

    async def status(request: Request) -> Reply:
        return reply_json(await look(request, "status", run=request.parts["run"]))

    async def history(request: Request) -> Reply:
        numbers = _numbers(request, "after", "limit")
        return reply_json(await look(request, "history", run=request.parts["run"], **numbers))

    async def signal(request: Request) -> Reply:
        asked = {**_only(request, "event", "data"), "run": request.parts["run"]}
        return reply_json(await ask(request, "procedure", "signal", asked))

    async def act(request: Request) -> Reply:
        what = request.parts["act"]
        if what not in _ACTS:
            raise InvalidArguments(
                f"a run can be told to {', '.join(_ACTS)} (got {what[:40]!r})", field="act"
            )
        asked = _only(request, "rollback", "state") if request.body else {}
        return reply_json(await ask(request, "procedure", what, {**asked, "run": request.parts["run"]}))

    version, limit = Query("version", "else the latest"), Query("limit", "at most (50)", _NUMBER)
    behind = Query("after", "of the list before: what comes then; null there: that is all")
    base, one = "/v1/procedures", "/v1/procedures/{name}"
    a_run = "/v1/procedures/runs/{run}"
    reads: list[tuple[Operation, Handler]] = [
        (Operation("GET", base, "list_procedures", "Every version of every procedure."), list_all),
        (Operation("POST", f"{base}/validate", "validate_procedure",
                   "Everything that stands against a definition, with its place.", takes=_OBJECT), validate),
        (Operation("GET", f"{base}/schema", "procedure_schema", "The JSON Schema of a definition."), schema),
        (Operation("GET", one, "get_procedure", "A definition.", query=(version,)), get),
        (Operation("GET", f"{one}/picture", "procedure_picture", "As SVG; with run, its state is lit.",
                   media="image/svg+xml", query=(version, Query("run", "as r12"))), picture),
        (Operation("GET", f"{one}/runs", "list_runs_of_procedure", "Its runs, the newest first.",
                   query=(Query("status", "only these"), behind, limit)), runs),
        (Operation("GET", "/v1/procedures/runs", "list_runs", "The runs of a status.",
                   query=(Query("status", "running, waiting, needs_attention, ... (running)"), behind, limit)),
         runs_by_status),
        (Operation("GET", a_run, "get_run", "How a run is, and what it waits for."), status),
        (Operation("GET", f"{a_run}/history", "run_history", "What befell a run, line by line; after: null when that is all.",
                   query=(Query("after", "this line", _NUMBER), limit)), history),
    ]  # fmt: skip
    writes: list[tuple[Operation, Handler]] = [
        (Operation("POST", base, "define_procedure", "Define a procedure, or a higher version of one. None is called"
                   " runs, schema or validate: these are addresses here.", takes=_OBJECT, status=201, also={200: "It is defined, and as this is"}), define),
        (Operation("DELETE", one, "deactivate_procedure", "Begin no more runs of it; those there are finish.",
                   query=(version,)), deactivate),
        (Operation("POST", f"{one}/runs", "run_procedure", "Begin a run. Idempotency-Key: begun once.", takes=_RUN,
                   status=201), run),
        (Operation("POST", f"{a_run}/signal", "signal_run", "An event for a run. Idempotency-Key: sent once.",
                   takes=_SIGNAL), signal),
        (Operation("POST", f"{a_run}/{{act}}", "act_on_run", "interrupt, pause, resume or retry.", takes=_ACT), act),
    ]  # fmt: skip
    return [
        *(Route(operation, handler) for operation, handler in reads),
        *(Route(operation, handler, scope="write") for operation, handler in writes),
    ]


def _text(request: Request) -> str:
    """A definition as it was written, which is more than what it says: a name may stand in it twice.

    Raises:
        Refused, InvalidArguments: it is no JSON object.
    """
    request.object()
    return request.body.decode()


def _given(request: Request, *names: str) -> dict[str, Any]:
    return {name: request.query[name] for name in names if name in request.query}


def _numbers(request: Request, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        if (text := request.query.get(name)) is not None:
            if not text.isascii() or not text.isdigit():
                raise InvalidArguments(f"{name} must be a whole number (got {text[:40]!r})", field=name)
            found[name] = int(text[:12])
    return found


def _only(request: Request, *names: str) -> dict[str, Any]:
    """The body, which holds nothing but these.

    Raises:
        InvalidArguments: it holds something else.
    """
    given = dict(request.object())
    if unknown := sorted(given.keys() - set(names)):
        raise InvalidArguments(
            f"unknown: {unknown[0][:40]!r}; there are: {', '.join(names)}", field=unknown[0][:64]
        )
    return given
