"""Calls run side by side, cancelled ones stay silent, bad input ends nothing, and nobody waits for a client that sleeps."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from mimo.errors import Unavailable
from mimo.gateway.toolbox import Toolbox
from mimo.protocol.jsonrpc import MAX_LINE
from mimo.protocol.mcp.conversation import MAX_IN_FLIGHT
from mimo.protocol.mcp.subscriptions import MAX_LISTENS
from mimo.tool import Client
from mimo.transports.desk import Desk
from mimo.transports.lines import Connection
from mimo.transports.outbox import Outbox, Stalled

MODERN = "2026-07-28"
Meet = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("revision", ["2025-11-25", MODERN])
async def test_a_slow_tool_holds_up_nobody(meet: Meet, house: Any, revision: str) -> None:
    talker = await meet(revision)
    slow = await talker.send("tools/call", name="slow", arguments={"text": "a"})
    await trio.testing.wait_all_tasks_blocked()
    assert (await talker.call("echo", text="quick"))["result"]["content"][0]["text"] == "quick"
    assert "result" in await talker.ask("tools/list")
    house.go.set()
    assert (await talker.hear())["id"] == slow


@pytest.mark.parametrize("revision", ["2025-11-25", MODERN])
async def test_nothing_is_said_about_a_cancelled_call(meet: Meet, house: Any, revision: str) -> None:
    talker = await meet(revision)
    for text in ("a", "b"):
        identity = await talker.send("tools/call", name="slow", arguments={"text": text})
    await trio.testing.wait_all_tasks_blocked()
    await talker.note("notifications/cancelled", requestId=identity, reason="changed my mind")
    await trio.testing.wait_all_tasks_blocked()
    assert house.cancelled == ["b"]
    house.go.set()
    assert (await talker.hear())["id"] == identity - 1
    await talker.ask("tools/list")
    assert talker.notes == []


async def test_a_thousand_cancels_leave_nothing_behind(meet: Meet, house: Any) -> None:
    talker = await meet("2025-11-25")
    for _ in range(10):
        for _ in range(100):
            identity = await talker.send("tools/call", name="slow", arguments={"text": "x"})
            await talker.note("notifications/cancelled", requestId=identity)
        await talker.ask("ping")
    await trio.testing.wait_all_tasks_blocked()
    assert len(house.cancelled) == len(house.started)
    assert talker.notes == []
    assert "result" in await talker.call("echo", text="still here")


@pytest.mark.parametrize("target", [99, "1", None, [1], {}, 1.5])
async def test_cancelling_what_is_not_there_is_nothing(meet: Meet, target: object) -> None:
    talker = await meet("2025-11-25")
    await talker.note("notifications/cancelled", requestId=target)
    await talker.note("notifications/cancelled")
    await talker.note("notifications/nonsense")
    await talker.note("notifications/roots/list_changed")
    assert (await talker.ask("ping"))["result"] == {}
    assert talker.notes == []


async def test_an_id_in_flight_cannot_be_used_again_until_it_is_answered(meet: Meet, house: Any) -> None:
    talker = await meet("2025-11-25")
    message = talker.request("tools/call", {"name": "slow", "arguments": {"text": "a"}})
    line = json.dumps(message).encode() + b"\n"
    await talker.write(line + line)
    refused = await talker.hear()
    assert (refused["id"], refused["error"]["code"]) == (None, -32600)
    assert refused["error"]["data"] == {"id": message["id"]}
    house.go.set()
    assert (await talker.hear())["result"]["content"][0]["text"] == "a"
    assert house.started == ["a"]
    await talker.write(line)
    assert (await talker.hear())["id"] == message["id"]


async def test_too_many_calls_in_flight_are_refused_and_the_others_go_on(meet: Meet, house: Any) -> None:
    talker = await meet("2025-11-25")
    for _ in range(MAX_IN_FLIGHT + 1):
        last = await talker.send("tools/call", name="slow", arguments={"text": "x"})
    refused = await talker.hear()
    assert (refused["id"], refused["error"]["code"]) == (last, -32029)
    assert refused["error"]["data"]["retry"] is True
    assert (await talker.ask("ping"))["result"] == {}
    house.go.set()
    for _ in range(MAX_IN_FLIGHT):
        assert "result" in await talker.hear()


async def test_subscriptions_are_bounded(meet: Meet) -> None:
    talker = await meet(MODERN)
    for _ in range(MAX_LISTENS):
        await talker.send("subscriptions/listen", notifications={"toolsListChanged": True})
        assert "method" in await talker.hear()
    assert (await talker.ask("subscriptions/listen", notifications={}))["error"]["code"] == -32602
    many = {"resourceSubscriptions": [f"mimo://{number}" for number in range(1001)]}
    assert (await talker.ask("subscriptions/listen", notifications=many))["error"]["code"] == -32602
    wrong = {"resourceSubscriptions": "mimo://a"}
    assert (await talker.ask("subscriptions/listen", notifications=wrong))["error"]["code"] == -32602
    legacy = await meet("2025-11-25")
    for number in range(1000):
        await legacy.ask("resources/subscribe", uri=f"mimo://{number}")
    assert (await legacy.ask("resources/subscribe", uri="mimo://more"))["error"]["code"] == -32602


BAD: list[tuple[bytes, tuple[int, object] | None]] = [
    (b"x" * (MAX_LINE + 1), (-32600, None)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":' + b'{"a":' * 65 + b"1" + b"}" * 66, (-32600, 1)),
    (b'{"method":"ping","params":{"x":"' + b"x" * MAX_LINE + b'"},"jsonrpc":"2.0","id":7}', (-32600, 7)),
    (b"\xff\xfe", (-32700, None)),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\\ud800"}}', (-32602, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', (-32700, 1)),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', (-32600, None)),
    (b'{"jsonrpc":"2.0","id":"q","method":"ping","params":[]}', (-32600, "q")),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', (-32600, None)),
    (b"[]", (-32600, None)),
    (b"7", (-32600, None)),
    (b'{"jsonrpc":"2.0","method":"ping","params":[]}', None),
    (b"", None),
    (b"  \r", None),
]


@pytest.mark.parametrize(("line", "expected"), BAD, ids=[repr(line[:40]) for line, _ in BAD])
async def test_bad_input_gets_one_answer_and_the_connection_lives_on(
    meet: Meet, line: bytes, expected: tuple[int, object] | None
) -> None:
    talker = await meet("2025-11-25")
    await talker.write(line + b"\n")
    if expected is not None:
        answer = await talker.hear()
        assert (answer["error"]["code"], answer["id"]) == expected
    assert (await talker.ask("ping"))["result"] == {}
    assert talker.notes == []


@pytest.mark.parametrize("revision", ["2025-11-25", MODERN])
async def test_half_an_emoji_in_a_tools_argument_is_for_the_model_to_read(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    asked = talker.request("tools/call", {"name": "echo", "arguments": {"text": "half an emoji: \ud83d"}})
    await talker.write(json.dumps(asked).encode() + b"\n")
    answer = await talker.hear()
    assert answer["id"] == asked["id"]
    assert answer["result"]["isError"] is True
    assert answer["result"]["content"][0]["text"].startswith("text must be valid Unicode")
    assert "result" in await talker.ask("tools/call", name="echo", arguments={"text": "whole"})


async def test_a_torn_line_at_the_end_is_answered_and_what_came_before_is_done(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    whole = json.dumps(talker.request("tools/call", {"name": "echo", "arguments": {"text": "x"}})).encode()
    for cut in (1, len(whole) // 2, len(whole) - 1, len(whole)):
        talker = await meet("2025-11-25")
        talker.request("tools/call", {})
        await talker.write(b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n' + whole[:cut])
        talker._methods[2] = ("ping", "2025-11-25")
        talker.stream.send_stream.close()
        assert (await talker.hear())["id"] == 2
        assert (await talker.hear())["error"]["code"] == -32700
        assert await talker.hear() is None


async def test_calls_in_flight_are_answered_after_the_client_has_said_all(meet: Meet, house: Any) -> None:
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="slow", arguments={"text": "a"})
    talker.stream.send_stream.close()
    await trio.testing.wait_all_tasks_blocked()
    house.go.set()
    assert "result" in await talker.hear()
    assert await talker.hear() is None


async def test_what_takes_too_long_after_the_end_is_given_up(
    meet: Meet, house: Any, autojump_clock: trio.testing.MockClock
) -> None:
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="slow", arguments={"text": "a"})
    talker.stream.send_stream.close()
    began = trio.current_time()
    assert await talker.hear() is None
    assert trio.current_time() - began < 1
    assert house.cancelled == ["a"]


# Batches.


async def test_a_batch_is_answered_as_one_when_its_last_call_is_done(meet: Meet, house: Any) -> None:
    talker = await meet("2025-03-26")
    messages = [
        talker.request("tools/call", {"name": "slow", "arguments": {"text": "a"}}),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        talker.request("ping", {}),
        7,
        talker.request("nonsense", {}),
        talker.request("initialize", {"protocolVersion": "2025-03-26"}),
    ]
    await talker.write(json.dumps(messages).encode() + b"\n")
    assert (await talker.ask("tools/list"))["result"], "others do not wait for the batch"
    house.go.set()
    answers = await talker.hear()
    told = {answer["id"]: answer.get("error", {}).get("code") for answer in answers}
    ids = [message["id"] for message in messages if isinstance(message, dict) and "id" in message]
    assert told == {ids[0]: None, ids[1]: None, None: -32600, ids[2]: -32601, ids[3]: -32602}


async def test_a_cancelled_call_does_not_hold_up_its_batch(meet: Meet, house: Any) -> None:
    talker = await meet("2025-03-26")
    slow = talker.request("tools/call", {"name": "slow", "arguments": {"text": "a"}})
    ping = talker.request("ping", {})
    await talker.write(json.dumps([slow, ping]).encode() + b"\n")
    await trio.testing.wait_all_tasks_blocked()
    await talker.note("notifications/cancelled", requestId=slow["id"])
    assert [answer["id"] for answer in await talker.hear()] == [ping["id"]]


async def test_a_batch_of_notifications_is_not_answered(meet: Meet) -> None:
    talker = await meet("2025-03-26")
    await talker.write(b'[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b","params":[]}]\n')
    assert (await talker.ask("ping"))["result"] == {}
    assert talker.notes == []


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18", "2025-11-25", MODERN])
async def test_batches_are_refused_where_they_are_not_part_of_the_revision(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    await talker.write(json.dumps([talker.request("ping", {}), talker.request("ping", {})]).encode() + b"\n")
    assert (await talker.hear())["error"]["code"] == -32600
    assert "result" in await talker.ask("tools/list")


# Clients that do not read.


async def test_a_client_that_stops_reading_is_dropped_and_nobody_else_notices(
    desk: Desk, meet: Meet, autojump_clock: trio.testing.MockClock
) -> None:
    other = await meet("2025-11-25")
    ours, theirs = trio.testing.lockstep_stream_pair()  # a send waits for its receive
    stalled: list[Stalled] = []

    async def serve() -> None:
        try:
            await Connection(ours, desk).run(Client(), "sleeper")
        except Stalled as error:
            stalled.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await theirs.send_all(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        await trio.testing.wait_all_tasks_blocked()
        assert (await other.call("echo", text="x"))["result"]
    assert stalled


async def test_an_outbox_is_bounded_and_says_so_at_once() -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()
    outbox = Outbox(ours, full=1000)
    with pytest.RaisesGroup(pytest.RaisesExc(Stalled, match="bytes wait")):
        with trio.fail_after(5):  # at once, and not when its patience is over
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outbox.run)
                for _ in range(20):
                    outbox.put(b"x" * 100)
                    await trio.testing.wait_all_tasks_blocked()


async def test_one_frame_may_be_larger_than_the_outbox() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    outbox = Outbox(ours, full=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        outbox.put(b"x" * 100_000)
        await outbox.emptied()
        nursery.cancel_scope.cancel()
    assert len(await theirs.receive_some(200_000)) == 100_000


async def test_what_is_said_in_one_breath_leaves_in_one_write() -> None:
    writes: list[bytes] = []

    class Sink(trio.abc.SendStream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))
            await trio.lowlevel.checkpoint()

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    outbox = Outbox(Sink())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        for _ in range(50):
            outbox.put(b"frame\n")
        await outbox.emptied()
        nursery.cancel_scope.cancel()
    assert writes == [b"frame\n" * 50]


async def test_we_do_not_read_from_a_client_that_does_not_read_from_us(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    send_up, receive_up = trio.testing.memory_stream_one_way_pair()
    send_down, receive_down = trio.testing.lockstep_stream_one_way_pair()
    connection = Connection(trio.StapledStream(send_down, receive_up), desk)
    text = "x" * 600_000
    big = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": text}}}
    hello = {"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, Client(), "tests")
        await send_up.send_all(json.dumps(hello).encode() + b"\n")
        for number in range(4):
            await send_up.send_all(json.dumps(big | {"id": number}).encode() + b"\n")
            await trio.testing.wait_all_tasks_blocked()
        crowded = trio.Event()

        async def wait_for_room() -> None:
            await connection.room()
            crowded.set()

        nursery.start_soon(wait_for_room)
        await trio.testing.wait_all_tasks_blocked()
        assert not crowded.is_set()
        heard = 0
        while heard < 5:
            heard += (await receive_down.receive_some(65536)).count(b"\n")
        await trio.testing.wait_all_tasks_blocked()
        assert crowded.is_set()
        nursery.cancel_scope.cancel()


# Sessions.


async def test_who_is_connected_and_what_is_in_flight_is_known(desk: Desk, meet: Meet, house: Any) -> None:
    assert desk.sessions is not None
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="slow", arguments={"text": "a"})
    await trio.testing.wait_all_tasks_blocked()
    (known,) = desk.sessions.connected()
    assert (known.client, known.version, known.namespace, known.in_flight) == ("tests", "1", "tests", 1)
    talker.stream.send_stream.close()
    house.go.set()
    assert "result" in await talker.hear()
    assert await talker.hear() is None
    await trio.testing.wait_all_tasks_blocked()
    assert desk.sessions.connected() == []


async def test_a_drain_answers_what_is_in_flight_and_lets_nobody_in(
    desk: Desk, meet: Meet, house: Any
) -> None:
    assert desk.sessions is not None
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="slow", arguments={"text": "a"})
    await trio.testing.wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.sessions.drain)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable):
            await Connection(trio.testing.memory_stream_pair()[0], desk).run(Client(), "late")
        house.go.set()
        assert "result" in await talker.hear()
        assert await talker.hear() is None


async def test_changes_of_one_moment_are_told_as_one(
    meet: Meet, desk: Desk, toolbox: Toolbox, autojump_clock: trio.testing.MockClock
) -> None:
    talker = await meet("2025-11-25")
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.follow, toolbox._events)
        thing = toolbox.find("echo")
        toolbox.add(thing.renamed("echo_two"))
        toolbox.add(thing.renamed("echo_three"))
        assert (await talker.hear())["method"] == "notifications/tools/list_changed"
        names = {tool["name"] for tool in (await talker.ask("tools/list"))["result"]["tools"]}
        assert {"echo_two", "echo_three"} <= names
        assert talker.notes == []
        nursery.cancel_scope.cancel()
