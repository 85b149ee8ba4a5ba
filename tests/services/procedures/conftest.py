"""A house with procedures: a real file, real tools called through dispatch, and a clock that jumps when nothing happens."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Event, Events
from mimo.observability.metrics import Metrics

# Imported here, because the first who needs them would wait for a thread, and the clock would jump meanwhile.
from mimo.services.procedures import engine, reading
from mimo.services.procedures.doorstep import Doorstep
from mimo.services.procedures.wiring import Wired
from mimo.storage.database import Database
from mimo.tool import Answer, Arguments, Call, Client, Tool

NOW = 1_900_000_000_000
IMPORTED = (engine, reading)


class Unhurried(Database):
    """A database during whose work the clock does not jump, however slow the disk is."""

    def __init__(self, home: Home, clock: trio.testing.MockClock) -> None:
        super().__init__(home)
        self._clock = clock
        self._working = 0

    @contextmanager
    def holding_the_clock(self) -> Iterator[None]:
        self._working += 1
        self._clock.autojump_threshold = math.inf
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._clock.autojump_threshold = 0.01

    async def read(self, work: Callable[..., Any], *args: Any) -> Any:
        with self.holding_the_clock():
            return await super().read(work, *args)

    async def write(
        self, work: Callable[..., Any], *args: Any, key: str | None = None, frees: bool = False
    ) -> Any:
        with self.holding_the_clock():
            return await super().write(work, *args, key=key, frees=frees)


class Work(Arguments):
    """Does one piece of work, and says what it did."""

    what: str = ""
    number: int = 0


class Hand:
    """The tools that the procedures of these tests use, and what was done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: list[str | None] = []
        self.failing: dict[str, list[Exception]] = {}  # what -> the errors of its next calls
        self.losing: dict[str, list[Exception]] = {}  # the same, of calls that are done before
        self.held: dict[str, trio.Event] = {}  # what -> until when its calls last
        self.begun: dict[str, trio.Event] = {}
        self.answers: dict[str, Any] = {}
        self.clients: list[Client] = []

    async def work(self, asked: Work, call: Call) -> Answer:
        self.clients.append(call.client)
        self.begun.setdefault(asked.what, trio.Event()).set()
        if asked.what in self.held:
            await self.held[asked.what].wait()
        if self.failing.get(asked.what):
            raise self.failing[asked.what].pop(0)
        self.done.append(asked.what)
        self.keys.append(call.key)
        if self.losing.get(asked.what):
            raise self.losing[asked.what].pop(0)
        given = self.answers.get(asked.what, {"what": asked.what, "number": asked.number})
        return given if isinstance(given, Answer) else Answer.text("done", data=given)

    def fail(self, what: str, *errors: Exception) -> None:
        self.failing[what] = list(errors)

    def lose(self, what: str, *errors: Exception) -> None:
        self.losing[what] = list(errors)

    def hold(self, what: str) -> trio.Event:
        self.begun[what] = trio.Event()
        self.held[what] = trio.Event()
        return self.held[what]

    def tools(self) -> list[Tool]:
        return [
            Tool("work", Work, self.work, writes=True, seconds=100_000),
            Tool("read", Work, self.work, idempotent=True, seconds=100_000),
        ]


