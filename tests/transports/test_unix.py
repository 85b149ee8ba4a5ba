"""The Unix socket: hello first, the same user only, our own methods beside MCP, and an orderly end."""

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from mimo.errors import Conflict
from mimo.gateway.toolbox import Toolbox
from mimo.tool import Client, Json, JsonObject
from mimo.transports import unix
from mimo.transports.desk import Desk
from mimo.transports.lines import Tell
from mimo.transports.unix import UnixDoor

told: list[int] = []  # by mimo/long, in the test that runs
HELLO = {"mimo": 1, "role": "bridge", "version": "1", "cwd": "/", "pid": 1, "env": {"MIMO_NAMESPACE": "team"}}


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.join(folder, "s"))
        listening.listen()
        yield listening


async def control(method: str, params: JsonObject, client: Client, tell: Tell) -> Json:
    match method:
        case "mimo/long":
            for number in range(params["lines"]):
                await tell("mimo/part", {"number": number, "text": "x" * 100_000})
                told.append(number)
            return "long"
        case "mimo/status":
            return {"name": client.name, "namespace": client.namespace, "params": params}
        case "mimo/slow":
            await trio.sleep(1)
            return "slow"
        case _:
            raise Conflict("not now")


@pytest.fixture
async def door(listening: socket.socket, desk: Desk, nursery: trio.Nursery) -> AsyncIterator[UnixDoor]:
    door = UnixDoor([listening], desk, control, "/home/nobody")
    await nursery.start(door.run)
    yield door
    nursery.cancel_scope.cancel()


class Caller:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.rest = b""

    async def say(self, *messages: object) -> None:
        await self.stream.send_all(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def hear(self) -> Any:
        with trio.fail_after(20):
            while b"\n" not in self.rest:
                chunk = await self.stream.receive_some()
                if not chunk:
                    return None
                self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)


Dial = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def dial(listening: socket.socket) -> AsyncIterator[Dial]:
    callers: list[Caller] = []

    async def connect(hello: object = HELLO) -> Caller:
        callers.append(Caller(await trio.open_unix_socket(listening.getsockname())))
        if hello is not None:
            await callers[-1].say(hello)
        return callers[-1]

    yield connect
    for each in callers:
        await trio.aclose_forcefully(each.stream)


