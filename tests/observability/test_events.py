"""Events: published without waiting, in order, and honest about what was lost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mimo.observability.events import Event, Events, Missed, as_json
from mimo.observability.news import LoopStalled, ToolCalled


class Level(Enum):
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Remembered(Event):
    kind: ClassVar[str] = "memory:added"

    number: int
    tags: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict[str, object])


async def drained(events: Events, *wanted: type[Event] | str, since: int) -> list[Event]:
    """What a subscriber gets that comes after the fact."""
    async with events.subscribe(*wanted, since=since) as subscription:
        events.close()
        return [event async for event in subscription]


async def test_a_subscriber_gets_what_it_wants_in_order_and_nothing_else() -> None:
    events = Events()
    async with events.subscribe(Remembered) as subscription:
        events.publish(Remembered(1))
        events.publish(LoopStalled("a task", 0.1))
        events.publish(Remembered(2))
        events.close()
        got = [event async for event in subscription]
    assert [event.number for event in got if isinstance(event, Remembered)] == [1, 2]
    assert len(got) == 2


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), ["memory:added", "system:loop_stalled"]),
        (("memory:*",), ["memory:added"]),
        (("system:loop_stalled",), ["system:loop_stalled"]),
        (("*",), ["memory:added", "system:loop_stalled"]),
        ((Remembered, "system:*"), ["memory:added", "system:loop_stalled"]),
        (("memory:adde", "nothing:*"), []),
    ],
)
async def test_events_are_wanted_by_class_or_by_kind(
    wanted: tuple[type[Event] | str, ...], expected: list[str]
) -> None:
    events = Events()
    before = events.last
    events.publish(Remembered(1))
    events.publish(LoopStalled("a task", 0.1))
    assert [event.kind for event in await drained(events, *wanted, since=before)] == expected


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    lost: list[int] = []
    events = Events(on_missed=lost.append)
    async with events.subscribe(Remembered, size=3) as slow, events.subscribe(Remembered) as quick:
        for number in range(10):
            events.publish(Remembered(number))
        events.close()
        of_slow = [event async for event in slow]
        of_quick = [event async for event in quick]
    assert isinstance(of_slow[0], Missed)
    assert of_slow[0].count == 7
    assert [event.number for event in of_slow[1:] if isinstance(event, Remembered)] == [7, 8, 9]
    assert len(of_quick) == 10
    assert sum(lost) == 7


async def test_a_waiting_subscriber_is_woken_by_what_is_published() -> None:
    events = Events()
    got: list[Event] = []

    async def listen(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with events.subscribe() as subscription:
            task_status.started()
            async for event in subscription:
                got.append(event)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        await trio.testing.wait_all_tasks_blocked()
        events.publish(Remembered(1))
        await trio.testing.wait_all_tasks_blocked()
        assert len(got) == 1
        events.close()


async def test_a_cancelled_subscriber_is_forgotten_and_loses_nothing_it_was_given() -> None:
    events = Events()
    async with events.subscribe() as subscription:
        events.publish(Remembered(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(subscription)
        assert scope.cancelled_caught
        event = await anext(subscription)
        assert isinstance(event, Remembered)
    assert events.subscribers == 0


async def test_a_number_and_a_time_are_stamped_on_each() -> None:
    events = Events(clock=lambda: 1000.5)
    first, second = events.publish(Remembered(1)), events.publish(Remembered(2))
    assert second.seq == first.seq + 1 == events.last
    assert first.at == 1000.5


async def test_who_was_away_takes_up_where_it_left_off_without_a_gap() -> None:
    events = Events()
    first = events.publish(Remembered(1))
    events.publish(Remembered(2))
    async with events.subscribe(Remembered, since=first.seq) as subscription:
        events.publish(Remembered(3))
        events.close()
        numbers = [event.number async for event in subscription if isinstance(event, Remembered)]
    assert numbers == [2, 3]


async def test_who_was_away_for_too_long_is_told_how_many_are_gone() -> None:
    events = Events(kept=3)
    first = events.publish(Remembered(0))
    for number in range(1, 10):
        events.publish(Remembered(number))
    missed, *rest = events.since(first.seq)
    assert isinstance(missed, Missed)
    assert missed.count == 6
    assert [event.number for event in rest if isinstance(event, Remembered)] == [7, 8, 9]
    assert [type(event) for event in await drained(events, since=first.seq)] == [Missed] + [Remembered] * 3


@pytest.mark.parametrize("seq", [0, 17, -5, 2**60])
async def test_a_number_of_another_life_gives_all_that_is_kept(seq: int) -> None:
    events = Events()
    events.publish(Remembered(1))
    events.publish(Remembered(2))
    assert [event.kind for event in events.since(seq)] == ["memory:added"] * 2


async def test_a_subscription_to_a_closed_house_ends_at_once() -> None:
    events = Events()
    events.close()
    async with events.subscribe() as subscription:
        assert [event async for event in subscription] == []


async def test_a_subscription_of_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        async with Events().subscribe(size=0):
            pass


def test_an_event_becomes_plain_json() -> None:
    events = Events(clock=lambda: 0.25)
    told = as_json(
        events.publish(Remembered(1, ("a", "b"), {"level": Level.HIGH, "where": Path("/x"), "no": None}))
    )
    assert json.loads(json.dumps(told)) == {
        "kind": "memory:added",
        "seq": events.last,
        "at": "1970-01-01T00:00:00.250+00:00",
        "number": 1,
        "tags": ["a", "b"],
        "facts": {"level": "high", "where": "/x", "no": None},
    }


def test_an_event_is_published_where_no_loop_runs_yet() -> None:
    events = Events()
    events.publish(ToolCalled("memory_search", "cli", "ok", 0.1))
    assert len(events.since(0)) == 1


@given(st.integers(1, 8), st.lists(st.integers(0, 3), max_size=40))
def test_received_and_missed_add_up_to_what_was_published(size: int, reads: list[int]) -> None:
    """Whatever the pace of the reader: nothing twice, nothing out of order, and every loss is counted."""

    async def play() -> None:
        events = Events()
        seen: list[int] = []
        missed = 0
        async with events.subscribe(size=size) as subscription:
            for count in reads:
                events.publish(Remembered(0))
                for _ in range(count):
                    with trio.move_on_after(1):  # of a clock that jumps
                        event = await anext(subscription)
                        if isinstance(event, Missed):
                            missed += event.count
                        else:
                            seen.append(event.seq)
            events.close()
            async for event in subscription:
                if isinstance(event, Missed):
                    missed += event.count
                else:
                    seen.append(event.seq)
        assert len(seen) + missed == len(reads)
        assert seen == sorted(set(seen))

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))
