"""Calls that their tool passes on without a task: let in, counted and called off like all others."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio

from mimo.errors import Conflict, MimoError
from mimo.gateway.capacity import LIMITS, Limit
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.gate import Gate, LoadGuard
from mimo.gateway.rates import Rate, Rates
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ToolCalled
from mimo.protocol.jsonrpc import Request
from mimo.protocol.mcp.about import ServerInfo
from mimo.protocol.mcp.events import Say
from mimo.tool import Answer, Arguments, Call, Capacity, Client, Report, Tool
from mimo.transports.desk import Desk
from mimo.transports.peer import Peer


class Echo(Arguments):
    """Use when something is to be said again."""

    text: str


@dataclass
class Elsewhere:
    """A tool whose calls are answered by the test, and what it was told of them."""

    willing: bool = True
    reports: list[Report] = field(default_factory=list[Report])
    called_off: int = 0
    handled: list[Call] = field(default_factory=list[Call])

    async def handle(self, arguments: Echo, call: Call) -> Answer:
        self.handled.append(call)
        await trio.lowlevel.checkpoint()
        return Answer.text(arguments.text)

    def passes(self, arguments: Echo, call: Call, report: Report) -> Callable[[], None] | None:
        if not self.willing:
            return None
        self.reports.append(report)
        return self.stop

    def stop(self) -> None:
        self.called_off += 1


@dataclass
class Told:
    """A report that remembers."""

    came: list[Answer | MimoError | None] = field(default_factory=list[Answer | MimoError | None])

    def over(self, came: Answer | MimoError) -> None:
        self.came.append(came)

    def more(self) -> None:
        self.came.append(None)


class House:
    def __init__(self, running: int = 4) -> None:
        self.events, self.metrics, self.elsewhere = Events(), Metrics(), Elsewhere()
        self.box = Toolbox(self.events)
        self.box.add(
            Tool(
                "echo",
                Echo,
                self.elsewhere.handle,
                writes=True,
                capacity=Capacity.OUTSIDE,
                passes=self.elsewhere.passes,
            )
        )
        limits = LIMITS | {Capacity.OUTSIDE: Limit(running, 4)}
        self.dispatch = Dispatch(self.box, self.events, self.metrics, limits)

    def pass_on(self, report: Report, client: Client | None = None, **arguments: object) -> object:
        return self.dispatch.pass_on("echo", arguments, Call("1", client or Client()), report)

    @property
    def running(self) -> int:
        return self.dispatch.loads()[Capacity.OUTSIDE].running

    @property
    def outcomes(self) -> list[str]:
        return [each.outcome for each in self.events.since(0) if isinstance(each, ToolCalled)]


async def test_a_passed_call_holds_a_place_until_it_is_over_and_is_counted_once() -> None:
    house, told = House(), Told()
    assert house.pass_on(told, text="a")
    assert house.running == 1
    [report] = house.elsewhere.reports
    report.over(Answer.text("b"))
    report.over(Answer.text("c"))
    report.more()
    assert told.came == [Answer.text("b")]
    assert house.running == 0
    assert house.outcomes == ["ok"]
    assert b'mimo_calls_total{outcome="ok",tool="echo"} 1.0' in house.metrics.render()


async def test_a_passed_call_that_fails_is_counted_as_what_it_is() -> None:
    house, told = House(), Told()
    for came in (Conflict("taken"), Answer.text("no", failed=True)):
        assert house.pass_on(told, text="a")
        house.elsewhere.reports[-1].over(came)
    assert house.outcomes == ["conflict", "failed"]
    assert house.running == 0


async def test_a_passed_call_is_called_off_once_and_says_nothing_afterwards() -> None:
    house, told = House(), Told()
    off = house.pass_on(told, text="a")
    assert callable(off)
    off()
    house.elsewhere.reports[0].over(Answer.text("late"))
    assert (told.came, house.running, house.outcomes) == ([], 0, ["cancelled"])
    assert house.elsewhere.called_off == 1


async def test_who_takes_a_call_up_does_so_in_its_place_and_with_its_tool() -> None:
    house, told = House(running=1), Told()
    assert house.pass_on(told, text="a")
    house.elsewhere.reports[0].more()
    assert (told.came, house.running, house.outcomes) == ([None], 1, [])
    house.box.remove("echo")
    answer = await house.dispatch.call("echo", {"text": "a"}, Call("1", began=time.perf_counter()))
    assert answer.as_text() == "a"
    assert (house.running, house.outcomes) == (0, ["ok"])
    house.elsewhere.reports[0].over(Answer.text("late"))
    assert told.came == [None]


async def test_a_call_that_is_called_off_before_anybody_takes_it_up_is_counted() -> None:
    house, told = House(), Told()
    off = house.pass_on(told, text="a")
    assert callable(off)
    house.elsewhere.reports[0].more()
    off()
    off()
    assert (told.came, house.running, house.outcomes) == ([None], 0, ["cancelled"])


async def test_what_may_not_run_is_not_passed_on_and_holds_no_place() -> None:
    house, told = House(running=1), Told()
    assert house.pass_on(told) is None  # without its argument
    assert house.pass_on(told, Client(scopes=frozenset({"read"})), text="a") is None
    assert house.dispatch.pass_on("nothing", {}, Call("1"), told) is None
    house.elsewhere.willing = False
    assert house.pass_on(told, text="a") is None
    assert house.running == 0
    house.elsewhere.willing = True
    assert house.pass_on(told, text="a") is not None
    assert house.pass_on(told, text="all places are taken") is None
    assert len(house.elsewhere.reports) == 1
    assert house.outcomes == []


async def test_a_bug_in_passing_on_costs_no_place() -> None:
    house = House()

    def bug(arguments: Echo, call: Call, report: Report) -> None:
        raise LookupError("a bug")

    house.box.add(Tool("buggy", Echo, house.elsewhere.handle, capacity=Capacity.OUTSIDE, passes=bug))
    with pytest.raises(LookupError):
        house.dispatch.pass_on("buggy", {"text": "a"}, Call("1"), Told())
    assert house.running == 0


async def test_who_has_a_rate_is_not_passed_on_and_nobody_is_under_overload() -> None:
    house, told = House(), Told()
    now, waiting = 0.0, 0
    guard = LoadGuard(lambda: 5.0, lambda: waiting, 1.0, clock=lambda: now)
    gate = Gate(house.dispatch, Rates(Rate(60, 1)), guard)
    assert gate.pass_on("echo", {"text": "a"}, Call("1", Client(key="a")), told) is None
    assert gate.pass_on("echo", {"text": "a"}, Call("1"), told) is not None
    guard.overloaded()
    now, waiting = 1.0, 2
    assert guard.overloaded()
    assert gate.pass_on("echo", {"text": "a"}, Call("1"), told) is None
    with pytest.raises(MimoError):
        await gate.call("echo", {"text": "a"}, Call("1"))
    # One that was let in before is not turned away in its middle.
    assert (await gate.call("echo", {"text": "a"}, Call("1", began=time.perf_counter()))).as_text() == "a"


@dataclass
class Wire:
    said: list[Say] = field(default_factory=list[Say])

    def say(self, said: Say) -> None:
        self.said.append(said)

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_nothing_of_a_peer_is_on_its_way_when_its_client_is_gone() -> None:
    house, wire = House(), Wire()
    sessions = Sessions(house.events, house.metrics)
    desk = Desk(ServerInfo("test", "1"), house.box, house.dispatch, sessions=sessions)
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    asked = {"name": "echo", "arguments": {"text": "a"}}
    with desk.session(Client(), "test", lambda: None) as session:
        async with trio.open_nursery() as nursery:
            peer = Peer(desk, wire, nursery, Client(), "somebody", session)
            with desk.present(peer):
                peer.receive(Request(0, "initialize", hello))
                peer.receive(Request(1, "tools/call", asked))
                peer.receive(Request(2, "tools/call", asked))
                assert sessions.in_flight == peer.busy == house.running == 2
                house.elsewhere.reports[0].over(Answer.text("b"))
                assert [each.to for each in wire.said] == [0, 1]
                assert peer.busy == 1
            assert sessions.in_flight == peer.busy == house.running == 0
            assert house.elsewhere.called_off == 1
            peer.receive(
                Request(3, "tools/call", asked)
            )  # from here on a task runs it, which ends with the nursery
            assert len(house.elsewhere.reports) == 2
    assert house.outcomes == ["ok", "cancelled", "ok"]


async def test_a_bug_in_telling_an_answer_ends_the_connection_and_not_who_brought_it() -> None:
    house = House()

    class Broken(Wire):
        def say(self, said: Say) -> None:
            raise LookupError("a bug")

    desk = Desk(
        ServerInfo("test", "1"), house.box, house.dispatch, sessions=Sessions(house.events, house.metrics)
    )
    with pytest.RaisesGroup(LookupError), desk.session(Client(), "test", lambda: None) as session:
        async with trio.open_nursery() as nursery:
            peer = Peer(desk, Broken(), nursery, Client(), "somebody", session)
            meta = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            asked = {"name": "echo", "arguments": {"text": "a"}, "_meta": meta}
            peer.receive(Request(1, "tools/call", asked))
            house.elsewhere.reports[0].over(Answer.text("b"))
            assert peer.busy == 0
