"""One call: found, checked, limited, run, and told of; and whatever it does, the others go on."""

import gc
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from pydantic import Field, field_validator

from mimo.errors import (
    Broken,
    Busy,
    Conflict,
    Forbidden,
    InvalidArguments,
    MimoError,
    NotFound,
    TooSlow,
    UnknownTool,
)
from mimo.gateway.capacity import LIMITS, Limit, Places
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.logs import JsonLines
from mimo.observability.metrics import Metrics
from mimo.observability.news import ToolCalled
from mimo.tool import Answer, Arguments, Call, Capacity, Client, Tool


class Search(Arguments):
    """Use when something has to be found."""

    query: str = Field(min_length=1)
    limit: int = Field(5, ge=1, le=50)

    @field_validator("query")
    @classmethod
    def not_cursed(cls, value: str) -> str:
        if value == "cursed":
            raise TypeError("a bug in a validator")
        return value


class Nothing(Arguments):
    """Use when nothing is to be said."""


@dataclass
class House:
    """A toolbox, a dispatch, and what they tell."""

    limits: dict[Capacity, Limit] = field(default_factory=dict[Capacity, Limit])

    def __post_init__(self) -> None:
        self.events = Events()
        self.metrics = Metrics()
        self.toolbox = Toolbox(self.events)
        self.dispatch = Dispatch(self.toolbox, self.events, self.metrics, self.limits)

    def tool(self, name: str, work: Callable[[], Awaitable[Any]], **changes: Any) -> Tool:
        """A tool without arguments that does this."""

        async def handler(arguments: Nothing, call: Call) -> Any:
            given = await work()
            return Answer.text("done") if given is None else given

        tool = Tool(name, Nothing, handler, **changes)
        self.toolbox.add(tool)
        return tool

    async def call(
        self, name: str, arguments: Any = None, *, seconds: float | None = None, client: Client | None = None
    ) -> Answer:
        return await self.dispatch.call(
            name, arguments, Call("c1", client or Client("test")), seconds=seconds
        )

    def called(self) -> list[tuple[str, str]]:
        return [
            (event.tool, event.outcome) for event in self.events.since(0) if isinstance(event, ToolCalled)
        ]

    def metric(self, line: str) -> float:
        for each in self.metrics.render().decode().splitlines():
            if each.startswith(f"{line} "):
                return float(each.rsplit(" ", 1)[1])
        return 0.0


@pytest.fixture
def house() -> House:
    house = House()

    async def search(arguments: Search, call: Call) -> Answer:
        return Answer.text(f"{arguments.query}:{arguments.limit} for {call.client.name}")

    house.toolbox.add(Tool("memory_search", Search, search))
    return house


async def nothing() -> None:
    pass


async def test_a_call_reaches_its_handler_and_its_answer_comes_back(house: House) -> None:
    answer = await house.call("memory_search", {"query": "tea"})
    assert answer.as_text() == "tea:5 for test"
    assert house.called() == [("memory_search", "ok")]
    assert house.metric('mimo_calls_total{outcome="ok",tool="memory_search"}') == 1
    assert house.metric('mimo_call_seconds_count{tool="memory_search"}') == 1


async def test_a_tool_that_is_not_there_is_an_error_that_names_the_nearest(house: House) -> None:
    with pytest.raises(UnknownTool, match="did you mean 'memory_search'"):
        await house.call("memory_serach")
    assert house.called() == [("", "unknown_tool")]
    assert house.metric('mimo_calls_total{outcome="unknown_tool",tool="(unknown)"}') == 1


@pytest.mark.parametrize("arguments", [{"query": "x", "limit": "5"}, {}, None, [1], "x", {"query": "\ud800"}])
async def test_arguments_that_do_not_fit_never_reach_the_handler(house: House, arguments: Any) -> None:
    with pytest.raises(InvalidArguments):
        await house.call("memory_search", arguments)
    assert house.called() == [("memory_search", "invalid_arguments")]


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [({"read"}, False), (set[str](), False), ({"read", "write"}, True), ({"write"}, True), ({"admin"}, True)],
)
async def test_a_tool_that_writes_needs_a_caller_who_may_write(
    house: House, scopes: set[str], allowed: bool
) -> None:
    house.tool("memory_add", nothing, writes=True)
    client = Client("test", scopes=frozenset(scopes))
    if allowed:
        await house.call("memory_add", client=client)
    else:
        with pytest.raises(Forbidden, match="memory_add needs the scope 'write'"):
            await house.call("memory_add", client=client)


