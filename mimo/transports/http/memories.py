"""Memories as REST has them, for programs that know no tools. What is a tool's work goes by the tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from mimo.errors import InvalidArguments
from mimo.protocol.openapi import Operation, Query
from mimo.protocol.rest import MAX_IMPORT, data_of
from mimo.tool import Client, Json, JsonObject
from mimo.transports.http.exchange import Emit, Handler, Reply, Request, Route, reply_json
from mimo.transports.http.tools import Dispatch

# (namespace, after this id, at most so many): some memories in the order of their ids, and the last id looked at
# while there may be more.
Listing: TypeAlias = Callable[
    [str | None, str | None, int], Awaitable[tuple[Sequence[JsonObject], str | None]]
]
Tell: TypeAlias = Callable[[str, JsonObject], Awaitable[None]]
Export: TypeAlias = Callable[[JsonObject, Client, Tell], Awaitable[Json]]
Import: TypeAlias = Callable[[JsonObject, Client], Awaitable[Json]]

LINES = "application/x-ndjson"
PAGE, LARGEST_PAGE = 50, 200
# Taken in together, while others may write in between.
PORTION = 500
_LIST = {
    "type": "object",
    "required": ["memories", "cursor"],
    "properties": {
        "memories": {"type": "array", "items": {"type": "object"}},
        "cursor": {"type": ["string", "null"], "description": "for what comes after; null: that is all"},
    },
}
_RESULTS = {"type": "object", "required": ["results"], "properties": {"results": {"type": "array"}}}


def memory_routes(
    dispatch: Dispatch,
    schema: Callable[[str], JsonObject],
    listing: Listing,
    export: Export,
    take_in: Import,
) -> Sequence[Route]:
    """`schema` gives the arguments of a tool."""

    async def run(request: Request, tool: str, arguments: Mapping[str, Any]) -> JsonObject:
        asked = {**arguments, "format": "json"}
        return data_of(await dispatch.call(tool, asked, request.call()))

    async def add(request: Request) -> Reply:
        return reply_json(await run(request, "memory_add", request.object()), 201)

    async def search(request: Request) -> Reply:
        return reply_json(await run(request, "memory_search", request.object()))

    async def show_all(request: Request) -> Reply:
        found, cursor = await listing(
            request.query.get("namespace"), request.query.get("cursor"), _limit(request.query.get("limit"))
        )
        return reply_json({"memories": list(found), "cursor": cursor})

    async def show(request: Request) -> Reply:
        found = await run(request, "memory_get", {"ids": [request.parts["id"]], "history": True})
        return reply_json(found["results"][0])

    async def edit(request: Request) -> Reply:
        changes = {"action": "update", **request.object(), "ids": [request.parts["id"]]}
        return reply_json(await run(request, "memory_edit", changes))

    async def forget(request: Request) -> Reply:
        action = "purge" if request.query.get("purge") == "true" else "forget"
        return reply_json(await run(request, "memory_edit", {"action": action, "ids": [request.parts["id"]]}))

    async def give_out(request: Request) -> Reply:
        async def stream(emit: Emit) -> None:
            async def tell(method: str, params: JsonObject) -> None:
                lines = "\n".join(params.get("lines", ()))
                await emit(lines.encode("utf-8", "replace") + b"\n")

            namespace = request.query.get("namespace")
            await export({} if namespace is None else {"namespace": namespace}, request.client, tell)

        return Reply(media=LINES, stream=stream)

    async def receive(request: Request) -> Reply:
        try:
            lines = request.body.decode().splitlines()
        except UnicodeDecodeError as error:
            raise InvalidArguments("the body is not UTF-8 text") from error
        dry = request.query.get("dry_run") == "true"
        added, known, redacted, errors = 0, 0, 0, list[Any]()
        promised = list[Any]()
        for start in range(0, len(lines), PORTION):
            portion = {"lines": lines[start : start + PORTION], "first": start + 1, "dry_run": dry}
            told: Any = await take_in(portion, request.client)
            added, known, redacted = added + told["added"], known + told["known"], redacted + told["redacted"]
            errors, promised = errors + told["errors"], promised + told["promised"]
        ends = [*(each["line"] for each in promised[1:]), len(lines) + 1]
        for each, end in zip(promised, ends, strict=False):
            if (came := end - each["line"]) < each["lines"]:
                missing = f"this export says that it has {each['lines']} lines, and {came} came"
                errors.append({"line": each["line"], "message": missing})
        return reply_json({"added": added, "known": known, "errors": errors, "redacted": redacted})

    def one(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
        return Operation(method, path, name, summary, **more)

    namespace = Query("namespace", "only this one")
    writes: list[tuple[Operation, Handler]] = [
        (
            one(
                "POST",
                "/v1/memories",
                "add_memories",
                "Remember one thing (content) or many (items), durable when answered. Idempotency-Key: done once.",
                takes=_without_format(schema("memory_add")),
                gives=_RESULTS,
                status=201,
            ),
            add,
        ),
        (
            one(
                "PATCH",
                "/v1/memories/{id}",
                "edit_memory",
                "Change a memory; with action: another of memory_edit's.",
                takes=_without_format(schema("memory_edit"), "ids", "action"),
            ),
            edit,
        ),
        (
            one(
                "DELETE",
                "/v1/memories/{id}",
                "forget_memory",
                "Forget it; for 30 days that can be undone, but for a purge.",
                query=(Query("purge", "true: gone from the file, too"),),
            ),
            forget,
        ),
    ]
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
    reads: list[tuple[Operation, Handler]] = [
        (
            one(
                "GET",
                "/v1/memories",
                "list_memories",
                "All memories that are alive, the oldest first, page by page.",
                gives=_LIST,
                query=(namespace, Query("cursor", "from the page before"), Query("limit", "at most", limit)),
            ),
            show_all,
        ),
        (
            one(
                "POST",
                "/v1/memories/search",
                "search_memories",
                "Find what bears on a question.",
                takes=_without_format(schema("memory_search")),
                gives=_RESULTS,
            ),
            search,
        ),
        (
            one(
                "GET",
                "/v1/memories/export",
                "export_memories",
                "Everything as JSON lines, as 'mimo export' writes it.",
                media=LINES,
                query=(namespace,),
            ),
            give_out,
        ),
        (one("GET", "/v1/memories/{id}", "get_memory", "A memory, whole, with its history."), show),
    ]
    carry_in = one(
        "POST",
        "/v1/memories/import",
        "import_memories",
        "Take in what an export wrote; twice is as good as once. At most 16 MiB at once.",
        takes={"type": "string"},
        takes_media=LINES,
        query=(Query("dry_run", "true: judge, store nothing"),),
    )
    return [
        *(Route(operation, handler) for operation, handler in reads),
        *(Route(operation, handler, scope="write") for operation, handler in writes),
        Route(carry_in, receive, scope="write", most=MAX_IMPORT),
    ]


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LARGEST_PAGE:
        raise InvalidArguments(f"limit must be 1..{LARGEST_PAGE} (got {text[:40]!r})", field="limit")
    return int(text)


def _without_format(schema: JsonObject, *more: str) -> JsonObject:
    """A tool's arguments, but for what the path or the method says."""
    gone = {"format", *more}
    told = {
        **schema,
        "properties": {name: each for name, each in schema["properties"].items() if name not in gone},
    }
    if "required" in schema:
        told["required"] = [name for name in schema["required"] if name not in gone]
    return told
