"""What the door answers, and the events that it tells."""

import json
from typing import Any

import httpx
import pytest
import trio

from ...houses import PATIENCE
from .conftest import JSON, TOOLS, Open, error

# What it answers.


async def test_every_response_has_an_id_and_says_how_long_it_took(door: Open) -> None:
    answers = [await door.client.get(path) for path in ("/health", "/metrics", "/docs", "/nowhere", "/mcp")]
    assert len({each.headers["x-request-id"] for each in answers}) == len(answers)
    for each in answers:
        assert each.headers["server-timing"].startswith("total;dur=")


async def test_a_tool_is_called_and_its_errors_have_the_place_of_data(door: Open) -> None:
    added = (await door.tool("memory_add", content="we deploy on tuesdays")).json()
    assert added["status"] == "ok"
    assert added["latency_ms"] > 0
    found = (await door.tool("memory_search", query="deploy", format="json")).json()
    assert found["data"]["results"][0]["content"] == "we deploy on tuesdays"
    wrong = await door.tool("memory_search", query="deploy", limit=500)
    assert wrong.status_code == 422
    assert wrong.json()["status"] == "error"
    assert "limit" in wrong.json()["error"]["message"]
    unknown = await door.tool("memory_serch", query="deploy")
    assert unknown.status_code == 404
    assert "memory_search" in unknown.json()["error"]["message"]


async def test_the_list_of_tools_is_the_toolboxes(door: Open) -> None:
    told = (await door.client.get("/v1/mimo/tools")).json()["tools"]
    assert [each["name"] for each in told][: len(TOOLS)] == TOOLS
    assert all(each["arguments"]["type"] == "object" for each in told)


async def test_a_memory_lives_its_life_by_rest(door: Open) -> None:
    items = [{"content": f"fact number {n}", "reference": f"r{n}"} for n in range(3)]
    added = (await door.client.post("/v1/memories", json={"items": items, "namespace": "home"})).json()[
        "results"
    ]
    one = added[0]["id"]
    shown = (await door.client.get(f"/v1/memories/{one}")).json()
    assert shown["content"] == "fact number 0"
    changed = await door.client.patch(f"/v1/memories/{one}", json={"content": "fact number nought"})
    assert changed.status_code == 200
    assert (await door.client.get(f"/v1/memories/{one}")).json()["content"] == "fact number nought"
    first = (await door.client.get("/v1/memories", params={"namespace": "home", "limit": 2})).json()
    rest = (
        await door.client.get("/v1/memories", params={"namespace": "home", "cursor": first["cursor"]})
    ).json()
    assert [each["id"] for each in first["memories"] + rest["memories"]] == [each["id"] for each in added]
    assert rest["cursor"] is None
    assert (await door.client.delete(f"/v1/memories/{one}")).status_code == 200
    left = (await door.client.get("/v1/memories", params={"namespace": "home"})).json()["memories"]
    assert [each["id"] for each in left] == [each["id"] for each in added[1:]]


async def test_a_key_of_idempotency_makes_twice_once(door: Open) -> None:
    again = {"idempotency-key": "the-same"}
    body = {"content": "once is enough"}
    first = await door.client.post("/v1/memories", json=body, headers=again)
    second = await door.client.post("/v1/memories", json=body, headers=again)
    assert first.json() == second.json()
    assert len((await door.client.get("/v1/memories")).json()["memories"]) == 1


async def test_what_is_exported_can_be_imported(door: Open) -> None:
    await door.client.post("/v1/memories", json={"items": [{"content": f"note {n}"} for n in range(20)]})
    lines = (await door.client.get("/v1/memories/export")).text
    assert lines.endswith("\n")
    assert len([line for line in lines.splitlines() if '"t":"memory"' in line.replace(" ", "")]) == 20
    sent = {"content-type": "application/x-ndjson"}
    took = await door.client.post("/v1/memories/import", content=lines + "nonsense\n", headers=sent)
    assert took.json()["added"] == 0
    assert took.json()["known"] >= 20
    assert took.json()["errors"][0]["line"] == len(lines.splitlines()) + 1
    torn = await door.client.post("/v1/memories/import", content=lines[: len(lines) // 2], headers=sent)
    assert "this export says that it has 23 lines" in str(torn.json()["errors"])


async def test_a_stream_that_cannot_begin_is_an_error_like_others(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await door.client.get("/v1/memories/export?namespace=-")
    assert error(refused, 404)["type"] == "not_found"

    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("secret details")

    monkeypatch.setattr(door.house.database, "read", broken)
    refused = await door.client.get("/v1/memories/export")
    assert error(refused, 500)["type"] == "broken"
    assert "secret" not in refused.text


async def test_the_document_names_every_route_and_each_answer(door: Open) -> None:
    told = (await door.client.get("/openapi.json")).json()
    assert told["openapi"] == "3.1.0"
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] == "events":  # has no end
                continue
            answered = await door.client.request(
                method, path.replace("{id}", "m999"), content=b"", headers=JSON
            )
            assert str(answered.status_code) in operation["responses"], (path, answered.text)


# Events.


async def events_of(door: Open, count: int, path: str, last: str = "") -> list[dict[str, Any]]:
    """The first events of a stream, read as bytes: a client library would have to be torn from it."""
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {door.token}\r\n"
    head += f"last-event-id: {last}\r\n\r\n" if last else "\r\n"
    said = b""
    async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
        await stream.send_all(head.encode())
        with trio.fail_after(PATIENCE):
            while said.count(b"data: ") < count or not said.endswith(b"\n\n\r\n"):
                said += await stream.receive_some()
    assert b"content-type: text/event-stream" in said
    found: list[dict[str, Any]] = []
    for block in said.decode().split("\nid: ")[1:]:
        number, _, rest = block.partition("\n")
        found.append(json.loads(rest.partition("data: ")[2].partition("\n")[0]) | {"id": number})
    return found[:count]


async def test_events_are_resumed_where_they_broke_off(door: Open) -> None:
    for number in range(3):
        await door.tool("memory_search", query=f"question {number}")
    path = "/v1/events?types=system:tool_called&since=0"
    first = await events_of(door, 1, path)
    rest = await events_of(door, 2, "/v1/events?types=system:tool_called", last=first[0]["id"])
    seen = [each["call"] for each in first + rest]
    assert len(set(seen)) == 3
    assert all(each["kind"] == "system:tool_called" for each in rest)


async def test_a_number_that_is_none_is_refused(door: Open) -> None:
    assert error(await door.client.get("/v1/events?since=yesterday"), 422)["param"] == "since"


async def test_a_drain_ends_the_streams_and_closes_the_port(door: Open) -> None:
    ended = trio.Event()

    async def follow() -> None:
        async with door.client.stream("GET", "/v1/events") as response:
            async for _ in response.aiter_lines():
                pass
        ended.set()

    before = door.house.events.subscribers
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        while door.house.events.subscribers == before:  # noqa: ASYNC110 (it tells nobody)
            await trio.sleep(0.005)
        with trio.fail_after(PATIENCE):
            await door.house.drain()
            await ended.wait()
    with pytest.raises(httpx.ConnectError):
        await door.get("/health")