async def test_a_caller_without_any_scope_may_not_even_read(house: House) -> None:
    with pytest.raises(Forbidden, match="'read'"):
        await house.call("memory_search", {"query": "x"}, client=Client("test", scopes=frozenset()))


async def test_the_tools_own_errors_pass_as_they_are(house: House) -> None:
    async def absent() -> None:
        raise NotFound("no memory 'abc'", id="abc")

    house.tool("memory_get", absent)
    with pytest.raises(NotFound, match="no memory 'abc'") as caught:
        await house.call("memory_get")
    assert caught.value.details == {"id": "abc"}
    assert house.called() == [("memory_get", "not_found")]


async def test_a_bug_is_an_error_with_an_id_and_its_traceback_is_in_the_log_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def bug() -> None:
        raise ZeroDivisionError("who would have thought")

    house.tool("tool_with_bug", bug)
    with pytest.raises(Broken) as caught:
        await house.call("tool_with_bug")
    assert "who would have thought" not in str(caught.value)
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    id_ = str(caught.value.details["id"])
    assert id_ in str(caught.value)
    assert id_ in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert house.called() == [("tool_with_bug", "broken")]


async def raise_group_of(*errors: BaseException) -> None:
    raise BaseExceptionGroup("several", errors)


def leave() -> None:
    sys.exit(3)


async def test_whatever_goes_wrong_inside_is_broken_and_no_more(house: House) -> None:
    async def not_an_answer() -> Any:
        return 42

    async def leaves() -> None:
        leave()

    async def two_bugs() -> None:
        await raise_group_of(ValueError("a"), KeyError("b"))

    async def a_bug_beside_an_error() -> None:
        await raise_group_of(Conflict("changed"), KeyError("b"))

    async def leaves_in_a_group() -> None:
        await raise_group_of(SystemExit(1))

    for number, work in enumerate(
        [not_an_answer, leaves, two_bugs, a_bug_beside_an_error, leaves_in_a_group]
    ):
        house.tool(f"tool_{number}", work)
        with pytest.raises(Broken):
            await house.call(f"tool_{number}")
    assert (await house.call("memory_search", {"query": "still here"})).as_text().startswith("still here")


def test_an_endless_recursion_is_broken_too(house: House) -> None:
    async def recursive() -> None:
        await recursive()

    house.tool("recursive_tool", recursive)
    with pytest.raises(Broken):
        trio.run(house.call, "recursive_tool")


async def test_several_errors_that_callers_know_are_told_by_the_first(house: House) -> None:
    async def two_errors() -> None:
        await raise_group_of(Conflict("first"), NotFound("second"))

    house.tool("memory_edit", two_errors)
    with pytest.raises(Conflict, match="first"):
        await house.call("memory_edit")


async def test_a_bug_in_a_validator_is_broken_too(house: House) -> None:
    with pytest.raises(Broken):
        await house.call("memory_search", {"query": "cursed"})


async def test_one_error_in_groups_is_unwrapped(house: House) -> None:
    async def in_nurseries() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(conflict)

    async def conflict() -> None:
        raise Conflict("changed meanwhile")

    house.tool("memory_edit", in_nurseries)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await house.call("memory_edit")


async def test_the_keyboard_still_ends_the_process(house: House) -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def interrupted_in_a_group() -> None:
        await raise_group_of(KeyboardInterrupt())

    house.tool("tool_one", interrupted)
    house.tool("tool_two", interrupted_in_a_group)
    with pytest.raises(KeyboardInterrupt):
        await house.call("tool_one")
    with pytest.raises(BaseExceptionGroup) as caught:
        await house.call("tool_two")
    assert caught.value.subgroup(KeyboardInterrupt) is not None


