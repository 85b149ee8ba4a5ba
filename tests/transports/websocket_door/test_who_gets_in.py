"""Who gets in, and who is asked to leave."""

import logging

import pytest
import trio

from mimo.gateway.keys import new_token
from mimo.transports.websocket import connection, cortex, pulse
from mimo.transports.websocket.exchange import Caps

from .conftest import PATIENCE, Open, a_key


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "rebound.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"authorization": "Bearer mimo_wrong"}, 401),
        # How clients of Phoenix 1.8 show one.
        (
            {"authorization": "", "sec_websocket_protocol": "phoenix, base64url.bearer.phx.bWltb193cm9uZw"},
            401,
        ),
    ],
)
async def test_a_wrong_name_a_foreign_page_and_a_wrong_key_are_refused(
    door: Open, headers: dict[str, str], status: int
) -> None:
    assert await door.refused(**headers) == status
    async with door.reach() as agent:
        assert (await agent.ask("phoenix", "heartbeat"))["status"] == "ok"


async def test_there_is_nothing_elsewhere(door: Open) -> None:
    assert await door.refused("/other") == 404
    assert await door.refused("/cortex/websocket?vsn=9") == 400
    assert await door.refused("/mcp") == 400
    assert await door.refused("/mcp", authorization="", sec_websocket_protocol="mcp") == 401


async def test_a_key_is_shown_at_the_upgrade_or_at_the_join(door: Open) -> None:
    async with door.reach() as agent:
        assert (await agent.join())["response"]["agent_id"] == "a"
    async with door.reach(key=False) as agent:
        assert "a key is needed" in (await agent.join())["response"]["reason"]
        assert (await agent.join(key="mimo_wrong"))["response"]["type"] == "unauthorized"
        assert (await agent.ask("cortex:a", "ping"))["response"]["type"] == "not_found"
        assert (await agent.join(key=door.token))["status"] == "ok"


async def test_a_revoked_key_opens_nothing_any_more(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        door.keyring.replace([])
        told = await agent.ask("cortex:a", "query", {"q": "x"})
        assert told["response"]["type"] == "unauthorized"
        assert door.mind.asked == []


@pytest.mark.parametrize("joined", [True, False])
async def test_who_only_listens_with_a_revoked_key_is_hung_up_on(
    door: Open, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PING_SECONDS", 0.05)
    async with door.reach() as agent:
        if joined:
            await agent.join()
        door.keyring.replace([])
        assert await agent.closed() == 1008


async def test_a_key_is_compared_with_its_scopes(door: Open) -> None:
    token = new_token()
    door.keyring.replace([*door.keyring.keys, a_key("w", token, "write")])
    async with door.reach(key=False) as agent:
        await agent.join(key=token)
        for event, payload in (("query", {"q": "x"}), ("subscribe", {"events": ["system:*"]})):
            assert (await agent.ask("cortex:a", event, payload))["response"]["type"] == "forbidden"


async def test_who_joins_nothing_is_asked_to_leave(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cortex, "JOIN_SECONDS", 0.05)
    async with door.reach(key=False) as agent:
        assert await agent.closed() == 1008


async def test_a_head_that_dribbles_in_is_given_up(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    async with await door.raw() as stream:
        await stream.send_all(b"GET /cortex/websocket HTTP/1.1\r\n")
        with trio.fail_after(PATIENCE):
            assert await stream.receive_some() == b""
            while door.door.connections:
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "said", [b"\x00\xff garbage\r\n\r\n", b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n", b""]
)
async def test_what_is_no_upgrade_disturbs_nobody(
    door: Open, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with await door.raw() as stream:
        await stream.send_all(said or b"G")
        if not said:
            await stream.send_eof()
        with trio.fail_after(PATIENCE):
            while await stream.receive_some():
                pass
    async with door.reach() as agent:
        assert (await agent.join())["status"] == "ok"
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("caps", [Caps(connections=1)])
async def test_over_the_cap_is_refused_and_the_others_stay(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        assert await door.refused() == 503
        assert (await agent.ask("cortex:a", "ping"))["response"] == {"pong": True}


@pytest.mark.parametrize("caps", [Caps(per_key=1)])
async def test_one_key_does_not_take_all_places(door: Open) -> None:
    token = new_token()
    door.keyring.replace([*door.keyring.keys, a_key("p", token, "read")])
    shown = [(b"authorization", f"Bearer {token}".encode())]
    async with door.reach(key=False, extra=shown) as agent:
        await agent.join()
        assert await door.refused(authorization=f"Bearer {token}") == 429
        async with door.reach(key=False) as other:
            assert (await other.join(key=token))["response"]["type"] == "busy"
            assert (await other.join(key=door.token))["status"] == "ok"