def request(method: str, identity: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


async def test_mcp_follows_the_hello(door: UnixDoor, dial: Dial, house: Any) -> None:
    bridge = await dial()
    await bridge.say(
        request("initialize", protocolVersion="2025-11-25", clientInfo={"name": "editor", "version": "3"}),
        request("tools/call", 2, name="echo", arguments={"text": "hi"}),
    )
    assert (await bridge.hear())["result"]["protocolVersion"] == "2025-11-25"
    assert (await bridge.hear())["result"]["content"][0]["text"] == "hi"
    client = house.calls[0].client
    assert (client.name, client.version, client.namespace, client.uid) == ("editor", "3", "team", os.getuid())
    assert door.connections == 1


async def test_our_own_programs_are_answered_by_control(door: UnixDoor, dial: Dial) -> None:
    cli = await dial(HELLO | {"role": "cli"})
    await cli.say(request("mimo/slow", 1), request("mimo/status", 2, x=1), request("mimo/other", 3))
    told = {answer["id"]: answer for answer in [await cli.hear() for _ in range(3)]}
    assert told[1]["result"] == "slow"
    assert told[2]["result"] == {"name": "cli", "namespace": "team", "params": {"x": 1}}
    assert told[3]["error"]["data"]["kind"] == "conflict"


async def test_a_long_answer_comes_in_parts_at_the_pace_of_who_reads(door: UnixDoor, dial: Dial) -> None:
    told.clear()
    cli = await dial(HELLO | {"role": "cli"})
    await cli.say(request("mimo/long", 1, lines=100))
    await cli.hear()
    await trio.testing.wait_all_tasks_blocked()
    assert len(told) < 50  # the rest waits until somebody reads it
    parts = [await cli.hear() for _ in range(99)]
    assert [part["params"]["number"] for part in parts] == list(range(1, 100))
    assert (await cli.hear())["result"] == "long"


async def test_a_bridge_carries_no_control(door: UnixDoor, dial: Dial) -> None:
    bridge = await dial()
    await bridge.say(request("initialize", protocolVersion="2025-11-25"), request("mimo/status", 2))
    await bridge.hear()
    assert (await bridge.hear())["error"]["code"] == -32601


@pytest.mark.parametrize("first", [{"mimo": 9, "role": "cli"}, request("initialize"), 5])
async def test_who_does_not_say_hello_is_told_how_and_hung_up(
    door: UnixDoor, dial: Dial, first: object
) -> None:
    stranger = await dial(first)
    assert "hello" in (await stranger.hear())["error"]["message"]
    assert await stranger.hear() is None


async def test_a_hello_without_end_is_refused(door: UnixDoor, dial: Dial) -> None:
    stranger = await dial(None)
    with suppress(trio.BrokenResourceError):
        await stranger.stream.send_all(b"x" * (5 << 20))
    with suppress(trio.BrokenResourceError):
        assert "4194304 bytes" in (await stranger.hear())["error"]["message"]


async def test_who_says_nothing_is_hung_up_after_a_while(
    door: UnixDoor, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "HELLO_SECONDS", 0.05)
    stranger = await dial(None)
    assert "no hello" in (await stranger.hear())["error"]["message"]


async def test_another_user_is_refused(door: UnixDoor, dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    monkeypatch.setattr(unix, "ROOT", me + 1)
    stranger = await dial()
    assert (await stranger.hear())["error"]["code"] == -32001
    with suppress(trio.BrokenResourceError):  # our hello was never read
        assert await stranger.hear() is None


async def test_more_than_so_many_are_told_to_come_later(
    door: UnixDoor, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "MAX_CONNECTIONS", 1)
    first = await dial()
    await first.say(request("initialize", protocolVersion="2025-11-25"))
    await first.hear()
    second = await dial()
    assert (await second.hear())["error"]["data"]["kind"] == "busy"


async def test_clients_that_vanish_are_forgotten(door: UnixDoor, dial: Dial, house: Any) -> None:
    async with trio.open_nursery() as nursery:
        for cut in (0, 1, 20):
            stranger = await dial(None)
            await stranger.stream.send_all(json.dumps(HELLO).encode()[:cut])
            nursery.start_soon(stranger.stream.aclose)
    bridge = await dial()
    await bridge.say(
        request("initialize", protocolVersion="2025-11-25"),
        request("tools/call", 2, name="slow", arguments={"text": "a"}),
    )
    await bridge.hear()
    await bridge.stream.aclose()
    with trio.fail_after(20):
        while door.connections:  # noqa: ASYNC110 - there is nothing else to wait for
            await trio.sleep(0.01)
    assert house.cancelled == ["a"]


async def test_a_drain_answers_what_is_in_flight_and_then_ends(
    listening: socket.socket, dial: Dial, desk: Desk, house: Any
) -> None:
    door = UnixDoor([listening], desk, control, "/home/nobody")
    ended = trio.Event()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        await door.run(task_status=task_status)
        ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        idle, working = await dial(), await dial()
        await working.say(
            request("initialize", protocolVersion="2025-11-25"),
            request("tools/call", 2, name="slow", arguments={"text": "a"}),
        )
        await working.hear()
        while not house.started:  # noqa: ASYNC110 - there is nothing else to wait for
            await trio.sleep(0.001)
        await door.drain()
        assert await idle.hear() is None
        house.go.set()
        assert "result" in await working.hear()
        assert await working.hear() is None
        with trio.fail_after(20):
            await ended.wait()


async def test_a_door_opens_again_on_the_same_socket(
    listening: socket.socket, dial: Dial, desk: Desk
) -> None:
    door = UnixDoor([listening], desk, control, "/home/nobody")
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(door.run)
            cli = await dial(HELLO | {"role": "cli"})
            await cli.say(request("mimo/status"))
            assert "result" in await cli.hear()
            nursery.cancel_scope.cancel()


async def test_a_bug_that_one_client_meets_leaves_the_others_alone(
    door: UnixDoor, dial: Dial, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, unlucky = await dial(), await dial()
    await other.say(request("initialize", protocolVersion="2025-11-25"))
    await other.hear()
    monkeypatch.setattr(toolbox, "prompts", lambda: 1 / 0)
    await unlucky.say(request("initialize", protocolVersion="2025-11-25"), request("prompts/list", 2))
    while await unlucky.hear() is not None:
        pass
    await other.say(request("ping", 2))
    assert (await other.hear())["result"] == {}


async def test_a_newer_bridge_gets_its_way_only_when_nobody_is_in_a_call(door: UnixDoor, dial: Dial) -> None:
    wanted = trio.Event()
    door.make_way = wanted.set
    newer = HELLO | {"version": "999.1"}
    busy = await dial(HELLO | {"version": "0.0.1"})
    await busy.say(
        request("initialize", protocolVersion="2025-11-25"),
        request("tools/call", 2, name="slow", arguments={"text": "a"}),
    )
    await busy.hear()
    patient = await dial(newer)
    await patient.say(request("ping"))
    assert (await patient.hear())["result"] == {}  # it is served by what there is
    await busy.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
    await busy.say(request("ping", 3))
    await busy.hear()
    for hello in (newer | {"settled": True}, newer | {"role": "cli"}, HELLO | {"version": "0.0.1"}):
        other = await dial(hello)
        await other.say(request("mimo/status" if hello["role"] == "cli" else "ping"))
        assert "result" in await other.hear()
    assert not wanted.is_set()
    assert await (await dial(newer)).hear() == {"mimo": "again"}
    assert wanted.is_set()


async def test_a_daemon_that_bridges_did_not_start_stays(door: UnixDoor, dial: Dial) -> None:
    newer = await dial(HELLO | {"version": "999.1"})
    await newer.say(request("ping"))
    assert (await newer.hear())["result"] == {}
