"""Who gets in, and what may stand open to whom."""

import json
import logging
import socket
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import trio

from mimo.app import build
from mimo.home import Home
from mimo.house import House
from mimo.transports import ports
from mimo.transports.http import guard, router

from ...houses import NO_TLS, PATIENCE
from .conftest import Open, error, settings

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
