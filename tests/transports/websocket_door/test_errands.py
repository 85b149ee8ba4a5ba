"""Errands: queries, tools, and what becomes of them."""

import json
from typing import Any

import pytest
import trio

from mimo.gateway.rates import Rate
from mimo.gateway.toolbox import Toolbox
from mimo.observability.news import ToolCalled
from mimo.transports.websocket.exchange import Caps

from .conftest import PATIENCE, Agent, Load, Open


async def test_a_query_thinks_aloud_and_has_one_result(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        assert (await agent.ask("cortex:a", "query", {"q": "x", "ref": "mine"}))["response"] == {
            "ref": "mine"
        }
        thought = (await agent.hear("thought"))[2]
        assert (thought["ref"], thought["thought"]["content"]) == ("mine", "about x")
        result = (await agent.hear("result"))[2]
        assert (result["ref"], result["status"]) == ("mine", "ok")
        assert result["data"] == {"answer": "x", "by": "a"}
        assert result["latency_ms"] >= 0


async def test_a_tool_is_called_and_its_error_is_its_result(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        await agent.say("cortex:a", "tool", {"name": "echo", "arguments": {"text": "hello"}, "ref": "t"})
        assert (await agent.hear("result"))[2]["data"] == "hello"
        await agent.say("cortex:a", "tool", {"name": "none", "ref": "u"})
        told = (await agent.hear("result"))[2]
        assert (told["ref"], told["status"], told["error"]["type"]) == ("u", "error", "unknown_tool")
        await agent.say("cortex:a", "tool", {"name": "fails", "arguments": {"text": "bug"}, "ref": "v"})
        told = (await agent.hear("result"))[2]
        assert told["error"]["type"] == "broken"
        assert "secret" not in json.dumps(told)


async def test_an_interrupted_query_says_so_at_once(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "w"})
        await agent.hear("thought")
        began = trio.current_time()
        await agent.say("cortex:a", "interrupt", {"ref": "w", "reason": "enough"})
        assert (await agent.hear("interrupted"))[2] == {"ref": "w", "reason": "enough"}
        result = (await agent.hear("result"))[2]
        assert trio.current_time() - began < 1  # the bench has the figure
        assert (result["status"], result["data"], result["reason"]) == ("interrupted", None, "enough")
        assert door.mind.cancelled == ["wait"]
        told = await agent.ask("cortex:a", "interrupt", {"ref": "w"})
        assert told["response"] == {"ref": "w", "interrupted": False}


async def test_a_query_that_takes_too_long_times_out(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        await agent.say("cortex:a", "query", {"q": "wait", "ref": "w", "timeout": 20})
        told = (await agent.hear("result"))[2]
        assert (told["status"], told["error"]["type"]) == ("timeout", "too_slow")


@pytest.mark.parametrize("caps", [Caps(in_flight=2)])
async def test_a_ref_in_use_and_too_many_errands_are_refused(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "1"})
        told = await agent.ask("cortex:a", "query", {"q": "wait", "ref": "1"})
        assert "still runs" in told["response"]["reason"]
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "2"})
        assert (await agent.ask("cortex:a", "query", {"q": "wait", "ref": "3"}))["response"]["type"] == "busy"


WRITING = {"name": "slow", "arguments": {"text": "x"}}  # a tool that writes
READING = {"name": "echo", "arguments": {"text": "x"}}


async def outcome(agent: Agent, event: str, payload: dict[str, Any]) -> tuple[str, Any]:
    """Status and error (or data) of an errand."""
    await agent.say("cortex:a", event, payload)
    told = (await agent.hear("result"))[2]
    return told["status"], told.get("error") or told["data"]


@pytest.mark.parametrize("rate", [Rate(60, 2)])
async def test_a_key_may_write_so_often_and_read_on(door: Open, toolbox: Toolbox, house: Any) -> None:
    house.go.set()
    async with door.reach() as agent, door.reach("/mcp", subprotocols=["mcp"]) as client:
        await agent.join()
        for number in range(2):
            assert await outcome(agent, "tool", {**WRITING, "ref": str(number)}) == ("ok", "x")
        for event, payload in (("tool", WRITING), ("query", {"q": "costly"})):
            status, told = await outcome(agent, event, {**payload, "ref": "more"})
            assert (status, told["type"], told["retry"]) == ("error", "busy", True)
            assert told["details"]["after"] > 0
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WRITING}
        about = {"protocolVersion": "2025-11-25", "capabilities": {}}
        about["clientInfo"] = {"name": "tests", "version": "1"}
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about}
        for said in (hello, call):  # the same bucket, by whatever protocol
            await client.socket.send_message(json.dumps(said))
            heard = json.loads(await client.socket.get_message())
        assert heard["result"]["isError"] or "error" in heard
        assert await outcome(agent, "tool", {**READING, "ref": "read"}) == ("ok", "x")
        assert (await outcome(agent, "query", {"q": "cheap", "ref": "q"}))[0] == "ok"


async def test_what_costs_is_put_off_under_overload_and_what_does_not_is_served(
    door: Open, load: Load, house: Any
) -> None:
    house.go.set()
    async with door.reach() as agent:
        await agent.join()
        assert await outcome(agent, "tool", {**WRITING, "ref": "before"}) == ("ok", "x")
        load.p99 = 9.0
        for event, payload in (("tool", WRITING), ("query", {"q": "costly"})):
            status, told = await outcome(agent, event, {**payload, "ref": "during"})
            assert (status, told["type"], told["retry"]) == ("error", "unavailable", True)
            assert told["details"]["after"] == 2.0
        assert await outcome(agent, "tool", {**READING, "ref": "read"}) == ("ok", "x")
        load.p99 = 0.0
        assert await outcome(agent, "tool", {**WRITING, "ref": "after"}) == ("ok", "x")


async def test_a_lost_connection_cancels_its_work(door: Open) -> None:
    async with door.reach() as agent:
        await agent.join()
        await agent.ask("cortex:a", "query", {"q": "wait", "ref": "w"})
        await agent.hear("thought")
    with trio.fail_after(PATIENCE):
        while door.door.connections:
            await trio.lowlevel.checkpoint()
    assert door.mind.cancelled == ["wait"]
    assert door.sessions.connected() == []
    assert door.exchange.held == {}


async def test_who_subscribed_hears_what_happens_and_nothing_else(door: Open) -> None:
    async with door.reach() as one, door.reach() as two:
        await one.join()
        await two.join("cortex:b")
        await one.ask("cortex:a", "subscribe", {"events": ["system:tool_called"]})
        await two.ask("cortex:b", "subscribe", {"events": ["memory:*"]})
        for number in range(3):
            door.events.publish(ToolCalled(f"t{number}", "c", "ok", 0.1))
        heard = [(await one.hear("system:tool_called"))[2]["tool"] for _ in range(3)]
        assert heard == ["t0", "t1", "t2"]
        await one.ask("cortex:a", "subscribe", {"events": []})
        door.events.publish(ToolCalled("t3", "c", "ok", 0.1))
        for agent, topic in ((one, "cortex:a"), (two, "cortex:b")):
            said = await agent.say(topic, "ping")
            assert (await agent.hear())[0] == said  # nothing came before the reply
