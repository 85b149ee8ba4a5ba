"""Channels and what is said in them; MCP in its own subprotocol."""

import json
import logging
import os
import random
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed

from mimo.transports.websocket import link, pulse
from mimo.transports.websocket.exchange import Caps

from .conftest import PATIENCE, Open, narrow

# Channels.


async def test_both_serialisations_are_spoken(door: Open) -> None:
    async with door.reach("/cortex/websocket?vsn=1.0.0") as agent:
        await agent.socket.send_message(
            json.dumps({"topic": "cortex:a", "event": "phx_join", "payload": {}, "ref": "1"})
        )
        told = json.loads(await agent.socket.get_message())
        assert (told["event"], told["ref"], told["payload"]["status"]) == ("phx_reply", "1", "ok")


async def test_leaving_closes_the_channel_and_nothing_else(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join("cortex:a")
        await agent.join("cortex:b")
        await agent.say("cortex:b", "phx_leave")
        assert (await agent.hear())[1] == "phx_reply"
        assert (await agent.hear())[1] == "phx_close"
        assert (await agent.ask("cortex:b", "ping"))["status"] == "error"
        assert (await agent.ask("cortex:a", "ping"))["status"] == "ok"


async def test_two_connections_of_one_agent_live_and_see_one_another(door: Open) -> None:
    async with door.reach() as one:
        await one.join()
        async with door.reach() as two:
            await two.join()
            joined = (await one.hear("presence_diff"))[2]
            assert len(joined["joins"]["a"]["metas"]) == 1
            for agent in (one, two):
                assert (await agent.ask("cortex:a", "ping"))["status"] == "ok"
        left = (await one.hear("presence_diff"))[2]
        assert left["leaves"]["a"]["metas"] == joined["joins"]["a"]["metas"]
        assert door.exchange.presences.count("cortex:a") == 1


async def test_garbage_is_answered_and_too_much_of_it_is_not(door: Open) -> None:
    async with door.reach() as agent:
        await agent.socket.send_message("{not json")
        assert "not JSON" in (await agent.hear("error"))[2]["message"]
        deep = "[" * 10_000 + "]" * 10_000
        await agent.socket.send_message(deep)
        assert (await agent.hear("error"))[2]["type"] == "invalid_arguments"
        assert (await agent.join())["status"] == "ok"

        async def shout() -> None:
            with suppress(ConnectionClosed):
                for _ in range(10_000):
                    await agent.socket.send_message("garbage")

        async with trio.open_nursery() as shouting:
            shouting.start_soon(shout)
            assert await agent.closed() == 1008
    async with door.reach() as agent:
        assert (await agent.join())["status"] == "ok"


async def test_frames_that_are_none_end_their_own_connection_only(
    door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten thousand of them with MIMO_FAULTS=full: not masked, reserved, torn, no text, and chance."""
    chance = random.Random(7)
    upgrade = (
        b"GET /cortex/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
        b"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    begun = [
        b"\x81\x05hello",
        b"\xf1\x80\0\0\0\0",
        b"\x80\x80\0\0\0\0",
        b"\x8b\x80\0\0\0\0",
        b"\x89\xfe\x01\0",
    ]
    begun += [b"\x81\x82\0\0\0\0\xff\xfe", b"\x88\x81\0\0\0\0x", b"\x82\xff" + b"\xff" * 8, b"\x81\xfe\0"]
    rounds = 1000 if os.environ.get("MIMO_FAULTS") == "full" else 20
    async with door.reach() as agent:
        await agent.join()
        for number in range(rounds):
            async with await door.raw() as stream:
                frames = [chance.choice(begun) + chance.randbytes(chance.randrange(40)) for _ in range(10)]
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(upgrade + (b"" if number % 2 else b"".join(frames)))
                    await stream.send_all(b"".join(frames))
                    await stream.send_eof()
                    with trio.fail_after(PATIENCE):
                        while await stream.receive_some():
                            pass
            if number % 10 == 0:
                assert (await agent.ask("cortex:a", "ping"))["status"] == "ok"
        with trio.fail_after(PATIENCE):
            while door.door.connections > 1:
                await trio.lowlevel.checkpoint()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_a_frame_that_dribbles_in_is_not_waited_for_for_ever(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be said within a frame, not even an answer to our pings."""
    narrow(monkeypatch)
    monkeypatch.setattr(pulse, "PING_SECONDS", 0.1)
    monkeypatch.setattr(link, "PONG_SECONDS", 1.5)  # enough for who answers, on a loaded machine too
    async with door.reach() as agent:
        await agent.join()
        lorises = [await door.raw() for _ in range(30)]
        head = b"GET /cortex/websocket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        more = b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        for each in lorises:
            await each.send_all(head + more + b"\x81\xfe\x40\0" + b"\0" * 4)
        with trio.fail_after(PATIENCE):
            while door.door.connections > 1:
                for each in lorises:
                    with suppress(trio.BrokenResourceError):
                        await each.send_all(b"x")
                assert (await agent.ask("cortex:a", "ping"))["status"] == "ok"
        for each in lorises:
            await each.aclose()


@pytest.mark.parametrize("caps", [Caps(message=2000)])
async def test_a_message_one_byte_over_the_cap_closes_with_1009(door: Open) -> None:
    async with door.reach() as agent:
        await agent.socket.send_message("x" * 2000)
        assert (await agent.hear("error"))[2]["type"] == "invalid_arguments"
        await agent.socket.send_message("x" * 2001)
        assert await agent.closed() == 1009
    async with door.reach() as agent:
        await agent.socket.send_message("ä" * 1001)  # characters are not bytes
        assert await agent.closed() == 1009
    async with door.reach() as agent:
        await agent.socket.send_message(b"bytes")
        assert await agent.closed() == 1003


# MCP.


async def test_mcp_is_spoken_in_its_own_subprotocol(door: Open) -> None:
    async with door.reach("/mcp", subprotocols=["mcp"]) as agent:
        assert agent.socket.subprotocol == "mcp"

        async def ask(method: str, **params: Any) -> Any:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            await agent.socket.send_message(json.dumps(message))
            with trio.fail_after(PATIENCE):
                return json.loads(await agent.socket.get_message())["result"]

        about = {"name": "tests", "version": "1"}
        greeted = await ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=about)
        assert greeted["serverInfo"]["name"] == "mimo"
        told = await ask("tools/call", name="echo", arguments={"text": "hello"})
        assert told["content"][0]["text"] == "hello"
        assert [each.door for each in door.sessions.connected()] == ["synapse"]
        door.keyring.replace([])
        await agent.socket.send_message("{}")
        assert await agent.closed() == 1008
