"""The HTTP door of a whole house, over real sockets, as programs meet it."""

import json
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
import trio

from mimo.app import build
from mimo.choices import Settings
from mimo.cli.client import Daemon
from mimo.home import Home
from mimo.house import House
from mimo.launch import bind
from mimo.owner import owner_token
from mimo.transports import ports
from mimo.transports.http import guard, router

PATIENCE = 20.0
TOOLS = ["memory_search", "memory_add", "memory_edit", "memory_get", "memory_context"]
# To make one takes a client longer than a request does, and nothing here is encrypted.
NO_TLS = ssl.create_default_context()
JSON = {"content-type": "application/json"}


@dataclass
class Open:
    """A house whose HTTP door is open, and a client that has the owner's key."""

    house: House
    url: str
    token: str
    client: httpx.AsyncClient

    async def tool(self, name: str, **arguments: Any) -> httpx.Response:
        return await self.client.post("/v1/mimo/tool", json={"tool": name, "arguments": arguments})

    async def key(self, *scopes: str, name: str = "program") -> str:
        """Another key, as 'mimo key create' makes it."""
        return (await self.asked("mimo/key_create", {"name": name, "scopes": list(scopes)}))["key"]

    async def asked(self, method: str, params: Mapping[str, Any]) -> Any:
        """What a program of ours asks of the daemon over its socket."""

        def ask() -> Any:
            with Daemon(self.house.home) as daemon:
                return daemon.ask(method, params)

        return await trio.to_thread.run_sync(ask)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Without a key, unless there is one among the headers."""
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE, verify=NO_TLS) as client:
            return await client.get(path, headers={n.replace("_", "-"): v for n, v in headers.items()})


def settings(**http: Any) -> Settings:
    on = {"port": 0, "enabled": "on"}
    return Settings.model_validate({"http": on | http, "synapse": {"enabled": "off"}})


@pytest.fixture
def chosen() -> dict[str, Any]:
    """What a test wants set otherwise, in the section http."""
    return {}


@pytest.fixture
def house(home: Home, chosen: dict[str, Any]) -> Iterator[House]:
    """At rest, and built before a loop runs: building takes a while."""
    os.mkdir(home, 0o700)
    socket = bind(home)
    yield build(home, lambda: settings(**chosen), listening=[socket])
    socket.close()


@pytest.fixture
async def door(house: House, nursery: trio.Nursery) -> AsyncIterator[Open]:
    await nursery.start(house.root.run)
    assert house.http is not None
    token = owner_token(house.home)
    client = httpx.AsyncClient(
        base_url=house.http.url,
        headers={"authorization": f"Bearer {token}"},
        timeout=PATIENCE,
        verify=NO_TLS,
    )
    async with client:
        yield Open(house, house.http.url, token, client)
    nursery.cancel_scope.cancel()


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, in the one form that all have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    told = response.json()["error"]
    assert told["id"] == response.headers["x-request-id"]
    assert told["message"]
    assert isinstance(told["retry"], bool)
    return told


# Who gets in.


async def test_health_needs_no_key_and_all_else_does(door: Open) -> None:
    assert (await door.get("/health")).json()["status"] == "healthy"
    for path in (
        "/metrics",
        "/v1/mimo/tools",
        "/v1/memories",
        "/v1/events",
        "/openapi.json",
        "/docs",
        "/mcp",
        "/x",
    ):
        refused = await door.get(path)
        assert error(refused, 401)["type"] == "unauthorized"
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_refusal_is_in_the_log_under_its_id(door: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refused = await door.get("/v1/memories", authorization="Bearer mimo_" + "x" * 43)
    said: list[Any] = [each.__dict__ for each in caplog.records]
    assert any(each.get("id") == error(refused, 401)["id"] and each["reason"] == "wrong_key" for each in said)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://localhost"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/metrics", "/mcp", "/v1/memories", "/nowhere"])
async def test_a_foreign_page_gets_nowhere_even_with_a_key(
    door: Open, path: str, headers: Mapping[str, str], status: int
) -> None:
    refused = await door.client.get(path, headers=headers)
    assert error(refused, status)["type"] == ("wrong_host" if status == 421 else "wrong_origin")
    assert "access-control-allow-origin" not in refused.headers


async def test_a_simple_post_of_a_page_does_nothing(door: Open) -> None:
    sent = json.dumps({"tool": "memory_add", "arguments": {"content": "planted"}})
    refused = await door.client.post("/v1/mimo/tool", content=sent, headers={"content-type": "text/plain"})
    assert error(refused, 415)["type"] == "wrong_content_type"
    assert (await door.client.get("/v1/memories")).json()["memories"] == []


async def test_an_upgrade_to_a_websocket_is_refused(door: Open) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert (await door.client.get("/v1/events", headers=upgrade)).status_code == 403


async def test_a_key_may_do_what_its_scopes_say(door: Open) -> None:
    reader = {"authorization": f"Bearer {await door.key('read', name='reader')}"}
    writer = {"authorization": f"Bearer {await door.key('write', name='writer')}"}
    body = {"content": "the kettle is blue"}
    assert (
        error(await door.client.post("/v1/memories", json=body, headers=reader), 403)["type"] == "forbidden"
    )
    assert (await door.client.post("/v1/memories", json=body, headers=writer)).status_code == 201
    assert (await door.client.get("/v1/memories", headers=reader)).status_code == 200
    assert error(await door.client.get("/metrics", headers=writer), 403)["type"] == "forbidden"
    asked = {"tool": "memory_add", "arguments": body}
    refused = await door.client.post("/v1/mimo/tool", json=asked, headers=reader)
    assert refused.status_code == 403
    assert refused.json()["status"] == "error"


async def test_a_revoked_key_opens_nothing_from_then_on(door: Open) -> None:
    token = await door.key("read")
    assert (await door.get("/v1/memories", authorization=f"Bearer {token}")).status_code == 200
    await door.asked("mimo/key_revoke", {"name": "program"})
    error(await door.get("/v1/memories", authorization=f"Bearer {token}"), 401)


@pytest.mark.parametrize("path", ["/v1/events", "/mcp"])
async def test_a_revoked_key_ends_what_it_had_opened(
    door: Open, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "LOOK_AGAIN_SECONDS", 0.02)
    shown = {"authorization": f"Bearer {await door.key('read')}"}
    if path == "/mcp":
        about = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        said = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
        accept = {"accept": "application/json, text/event-stream"}
        first = await door.client.post("/mcp", json=said, headers=accept | shown)
        shown |= {"accept": "text/event-stream", "mcp-session-id": first.headers["mcp-session-id"]}
    with trio.fail_after(PATIENCE):
        async with door.client.stream("GET", path, headers=shown) as response:
            assert response.status_code == 200
            await door.asked("mimo/key_revoke", {"name": "program"})
            async for _ in response.aiter_raw():
                pass


async def test_only_the_digest_of_a_key_is_kept(door: Open, home: Home) -> None:
    token = await door.key("read")
    await door.house.database.checkpoint()
    for path in (home.database, home.database + "-wal"):
        assert token.removeprefix("mimo_").encode() not in await trio.Path(path).read_bytes()


async def test_who_shows_wrong_keys_again_and_again_is_slowed_down(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PENALTY_SECONDS", 0.1)
    for _ in range(10):
        error(await door.get("/v1/memories", authorization="Bearer wrong"), 401)
    before = trio.current_time()
    slowed = await door.get("/v1/memories", authorization="Bearer wrong")
    assert error(slowed, 429)["retry"]
    assert slowed.headers["retry-after"] == "60"
    assert trio.current_time() - before >= 0.1
    # Another program at the same address is not made to pay for it.
    assert (await door.client.get("/v1/memories")).status_code == 200
    monkeypatch.setattr(guard, "WINDOW", 0.0)
    error(await door.get("/v1/memories", authorization="Bearer wrong"), 401)


async def test_a_browser_may_show_a_key_as_a_password_where_there_is_only_paper(door: Open) -> None:
    async with httpx.AsyncClient(base_url=door.url, auth=("me", door.token), verify=NO_TLS) as browser:
        page = await browser.get("/docs")
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "/v1/mimo/tool" in page.text
        assert (await browser.get("/v1/memories")).status_code == 401
    assert "Basic" in (await door.get("/docs")).headers["www-authenticate"]


@pytest.mark.parametrize("chosen", [{"rate_per_minute": 60.0, "rate_burst": 3}])
async def test_a_key_may_write_so_often_and_read_on(door: Open) -> None:
    key = {"authorization": f"Bearer {await door.key('read', 'write')}"}
    for number in range(3):
        added = await door.client.post("/v1/memories", json={"content": f"note {number}"}, headers=key)
        assert added.status_code == 201
        assert added.headers["x-ratelimit-limit"] == "60"
        assert added.headers["x-ratelimit-remaining"] == str(2 - number)
    refused = await door.client.post("/v1/memories", json={"content": "one too many"}, headers=key)
    assert error(refused, 429)["retry"]
    assert refused.headers["retry-after"] == "1"
    found = await door.client.post("/v1/memories/search", json={"query": "note"}, headers=key)
    assert found.status_code == 200
    owners = await door.client.post("/v1/memories", json={"content": "the owner's"})
    assert owners.status_code == 201
    assert "x-ratelimit-limit" not in owners.headers


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


# Bad input.


async def test_a_body_of_exactly_the_cap_is_read_and_one_byte_more_is_not(door: Open) -> None:
    start = b'{"tool": "memory_get", "arguments": {"ids": ["m1"]}, "x": "'
    for more, status in ((0, 422), (1, 413)):
        body = start + b"y" * (1024 * 1024 - len(start) - 2 + more) + b'"}'
        refused = await door.client.post("/v1/mimo/tool", content=body, headers=JSON)
        error(refused, status)


async def test_a_body_without_a_length_is_bounded_too(door: Open) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    error(await door.client.post("/v1/mimo/tool", content=pieces(), headers=JSON), 413)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        (b'{"tool": "\\ud800", "arguments": {}}', 422),
        (b'{"tool": NaN}', 400),
        (b'{"tool": 1e999}', 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"tool": 5}', 422),
        (b'{"tool": "memory_search", "argumets": {}}', 422),
        (b'{"tool": "memory_search", "arguments": []}', 422),
        (b'{"tool": "memory_search", "arguments": null}', 422),
        (b'{"tool": "' + b"x" * 10_000 + b'"}', 404),
    ],
)
async def test_bad_bodies_get_the_right_answer(door: Open, body: bytes, status: int) -> None:
    error(await door.client.post("/v1/mimo/tool", content=body, headers=JSON), status)


async def test_half_an_emoji_is_told_where_it_stands(door: Open) -> None:
    body = b'{"tool": "memory_add", "arguments": {"items": [{"content": "half: \\ud83d"}]}}'
    refused = error(await door.client.post("/v1/mimo/tool", content=body, headers=JSON), 422)
    assert refused["message"].startswith("arguments.items[0].content must be valid Unicode")
    assert refused["param"] == "arguments.items[0].content"


async def test_no_request_can_hide_in_another(door: Open) -> None:
    """A proxy that goes by one length, and we by the other, would not see the second request."""
    hidden = f"GET /v1/memories HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {door.token}\r\n\r\n"
    head = (
        "POST /v1/mimo/tool HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {door.token}\r\ncontent-length: {len(hidden) + 5}\r\n"
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    said = b""
    async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
        await stream.send_all((head + hidden).encode())
        with trio.fail_after(PATIENCE):
            while data := await stream.receive_some():
                said += data
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "MIMO"])
async def test_a_method_that_does_not_fit_is_told_which_does(door: Open, method: str) -> None:
    refused = await door.client.request(method, "/v1/mimo/tool")
    assert error(refused, 405)["type"] == "method_not_allowed"
    assert refused.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/memories/m1/x",
        "/v1/memories/",
        "//health",
        "/health/",
        "/..%2f..%2fetc",
        "/%00",
        "/v1/memories/%ff",
    ],
)
async def test_odd_paths_are_refused_and_break_nothing(door: Open, path: str) -> None:
    assert (await door.client.get(path)).status_code in {404, 422}


async def test_a_head_has_no_body(door: Open) -> None:
    answered = await door.client.head("/v1/mimo/tools")
    assert answered.status_code == 200
    assert answered.content == b""
    assert int(answered.headers["content-length"]) > 100


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    router_of: Any = door.house.http._router  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    router_of._body_seconds = 0.1
    monkeypatch.setattr(router, "DISCARD_SECONDS", 0.1)

    head = (
        "POST /v1/mimo/tool HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {door.token}\r\ncontent-length: 10\r\n\r\n{{"
    )
    said = b""
    async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
        await stream.send_all(head.encode())
        with trio.fail_after(PATIENCE):
            while data := await stream.receive_some():
                said += data
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in said


# What may stand open to whom.


@pytest.mark.parametrize("chosen", [{"host": "0.0.0.0"}])
async def test_an_unsafe_door_stays_shut_and_the_house_lives(house: House, nursery: trio.Nursery) -> None:
    await nursery.start(house.root.run)
    told = next(each for each in house.doors() if each["name"] == "http")
    assert "mimo key create" in told["state"]
    nursery.cancel_scope.cancel()


@pytest.mark.holds_up_the_loop
async def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(
    home: Home, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "AGAIN_SECONDS", 0.02)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        house = build(home, lambda: settings(port=port), listening=[])
        await nursery.start(house.root.run)
        assert "another program" in house.doors()[-1]["state"]
    with trio.fail_after(PATIENCE):
        while house.doors()[-1]["state"] != "open":  # noqa: ASYNC110 (it tells nobody)
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


# Clients that others wrote.


@pytest.mark.holds_up_the_loop
async def test_the_openai_package_embeds_and_lists_models(door: Open) -> None:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as client:
        models = [each.id async for each in client.models.list()]
        assert "all-minilm-l6-v2" in models
        assert (await client.models.retrieve("all-minilm-l6-v2")).owned_by == "mimo"
        texts = ["the cat sat on the mat", "a feline rested on a rug", "interest rates rose again"]
        told = await client.embeddings.create(model="all-minilm-l6-v2", input=texts)
        one, two, three = (each.embedding for each in told.data)
        assert len(one) == 384
        assert sum(a * b for a, b in zip(one, two, strict=True)) > sum(
            a * b for a, b in zip(one, three, strict=True)
        )
        plain = await client.embeddings.create(
            model="all-minilm-l6-v2", input=texts[0], encoding_format="float"
        )
        assert plain.data[0].embedding == pytest.approx(one, abs=1e-6)
        assert plain.usage.prompt_tokens == 8  # six words, and the two that stand around them


@pytest.mark.holds_up_the_loop
async def test_the_openai_package_gets_errors_that_it_knows(door: Open) -> None:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="mimo token"):
            await client.models.list()
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="all-minilm-l6-v2"):
            await client.embeddings.create(model="text-embedding-9", input="a")
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await client.embeddings.create(model="all-minilm-l6-v2", input="")
        assert refused.value.param == "input"
        with pytest.raises(openai.UnprocessableEntityError, match="384"):
            await client.embeddings.create(model="all-minilm-l6-v2", input="a", dimensions=8)


@pytest.mark.parametrize("given", [None, 5, [], [""], [5], [[1, 2]], {"a": 1}, ["a"] * 2049])
async def test_what_cannot_be_embedded_is_refused(door: Open, given: object) -> None:
    refused = await door.client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": given})
    assert error(refused, 422)["param"] == "input"


async def test_curl_speaks_to_it(door: Open) -> None:
    words = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {door.token}"]
    asked = [
        "-H",
        "Content-Type: application/json",
        "-d",
        '{"content": "by curl"}',
        f"{door.url}/v1/memories",
    ]
    done = await trio.run_process([*words, *asked], capture_stdout=True)
    assert json.loads(done.stdout)["results"][0]["outcome"] == "added"
    large = await trio.run_process(
        [*words, "-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "-d", "@-", asked[-1]],
        stdin=b'{"content": "' + b"x" * 2_000_000 + b'"}',
        capture_stdout=True,
        check=False,
    )
    assert json.loads(large.stdout)["error"]["type"] == "too_large"


async def test_mcp_is_spoken_at_its_path_with_a_key(door: Open) -> None:
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    said = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    accept = {"accept": "application/json, text/event-stream"}
    first = await door.client.post("/mcp", json=said, headers=accept)
    session = {"mcp-session-id": first.headers["mcp-session-id"], **accept}
    await door.client.post(
        "/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session
    )
    said = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
    listed = await door.client.post("/mcp", json=said, headers=session)
    assert [each["name"] for each in listed.json()["result"]["tools"]][: len(TOOLS)] == TOOLS
    other = {"authorization": f"Bearer {await door.key('read', 'write')}"}
    assert (await door.client.post("/mcp", json=said, headers=session | other)).status_code == 404


async def test_a_bug_of_ours_is_an_error_with_an_id_and_no_more(
    door: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("secret details")

    monkeypatch.setattr(door.house.database, "read", broken)
    told = error(await door.client.get("/v1/memories"), 500)
    assert told["type"] == "broken"
    assert "secret" not in told["message"]
    assert told["id"] in caplog.text


async def test_a_client_that_leaves_cancels_its_call(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    began, cancelled = trio.Event(), trio.Event()

    async def endless(*_: object) -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    monkeypatch.setattr(door.house.database, "read", endless)
    head = f"GET /v1/memories HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {door.token}\r\n\r\n"
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
            await stream.send_all(head.encode())
            await began.wait()
        await cancelled.wait()
