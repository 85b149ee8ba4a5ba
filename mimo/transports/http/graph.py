"""The knowledge graph as REST has it, for programs that know no tools. The work goes by the tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo.protocol.openapi import Operation, Query
from mimo.protocol.rest import data_of
from mimo.tool import JsonObject
from mimo.transports.http.exchange import Handler, Reply, Request, Route, reply_json
from mimo.transports.http.tools import Dispatch

WRITES, READS = "knowledge", "knowledge_ask"
_GRAPH = Query("graph", "which one; else that of the key's namespace")
_RESULTS = {"type": "object", "properties": {"results": {"type": "array", "items": {"type": "object"}}}}

# Name, what it is for: each takes what the tool's operation takes.
_ASKED = {
    "query": "Facts that fit subject, predicate, object, or a pattern: ?who manages ?x, ?x uses Git.",
    "path": "The shortest ways from subject to object; count up to 10.",
    "neighbours": "What stands beside subject, up to depth.",
    "closure": "All that subject leads to.",
    "ancestors": "What subject and object have in common above them.",
    "impact": "What would break without subject.",
    "why": "The proof of a fact, to the sentence and who said it.",
    "resolve": "Which thing a mention is, or could be.",
    "suggest": "At most two facts that bear on text.",
    "ask": "A question in plain words, as text: facts, and where none is known, memories.",
}
_DONE = {
    "retract": "Take back facts (ids, or what fits) or rules, with what follows from them.",
    "infer": "Draw all conclusions now.",
    "merge": "subject is the same as to.",
    "split": "Some ids and aliases of subject are of another thing: to.",
    "undo": "Take back the last merge or split.",
}


# Written by hand, because making it from the tool's arguments would cost each start of the daemon some milliseconds.
_NAME = {"type": "string"}
_TAKES: JsonObject = {
    "type": "object",
    "description": "What the tool knowledge takes for this operation; its operation help tells all.",
    "properties": {
        **dict.fromkeys(("subject", "predicate", "object", "pattern", "text", "as_of"), _NAME),
        "triples": {"type": "array", "items": {"type": "array", "items": _NAME}},
        "ids": {"type": "array", "items": _NAME},
        "graph": {"type": "string", "description": "which one; else that of the key's namespace"},
    },
}


def graph_routes(dispatch: Dispatch) -> Sequence[Route]:

    async def run(request: Request, tool: str, operation: str, arguments: Mapping[str, Any]) -> JsonObject:
        asked = {**arguments, "operation": operation, "format": "json"}
        return data_of(await dispatch.call(tool, asked, request.call()))

    def posted(tool: str, operation: str) -> Handler:
        async def handle(request: Request) -> Reply:
            return reply_json(await run(request, tool, operation, request.object() if request.body else {}))

        return handle

    def of_graph(request: Request) -> dict[str, str]:
        return {"graph": graph} if (graph := request.query.get("graph")) is not None else {}

    async def stats(request: Request) -> Reply:
        return reply_json(await run(request, READS, "stats", of_graph(request)))

    async def teach(request: Request) -> Reply:
        return reply_json(await run(request, WRITES, "teach", request.object()), 201)

    async def show(request: Request) -> Reply:
        told = await run(request, READS, "why", {**of_graph(request), "ids": [request.parts["id"]]})
        return reply_json(told["results"][0] if told["results"] else told["before"][0])

    async def retract(request: Request) -> Reply:
        arguments = {**of_graph(request), "ids": [request.parts["id"]]}
        return reply_json(await run(request, WRITES, "retract", arguments))

    def operation(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
        return Operation(method, path, name, summary, **more)

    return [
        Route(operation("GET", "/v1/graph", "graph_stats", "How much is known.", query=(_GRAPH,)), stats),
        Route(
            operation(
                "POST",
                "/v1/graph/facts",
                "teach_facts",
                "Teach facts (triples, text, rules, aliases), durable when answered. Idempotency-Key: done once.",
                takes=_TAKES,
                gives=_RESULTS,
                status=201,
            ),
            teach,
            scope="write",
        ),
        Route(
            operation("GET", "/v1/graph/facts/{id}", "get_fact", "A fact, and why.", query=(_GRAPH,)), show
        ),
        Route(
            operation("DELETE", "/v1/graph/facts/{id}", "retract_fact", "Take it back.", query=(_GRAPH,)),
            retract,
            scope="write",
        ),
        *(
            Route(
                operation("POST", f"/v1/graph/{name}", f"graph_{name}", text, takes=_TAKES, gives=_RESULTS),
                posted(READS, name),
            )
            for name, text in _ASKED.items()
        ),
        *(
            Route(
                operation("POST", f"/v1/graph/{name}", f"graph_{name}", text, takes=_TAKES),
                posted(WRITES, name),
                scope="write",
            )
            for name, text in _DONE.items()
        ),
    ]
