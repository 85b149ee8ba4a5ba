"""Slow readers, dead peers, and the end."""

import socket as sockets
from contextlib import suppress
from dataclasses import replace

import pytest
import trio
from trio_websocket import ConnectionClosed

from mimo.transports.ports import Address
from mimo.transports.websocket import link, pulse
from mimo.transports.websocket.door import SynapseDoor

from .conftest import PATIENCE, Open, narrow


@pytest.mark.holds_up_the_loop  # the client frames and masks large messages in the same loop
async def test_a_reader_that_stops_is_given_up_and_the_others_are_served(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch)
    async with door.reach() as fast:
        await fast.join("cortex:b")
        async with door.reach(message_queue_size=0) as slow:
            await slow.join()
            text = "x" * 900_000
            for number in range(40):  # more than all buffers of a socket hold
                tool = {"name": "echo", "arguments": {"text": text}, "ref": f"r{number}"}
                with trio.move_on_after(0.2), suppress(ConnectionClosed):
                    await slow.say("cortex:a", "tool", tool)
                if door.door.connections == 1:
                    break
            with trio.fail_after(PATIENCE):
                while door.door.connections > 1:
                    await fast.ask("cortex:b", "ping")
            with trio.move_on_after(1):
                assert await slow.closed() in {1013, 1006}


async def test_a_peer_that_answers_no_ping_is_gone(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    monkeypatch.setattr(pulse, "PING_SECONDS", 0.05)
    monkeypatch.setattr(link, "PONG_SECONDS", 0.05)
    async with await door.raw() as stream:
        await stream.send_all(
            b"GET /cortex/websocket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        with trio.fail_after(PATIENCE):
            assert b"101" in await stream.receive_some()
            while door.door.connections:
                await trio.lowlevel.checkpoint()
    assert pulse.PING_SECONDS + link.PONG_SECONDS < 60


async def test_a_drain_answers_what_runs_and_closes_with_1001(door: Open, nursery: trio.Nursery) -> None:
    async with door.reach() as agent, door.reach() as idle:
        await agent.join()
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "w"})
        await agent.hear("thought")
        nursery.start_soon(door.door.drain)
        assert await idle.closed() == 1001
        door.mind.go.set()
        assert (await agent.hear("result"))[2]["status"] == "ok"
        assert await agent.closed() == 1001
    with pytest.raises(OSError, match="all attempts to connect"):
        await door.raw()


async def test_a_door_that_is_cut_off_says_goodbye(door: Open, nursery: trio.Nursery) -> None:
    other, cut = SynapseDoor(door.exchange, Address("127.0.0.1", 0), lambda: 0), trio.CancelScope()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with cut:
            await other.run(task_status=task_status)

    await nursery.start(run)
    async with replace(door, door=other).reach() as agent:
        await agent.join()
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "w"})
        await agent.hear("thought")
        cut.cancel()
        assert await agent.closed() == 1001
    assert door.mind.cancelled == ["wait"]


async def test_a_port_in_use_is_told_and_taken_when_it_is_free(
    door: Open, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo.transports.ports.AGAIN_SECONDS", 0.05)
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = SynapseDoor(door.exchange, Address("127.0.0.1", taken.getsockname()[1]), lambda: 0)
        await nursery.start(other.run)
        assert "synapse.port" in other.state
    with trio.fail_after(PATIENCE):
        while other.state != "open":
            await trio.lowlevel.checkpoint()
