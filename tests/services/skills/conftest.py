"""Skills in a data directory, with the gateway that they are offered through, and a client on a pipe."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mimo.gateway.dispatch import Dispatch
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Event, Events
from mimo.observability.metrics import Metrics
from mimo.protocol.mcp.about import ServerInfo
from mimo.services.skills.configuration import path_in
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import Supervisor
from mimo.tool import Answer, Call, Client
from mimo.transports.desk import Desk
from mimo.transports.lines import Connection

FAKE = str(Path(__file__).with_name("fake.py"))


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Declares the fake server with these manners."""

    def declared(*manners: str, **more: Any) -> dict[str, Any]:
        env = {"PLACE": str(tmp_path), **more.pop("env", {})}
        return {"command": sys.executable, "args": [FAKE, *manners], "env": env, **more}

    return declared


@dataclass
class Lot:
    """What a test needs of the house."""

    home: Path
    service: Skills
    toolbox: Toolbox
    dispatch: Dispatch
    events: Events
    supervisor: Supervisor
    desk: Desk
    heard: list[Event] = field(default_factory=list[Event])

    async def call(self, name: str, /, **arguments: Any) -> Answer:
        return await self.dispatch.call(name, arguments, Call("1", Client(namespace="here")))

    async def text(self, name: str, /, **arguments: Any) -> str:
        return (await self.call(name, **arguments)).as_text()

    def declare(self, **skills: Any) -> None:
        Path(path_in(str(self.home))).write_text(json.dumps(skills))

    async def known(self, *names: str) -> None:
        """Until all these tools are offered."""
        await self.until(lambda: {tool.name for tool in self.toolbox.tools()} >= set(names))

    async def until(self, true: Callable[[], bool]) -> None:
        """Processes do what they do in real time."""
        with trio.fail_after(20):
            while not true():  # noqa: ASYNC110
                await trio.sleep(0.01)

    @asynccontextmanager
    async def talking(self, client: Client | None = None) -> AsyncGenerator["Talker"]:
        """A client on a pipe, as long as the block lasts."""
        ours, theirs = trio.testing.memory_stream_pair()
        connection = Connection(theirs, self.desk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run, client or Client(), "somebody")
            yield Talker(ours)
            nursery.cancel_scope.cancel()

    @staticmethod
    def alive(pid: int) -> bool:
        """Is there a process of this number that is no zombie?"""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events.since(0) if isinstance(event, kind)]


class Talker:
    """A client of ours, on a pipe: what it is told meanwhile is in `told`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._rest = bytearray()
        self._last = 0
        self.told: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self._stream.send_all(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            self._rest += await self._stream.receive_some(65536)
        line, _, rest = bytes(self._rest).partition(b"\n")
        self._rest = bytearray(rest)
        return json.loads(line)

    async def ask(self, method: str, params: dict[str, Any]) -> int:
        self._last += 1
        await self.say(id=self._last, method=method, params=params)
        return self._last

    async def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to a request. Notifications on the way are kept."""
        number = await self.ask(method, params)
        with trio.fail_after(20):
            while "method" in (message := await self.hear()) or message.get("id") != number:
                self.told.append(message)
        return message

    async def hello(self, **capabilities: Any) -> None:
        info = {"name": "test", "version": "1"}
        said = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info}
        await self.answer("initialize", said)
        await self.say(method="notifications/initialized")


@pytest.fixture
def lot(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Lot]]:
    """`async with lot(fake={...}) as house`: these skills, kept as long as the block lasts."""

    @asynccontextmanager
    async def start(
        patience: Patience | None = None, cap: int = 1000, most: int = 100, **skills: Any
    ) -> AsyncGenerator[Lot]:
        home = tmp_path / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        events = Events(kept=10_000)
        toolbox = Toolbox(events)
        metrics = Metrics()
        dispatch = Dispatch(toolbox, events, metrics)
        supervisor = Supervisor("skills", limit=most)
        desk = Desk(ServerInfo("test", "1"), toolbox, dispatch, sessions=Sessions(events, metrics))
        service = Skills(
            str(home),
            supervisor,
            toolbox,
            events,
            dispatch.call,
            patience=patience or Patience(call=10, start=10, drain=5),
            result_cap=cap,
            updated=desk.updated,
            watched=desk.watched,
            supervised=lambda event: None,
            environ={**os.environ, "WANTED": "wanted value", "UNWANTED": "a secret", "MIMO_KEY": "another"},
        )
        desk.on_watch = service.watch_again
        made = Lot(home, service, toolbox, dispatch, events, supervisor, desk)
        made.declare(**skills)
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await nursery.start(desk.follow, events)
            nursery.start_soon(service.run)
            await service.control("list", {})
            yield made
            nursery.cancel_scope.cancel()

    return start


@pytest.fixture
def marked(tmp_path: Path) -> Callable[[], list[int]]:
    """All processes of this test's fake servers, and what they started."""

    def processes() -> list[int]:
        found = list[int]()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if f"PLACE={tmp_path}\0".encode() in environ:
                found.append(int(name))
        return found

    return processes
