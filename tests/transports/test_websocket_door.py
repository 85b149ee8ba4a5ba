"""The WebSocket door over real sockets: who gets in, channels and errands, slow readers, and how it is shut."""

import hashlib
import json
import logging
import os
import random
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from mimo.gateway.dispatch import Dispatch
from mimo.gateway.gate import Gate, LoadGuard
from mimo.gateway.keys import OWNER, SCOPES, Key, Keyring, new_token
from mimo.gateway.rates import Rate, Rates
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ToolCalled
from mimo.protocol.mcp.about import ServerInfo
from mimo.tool import Call, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.http.guard import Guard
from mimo.transports.ports import Address
from mimo.transports.websocket import connection, cortex, link, pulse
from mimo.transports.websocket.door import SynapseDoor
from mimo.transports.websocket.exchange import Caps, Exchange
from mimo.transports.websocket.herald import Herald
from mimo.transports.websocket.lanes import Lanes

PATIENCE = 20.0


def a_key(name: str, token: str, *scopes: str) -> Key:
    return Key(name, name, hashlib.sha256(token.encode()).digest(), frozenset(scopes))


@dataclass
class Mind:
    """What answers the queries of these tests."""

    go: trio.Event = field(default_factory=trio.Event)
    asked: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])

    async def ask(self, query: str, call: Call, seconds: float | None) -> JsonObject:
        self.asked.append(query)
        await call.outlet.progress(0, 1, f"about {query}")
        if query.startswith("wait"):
            try:
                await self.go.wait()
            except trio.Cancelled:
                self.cancelled.append(query)
                raise
        return {"answer": query, "by": call.client.name}


class Agent:
    """A client of vsn 2.0.0."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self._ref = 0

    async def say(self, topic: str, event: str, payload: Any = None) -> str:
        self._ref += 1
        frame = ["1", str(self._ref), topic, event, {} if payload is None else payload]
        await self.socket.send_message(json.dumps(frame))
        return str(self._ref)

    async def hear(self, event: str | None = None) -> tuple[str, str, Any]:
        """Ref, event and payload of the next frame (of this event)."""
        with trio.fail_after(PATIENCE):
            while True:
                _, ref, _, heard, payload = json.loads(await self.socket.get_message())
                if event in {None, heard}:
                    return ref, heard, payload

    async def ask(self, topic: str, event: str, payload: Any = None) -> Any:
        """The reply to this very frame."""
        said = await self.say(topic, event, payload)
        while True:
            ref, _, told = await self.hear("phx_reply")
            if ref == said:
                return told

    async def join(self, topic: str = "cortex:a", **payload: Any) -> Any:
        told = await self.ask(topic, "phx_join", payload)
        if told["status"] == "ok":
            await self.hear("presence_state")
        return told

    async def closed(self) -> int:
        """The code with which it was closed; what was said before is read."""
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    await self.socket.get_message()
                except ConnectionClosed:
                    reason = self.socket.closed
                    assert reason is not None
                    return reason.code


@dataclass
class Open:
    door: SynapseDoor
    exchange: Exchange
    keyring: Keyring
    token: str
    mind: Mind
    events: Events
    sessions: Sessions

    def reach(
        self, path: str = "/cortex/websocket?vsn=2.0.0", *, key: bool = True, **more: Any
    ) -> AbstractAsyncContextManager[Agent]:
        return self._reach(path, [(b"authorization", f"Bearer {self.token}".encode())] if key else [], **more)

    @asynccontextmanager
    async def _reach(
        self, path: str, headers: list[tuple[bytes, bytes]], extra: Any = (), **more: Any
    ) -> AsyncIterator[Agent]:
        shown = [*headers, *extra]
        with trio.fail_after(PATIENCE):
            async with await self.raw() as stream, trio.open_nursery() as nursery:
                socket = await wrap_client_stream(
                    nursery, stream, "localhost", path, extra_headers=shown, **more
                )
                yield Agent(socket)
                with trio.move_on_after(1):
                    await socket.aclose()
                nursery.cancel_scope.cancel()

    async def refused(self, path: str = "/cortex/websocket?vsn=2.0.0", **headers: str) -> int:
        """The status that an upgrade with these headers gets."""
        asked = {
            "host": "localhost",
            "authorization": f"Bearer {self.token}",
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec_websocket_version": "13",
            "sec_websocket_key": "AAAAAAAAAAAAAAAAAAAAAA==",
        } | headers
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in asked.items() if value)
        async with await self.raw() as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
            with trio.fail_after(PATIENCE):
                return int((await stream.receive_some()).split(b" ", 2)[1])

    async def raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", int(self.door.url.rpartition(":")[2]))


@pytest.fixture
def caps() -> Caps:
    return Caps()


@dataclass
class Load:
    """What the load guard looks at: each time it looks, half a second has passed, and more are waiting."""

    p99: float = 0.0
    looks: int = 0

    def look(self) -> int:
        self.looks += 1
        return self.looks

    def guard(self) -> LoadGuard:
        return LoadGuard(lambda: self.p99, self.look, 2.0, clock=lambda: self.looks * 0.5)


@pytest.fixture
def load() -> Load:
    return Load()


@pytest.fixture
def rate() -> Rate:
    return Rate(1e6, 100_000)


@pytest.fixture
async def door(
    toolbox: Toolbox, caps: Caps, rate: Rate, load: Load, nursery: trio.Nursery
) -> AsyncIterator[Open]:
    token, events, metrics, mind = new_token(), Events(), Metrics(), Mind()
    keyring = Keyring([a_key(OWNER, token, *SCOPES)])
    dispatch, sessions = Dispatch(toolbox, events, metrics), Sessions(events, metrics)
    gate = Gate(dispatch, Rates(rate), load.guard())
    desk = Desk(ServerInfo("mimo", "1.2.3"), toolbox, gate, sessions=sessions)
    guard = Guard(keyring, metrics, door="synapse")

    async def ask(query: str, call: Call, seconds: float | None) -> JsonObject:
        if query == "costly":
            gate.admit(call.client.key)
        return await mind.ask(query, call, seconds)

    exchange = Exchange(guard, desk, gate, ask, Herald(events), Lanes(4, 8), caps)
    opened = SynapseDoor(exchange, Address("127.0.0.1", 0), lambda: 0)
    await nursery.start(opened.run)
    yield Open(opened, exchange, keyring, token, mind, events, sessions)
    nursery.cancel_scope.cancel()


# Who gets in.


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


# Errands.


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


# Slow readers, dead peers, and the end.


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience in which a test can wait."""
    monkeypatch.setattr(link, "LAST_WORDS_SECONDS", 0.1)
    monkeypatch.setattr(link, "CLOSE_SECONDS", 0.1)


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
