"""Questions over WebSocket: the same answer as over HTTP, with thoughts on the way, and an end at once when interrupted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from ...houses import PATIENCE
from .conftest import Open, Service

HARBOUR = "The harbour closes at nine in the evening"
TOPIC = "cortex:tests"


@pytest.fixture
def upstream(service: Service, request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"url": service.url, "model": "whale-1"} if "model" in request.fixturenames else {}


@pytest.fixture
def model(service: Service) -> Service:
    return service


@asynccontextmanager
async def joined(door: Open) -> AsyncIterator[WebSocketConnection]:
    assert door.house.synapse is not None
    url = f"{door.house.synapse.url}/cortex/websocket?vsn=2.0.0"
    head = [("Authorization", f"Bearer {door.token}")]
    async with open_websocket_url(url, extra_headers=head) as wire:
        await wire.send_message(json.dumps(["1", "1", TOPIC, "phx_join", {}]))
        assert (await heard(wire, "phx_reply"))["status"] == "ok"
        yield wire


async def say(wire: WebSocketConnection, event: str, **payload: Any) -> None:
    await wire.send_message(json.dumps(["1", "2", TOPIC, event, payload]))


async def heard(wire: WebSocketConnection, event: str) -> Any:
    with trio.fail_after(PATIENCE):
        while True:
            _, _, _, name, payload = json.loads(await wire.get_message())
            if name == event:
                return payload


async def test_a_query_asks_all_stores_and_thinks_aloud(door: Open) -> None:
    await door.remember(HARBOUR)
    await door.tool("knowledge", operation="teach", triples=[["harbour", "located_in", "Kiel"]], graph="user")
    async with joined(door) as wire:
        await say(wire, "query", q="Where is the harbour, and when does it close?", ref="q1")
        assert (await heard(wire, "thought"))["ref"] == "q1"
        assert "memories answered" in (await heard(wire, "thought"))["thought"]["content"]
        told = await heard(wire, "result")
    assert (told["ref"], told["status"]) == ("q1", "ok")
    assert {each["store"] for each in told["data"]["results"]} == {"memories", "facts"}
    assert told["data"]["synthesis"] is None


async def test_a_query_that_waits_for_a_language_model_is_interrupted(door: Open, model: Service) -> None:
    await door.remember(HARBOUR)
    model.silent_after = 0
    async with joined(door) as wire:
        await say(wire, "query", q="When does the harbour close?", ref="q1")
        with trio.fail_after(PATIENCE):
            await model.came.wait()
        await say(wire, "interrupt", ref="q1", reason="enough")
        assert (await heard(wire, "result"))["status"] == "interrupted"
        with trio.fail_after(PATIENCE):
            await model.left.wait()


async def test_a_query_has_by_its_deadline_what_was_found(door: Open, model: Service) -> None:
    await door.remember(HARBOUR)
    model.silent_after = 0
    async with joined(door) as wire:
        await say(wire, "query", q="When does the harbour close?", ref="q1", timeout=600)
        told = await heard(wire, "result")
    assert told["status"] == "ok"
    assert told["data"]["results"][0]["content"] == HARBOUR
    assert told["data"]["synthesis"] is None
    assert "cut" in told["data"]["router_decision"]["synthesis"]