class House:
    """Procedures that live, and the hands to drive them with. May be stopped and begun again over the same file."""

    def __init__(self, database: Unhurried, hand: Hand, folder: Path, places: int = 100) -> None:
        self.database = database
        self.hand = hand
        self.client = Client(name="tester", namespace="proj", version="1")
        self.set_back = 0  # milliseconds by which the wall's clock is behind
        self.folder = folder
        self._places = places
        self.begin_anew()

    def begin_anew(self) -> None:
        self.events = Events()
        self.metrics = Metrics()
        self.toolbox = Toolbox(self.events)
        self.toolbox.add(*self.hand.tools())
        self.dispatch = Dispatch(self.toolbox, self.events, self.metrics)
        self.door = Doorstep(
            self.database, self.events, self.dispatch.call, self.toolbox.with_schema, str(self.folder),
            clock=self.clock, places=self._places, chance=lambda: 1.0, look_every=3_600,
        )  # fmt: skip
        self.toolbox.add(*self.door.tools())

    def clock(self) -> int:
        return NOW + round(trio.current_time() * 1000) - self.set_back

    @asynccontextmanager
    async def running(self) -> AsyncIterator[House]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.door.run)
            self.parts: Wired = await self.door.made()
            yield self
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def restarted(self) -> AsyncIterator[House]:
        self.begin_anew()
        async with self.running():
            yield self

    async def call(self, operation: str, call: Call | None = None, **arguments: Any) -> Answer:
        asked = {"operation": operation, **arguments}
        call = call or Call("1", self.client)
        if operation == "run" and arguments.get("wait") != 0:  # it may wait for time to pass
            return await self.dispatch.call("procedure", asked, call)
        with self.database.holding_the_clock():
            return await self.dispatch.call("procedure", asked, call)

    async def text(self, operation: str, **arguments: Any) -> str:
        return (await self.call(operation, **arguments)).as_text()

    async def data(self, operation: str, **arguments: Any) -> Any:
        return (await self.call(operation, format="json", **arguments)).data

    async def define(self, states: Mapping[str, Any], name: str = "job", **more: Any) -> None:
        await self.data("define", definition=machine(states, name=name, **more))

    async def start(self, name: str = "job", wait: float = 0, **given: Any) -> str:
        """The run's name."""
        return (await self.data("run", name=name, input=given, wait=wait))["run"]

    async def ended(self, run: str) -> Any:
        """What became of it, once it has ended or only a person can say how it goes on."""
        while True:
            changed = self.parts.runner.changed(int(run[1:]))
            told = await self.data("status", run=run)
            if told["status"] in {"completed", "failed", "rolled_back", "interrupted", "needs_attention"}:
                return told
            await changed.wait()

    async def until(self, run: str, status: str, state: str | None = None) -> Any:
        while True:
            changed = self.parts.runner.changed(int(run[1:]))
            told = await self.data("status", run=run)
            if told["status"] == status and state in (None, told["state"]):
                return told
            await changed.wait()

    async def lines(self, run: str) -> list[tuple[str, str]]:
        told = await self.data("history", run=run, limit=500)
        return [(line["kind"], line["state"]) for line in told["history"]]

    async def kinds(self, run: str) -> list[str]:
        return [kind for kind, _ in await self.lines(run)]

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events.since(0) if event.kind == kind]


def machine(states: Mapping[str, Any], name: str = "job", **more: Any) -> dict[str, Any]:
    """A definition of these states; the first is the initial one, and both ends are there."""
    whole: dict[str, Any] = dict(states)
    wanted = {each["to"] for state in whole.values() for each in state.get("transitions", ())}
    if "ok" in wanted:
        whole.setdefault("ok", {"terminal": "success"})
    if "bad" in wanted:
        whole.setdefault("bad", {"terminal": "failure"})
    return {"name": name, "version": "1.0", "initial": next(iter(states)), "states": whole, **more}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
async def database(
    home: Home, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> AsyncIterator[Unhurried]:
    autojump_clock.autojump_threshold = 0.01
    it = Unhurried(home, autojump_clock)
    async with trio.open_nursery() as mine:
        await mine.start(it.run)
        yield it
        mine.cancel_scope.cancel()


@pytest.fixture
async def idle(database: Unhurried, hand: Hand, tmp_path: Path) -> House:
    """At rest, to be begun by the test."""
    await trio.lowlevel.checkpoint()
    return House(database, hand, tmp_path / "procedures")


@pytest.fixture
async def house(idle: House) -> AsyncIterator[House]:
    async with idle.running():
        yield idle


Living = Callable[[int], AbstractAsyncContextManager[House]]


@pytest.fixture
def house_of(database: Unhurried, hand: Hand, tmp_path: Path) -> Living:
    """A house with so many places, as long as the block lasts."""
    return lambda places: House(database, hand, tmp_path / "procedures", places).running()