async def test_the_deadline_is_the_tools_own_or_the_callers_if_that_is_shorter(
    house: House, autojump_clock: trio.testing.MockClock
) -> None:
    house.tool("slow_tool", trio.sleep_forever, seconds=10, writes=True)
    for wanted, expected in [(None, 10), (2.5, 2.5), (99, 10), (0, 0), (-1, 0)]:
        began = trio.current_time()
        with pytest.raises(TooSlow, match=f"within {expected:g} s; whether it was done") as caught:
            await house.call("slow_tool", seconds=wanted)
        assert trio.current_time() - began == pytest.approx(expected)
        assert caught.value.details["seconds"] == expected
    assert house.called() == [("slow_tool", "too_slow")] * 5


async def test_a_deadline_that_a_handler_sets_itself_is_too_slow_and_no_bug(
    house: House, autojump_clock: trio.testing.MockClock
) -> None:
    async def impatient() -> None:
        with trio.fail_after(1):
            await trio.sleep_forever()

    house.tool("impatient_tool", impatient)
    with pytest.raises(TooSlow, match="a part of impatient_tool"):
        await house.call("impatient_tool")


async def test_cancellation_passes_and_is_counted(house: House) -> None:
    house.tool("slow_tool", trio.sleep_forever)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.call, "slow_tool")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert house.called() == [("slow_tool", "cancelled")]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("bug", [ValueError("on the way out"), Conflict("changed")])
async def test_an_error_on_the_way_out_of_a_cancelled_call_does_not_reach_who_cancelled(
    house: House, caplog: pytest.LogCaptureFixture, count: int, bug: Exception
) -> None:
    async def clumsy() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            for _ in range(count):
                nursery.start_soon(stumbles)

    async def stumbles() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise bug

    house.tool("clumsy_tool", clumsy if count else stumbles)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.call, "clumsy_tool")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert ("a bug in clumsy_tool" in caplog.text) == isinstance(bug, ValueError)
    assert house.called() == [("clumsy_tool", "cancelled")]


async def test_a_slow_tool_does_not_hold_up_another_class(autojump_clock: trio.testing.MockClock) -> None:
    house = House({Capacity.OUTSIDE: Limit(1, 1)})
    house.tool("slow_tool", trio.sleep_forever, capacity=Capacity.OUTSIDE)
    house.tool("quick_tool", nothing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.call, "slow_tool")
        nursery.start_soon(house.call, "slow_tool")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        for _ in range(20):
            await house.call("quick_tool")
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()


async def test_who_finds_all_places_taken_is_told_the_numbers_and_when_to_come_again() -> None:
    house = House({Capacity.READ: Limit(2, 3)})
    house.tool("slow_tool", trio.sleep_forever)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(house.call, "slow_tool")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Busy, match="2 calls of this kind run and 3 wait") as caught:
            await house.call("slow_tool")
        details = caught.value.details
        assert (details["running"], details["waiting"], details["capacity"]) == (2, 3, "read")
        assert isinstance(details["after"], float)
        assert details["after"] > 0
        assert house.metric('mimo_running{capacity="read"}') == 2
        assert house.metric('mimo_waiting{capacity="read"}') == 3
        assert house.metric('mimo_refused_total{capacity="read"}') == 1
        assert house.metric('mimo_refused_total{capacity="read"}') == 1
        nursery.cancel_scope.cancel()


async def test_a_handlers_own_busy_is_not_taken_for_a_full_queue(house: House) -> None:
    async def refused() -> None:
        raise Busy("the other server is full", after=7)

    house.tool("gateway_call", refused)
    with pytest.raises(Busy, match="the other server is full") as caught:
        await house.call("gateway_call")
    assert caught.value.details == {"after": 7}


async def test_waiting_calls_run_in_the_order_in_which_they_came() -> None:
    house = House({Capacity.READ: Limit(1, 10)})
    order: list[int] = []

    async def first_to_last(number: int) -> None:
        async def work() -> None:
            order.append(number)
            await trio.lowlevel.checkpoint()

        house.tool(f"tool_{number}", work)
        await house.call(f"tool_{number}")

    async with trio.open_nursery() as nursery:
        gate = trio.Event()
        house.tool("gate_tool", gate.wait)
        nursery.start_soon(house.call, "gate_tool")
        await trio.testing.wait_all_tasks_blocked()
        for number in range(10):
            nursery.start_soon(first_to_last, number)
            await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert order == list(range(10))


