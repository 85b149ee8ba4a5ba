"""The breaker: when it opens, what it lets through, and what it does not count."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import Broken, Busy, InvalidArguments, TooSlow, Unavailable
from mimo.resilience import Breaker, BreakerChanged, BreakerState, is_failure
from mimo.resilience.breaker import TRANSITIONS, Turn

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


async def fine() -> str:
    return "fine"


async def failing() -> None:
    raise OSError("no route")


async def attempt(breaker: Breaker, function: Callable[[], Any] = failing) -> None:
    with pytest.raises(OSError, match="no route"):
        await breaker.call(function)


async def opened(**options: Any) -> Breaker:
    breaker = Breaker("skill", **options)
    while breaker.state is not OPEN:
        await attempt(breaker)
    return breaker


def test_every_state_can_be_left_and_only_by_what_belongs_to_it() -> None:
    assert set(TRANSITIONS) == set(BreakerState)
    assert sorted(turn.value for turns in TRANSITIONS.values() for turn in turns) == sorted(
        t.value for t in Turn
    )


async def test_five_failures_in_a_row_open_it_and_a_success_between_does_not_count_on(
    autojump_clock: Any,
) -> None:
    breaker = Breaker("skill")
    for _ in range(4):
        await attempt(breaker)
    assert await breaker.call(fine) == "fine"
    for _ in range(4):
        await attempt(breaker)
    assert breaker.state is CLOSED
    await attempt(breaker)
    assert breaker.state is OPEN


async def test_an_open_breaker_says_when_to_come_back(autojump_clock: Any) -> None:
    breaker = await opened()
    await trio.sleep(20)
    with pytest.raises(Unavailable, match="skill keeps failing") as info:
        await breaker.call(fine)
    assert info.value.details == {"after": pytest.approx(40), "done": False}
    assert breaker.refused == 1


async def test_a_hundred_failures_at_once_open_it_exactly_once(autojump_clock: Any) -> None:
    changes: list[BreakerChanged] = []
    breaker = Breaker("skill", on_change=changes.append)

    async def slowly() -> None:
        await trio.sleep(random.random())
        raise OSError("no route")

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(attempt, breaker, slowly)
    assert changes == [BreakerChanged("skill", Turn.TRIPPED, CLOSED, OPEN)]


@pytest.mark.parametrize("seed", range(10))
async def test_one_call_in_ten_may_fail(seed: int, autojump_clock: Any) -> None:
    """Five in a row are expected once in 100,000 calls; these seeds have none in 1,000."""
    chance = random.Random(seed)
    breaker = Breaker("skill")
    for _ in range(1000):
        if chance.random() < 0.1:
            await attempt(breaker)
        else:
            await breaker.call(fine)
    assert breaker.state is CLOSED


async def test_after_the_rest_exactly_the_trial_calls_pass(autojump_clock: Any) -> None:
    changes: list[BreakerChanged] = []
    breaker = await opened(on_change=changes.append)
    await trio.sleep(60)
    passed: list[int] = []
    refused: list[object] = []

    async def caller(number: int) -> None:
        try:
            with breaker.attempt():
                passed.append(number)
                await trio.sleep(1)
        except Unavailable as error:
            refused.append(error.details["after"])

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(caller, number)
    assert (len(passed), len(refused)) == (3, 97)
    assert set(refused) == {1.0}
    assert [change.after for change in changes] == [OPEN, HALF_OPEN, CLOSED]


async def test_a_failed_trial_opens_it_again_for_the_whole_rest(autojump_clock: Any) -> None:
    breaker = await opened()
    await trio.sleep(60)
    await breaker.call(fine)
    await breaker.call(fine)
    await attempt(breaker)
    assert breaker.state is OPEN
    await trio.sleep(59)
    with pytest.raises(Unavailable):
        await breaker.call(fine)
    await trio.sleep(1)
    for _ in range(3):  # the two successes of before are forgotten
        assert breaker.state is not CLOSED
        await breaker.call(fine)
    assert breaker.state is CLOSED


async def test_a_call_from_before_it_opened_says_nothing_about_the_trial(autojump_clock: Any) -> None:
    breaker = Breaker("skill")

    async def late_failure() -> None:
        await trio.sleep(61)
        raise OSError("no route")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt, breaker, late_failure)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            await attempt(breaker)
        await trio.sleep(60.5)
        await breaker.call(fine)
        assert breaker.state is HALF_OPEN
    assert breaker.state is HALF_OPEN


async def test_a_cancelled_trial_gives_its_place_back(autojump_clock: Any) -> None:
    breaker = await opened()
    await trio.sleep(60)
    for _ in range(10):
        with trio.move_on_after(1):
            await breaker.call(trio.sleep, 5)
    assert breaker.state is HALF_OPEN
    for _ in range(3):
        await breaker.call(fine)
    assert breaker.state is CLOSED


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (OSError(), True),
        (trio.TooSlowError(), True),
        (Unavailable("x"), True),
        (TooSlow("x"), True),
        (Busy("x"), True),
        (ExceptionGroup("x", [ValueError(), OSError()]), True),
        (ExceptionGroup("x", [ValueError()]), False),
        (InvalidArguments("x"), False),
        (Broken("x"), False),
        (TypeError(), False),
        (KeyError(), False),
        (ZeroDivisionError(), False),
    ],
    ids=repr,
)
async def test_what_counts_is_the_other_sides_failure(
    error: Exception, counts: bool, autojump_clock: Any
) -> None:
    assert is_failure(error) is counts
    breaker = Breaker("skill", failures=2, rest=0)

    async def raising() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            await breaker.call(raising)
    assert breaker.state is (OPEN if counts else CLOSED)
    with pytest.raises(type(error)):  # as a trial
        await Breaker("skill").call(raising)


async def test_cancellation_is_no_failure(autojump_clock: Any) -> None:
    breaker = Breaker("skill")
    for _ in range(10):
        with trio.move_on_after(1):
            await breaker.call(trio.sleep_forever)
    assert breaker.state is CLOSED


async def test_a_callers_mistake_on_trial_decides_nothing(autojump_clock: Any) -> None:
    breaker = await opened(trials=1)
    await trio.sleep(60)
    for _ in range(5):
        with pytest.raises(InvalidArguments), breaker.attempt():
            raise InvalidArguments("x")
    assert breaker.state is HALF_OPEN
    await breaker.call(fine)
    assert breaker.state is CLOSED


def test_it_refuses_numbers_that_make_no_sense() -> None:
    for wrong in ({"failures": 0}, {"trials": 0}, {"rest": -1.0}):
        with pytest.raises(ValueError, match="skill: failures >= 1"):
            Breaker("skill", **wrong)


STEPS = st.lists(st.sampled_from(["success", "failure", "mistake", "wait", "rest"]), max_size=60)


@given(STEPS, st.integers(1, 3), st.integers(1, 3))
def test_it_agrees_with_a_naive_model(steps: list[str], failures: int, trials: int) -> None:
    async def follow() -> None:
        breaker = Breaker("skill", failures=failures, trials=trials, rest=10)
        state, row, opened_at = CLOSED, 0, 0.0
        for step in steps:
            if step in ("wait", "rest"):
                await trio.sleep(4 if step == "wait" else 10)
                continue
            if state is OPEN and trio.current_time() - opened_at >= 10:
                state, row = HALF_OPEN, 0
            passed = True
            try:
                with breaker.attempt():
                    if step == "failure":
                        raise OSError
                    if step == "mistake":
                        raise TypeError
            except Unavailable:
                passed = False
            except (OSError, TypeError):
                pass
            assert passed is (state is not OPEN)
            if passed and step == "failure":
                row = row + 1 if state is CLOSED else failures
                if row >= failures:
                    state, opened_at = OPEN, trio.current_time()
            elif passed and step == "success":
                row = row + 1 if state is HALF_OPEN else 0
                if state is HALF_OPEN and row >= trials:
                    state, row = CLOSED, 0
            assert breaker.state is state

    trio.run(follow, clock=trio.testing.MockClock(autojump_threshold=0))
