"""A WebSocket door over real sockets, and agents that speak to it as Phoenix clients do."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
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
from mimo.protocol.mcp.about import ServerInfo
from mimo.tool import Call, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.http.guard import Guard
from mimo.transports.ports import Address
from mimo.transports.websocket import link
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


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience in which a test can wait."""
    monkeypatch.setattr(link, "LAST_WORDS_SECONDS", 0.1)
    monkeypatch.setattr(link, "CLOSE_SECONDS", 0.1)