async def test_a_call_that_gives_up_waiting_leaves_its_place_in_the_queue(
    autojump_clock: trio.testing.MockClock,
) -> None:
    house = House({Capacity.READ: Limit(1, 1)})
    house.tool("slow_tool", trio.sleep_forever, seconds=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.call, "slow_tool")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            with pytest.raises(TooSlow):
                await house.call("slow_tool", seconds=1)
        nursery.cancel_scope.cancel()
    assert all(load.running == load.waiting == 0 for load in house.dispatch.loads().values())


async def test_a_queue_of_none_still_lets_run_what_has_a_place() -> None:
    house = House({Capacity.READ: Limit(3, 0)})
    house.tool("quick_tool", nothing)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(house.call, "quick_tool")
    assert house.called() == [("quick_tool", "ok")] * 3


async def test_an_answer_that_says_failed_is_an_answer_and_is_counted_apart(house: House) -> None:
    async def failed() -> Answer:
        return Answer.text("no such file", failed=True)

    house.tool("gateway_call", failed)
    assert (await house.call("gateway_call")).failed
    assert house.called() == [("gateway_call", "failed")]


def test_a_thousand_calls_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    house = House({Capacity.READ: Limit(4, 2000)})
    house.events = Events(kept=10)
    house.dispatch = Dispatch(house.toolbox, house.events, house.metrics, house.limits)
    caplog.set_level(logging.CRITICAL)
    sizes: list[tuple[int, int]] = []

    async def bug() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("bug")

    async def slow() -> None:
        await trio.sleep(0.5)

    house.tool("bug_tool", bug)
    house.tool("slow_tool", slow)
    house.tool("good_tool", nothing)
    house.tool("endless_tool", trio.sleep_forever, seconds=0.1)

    async def call(name: str) -> None:
        with trio.move_on_after(100), suppress(MimoError):
            await house.call(name)

    async def many(count: int) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(call, ["bug_tool", "slow_tool", "good_tool", "endless_tool"][number % 4])

    async def main() -> None:
        for count in (400, 1000):
            await many(count)
            gc.collect()
            sizes.append((len(gc.get_objects()), trio.lowlevel.current_statistics().tasks_living))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    (objects, tasks), (objects_after, tasks_after) = sizes
    assert objects_after - objects < 100
    assert tasks_after == tasks
    assert all(load.running == load.waiting == 0 for load in house.dispatch.loads().values())
    calls = sum(
        house.metric(f'mimo_call_seconds_count{{tool="{name}_tool"}}')
        for name in ("bug", "slow", "good", "endless")
    )
    assert calls == 1400


async def test_what_a_caller_handed_in_is_not_in_the_traceback_of_a_bug(house: House, tmp_path: Path) -> None:
    async def clumsy(arguments: Search, call: Call) -> Answer:
        return Answer.text(str(int(arguments.query)))

    house.toolbox.add(Tool("clumsy_tool", Search, clumsy))
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(JsonLines())
    logging.getLogger("mimo").addHandler(handler)
    try:
        with pytest.raises(Broken):
            await house.call("clumsy_tool", {"query": "my diary says nothing"})
    finally:
        logging.getLogger("mimo").removeHandler(handler)
        handler.close()
    line = json.loads((tmp_path / "log").read_text())
    assert "diary" not in json.dumps(line)
    assert "ValueError: invalid literal" in line["traceback"]
    assert (line["tool"], line["client"], line["request"]) == ("clumsy_tool", "test", "c1")


async def test_the_keyboard_ends_a_call_that_was_cancelled_too(
    house: House, autojump_clock: trio.testing.MockClock
) -> None:
    async def interrupted() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(stops)

    async def stops() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    house.tool("stopped_tool", interrupted, seconds=1)
    with pytest.raises(BaseExceptionGroup) as caught:
        await house.call("stopped_tool")
    assert caught.value.subgroup(KeyboardInterrupt) is not None


async def test_the_slowest_of_the_last_hundred_is_known(house: House) -> None:
    assert house.dispatch.p99() == 0
    for _ in range(5):
        await house.call("memory_search", {"query": "x"})
    assert 0 < house.dispatch.p99() < 1


def test_a_class_in_which_nothing_can_run_is_refused() -> None:
    with pytest.raises(ValueError, match="limit >= 1"):
        Places(Capacity.READ, Limit(0, 5))


def test_every_class_has_a_limit() -> None:
    assert set(LIMITS) == set(Capacity)
