"""Asking again: when, how often, and when not."""

import random
from typing import Any

import pytest
import trio

from mimo.errors import Conflict, TooSlow, Unavailable
from mimo.resilience import Retry


class Longest(random.Random):
    """The dice always show the most, so that pauses can be told exactly."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[float] = []

    async def ask(self, question: str) -> str:
        self.calls.append(trio.current_time())
        if self.errors:
            raise self.errors.pop(0)
        return f"{question}!"


async def test_it_asks_until_it_is_answered_with_growing_pauses(autojump_clock: Any) -> None:
    flaky = Flaky(Unavailable("a"), TooSlow("b"), Unavailable("c"))
    assert await Retry(chance=Longest()).call(flaky.ask, "hello") == "hello!"
    assert flaky.calls == pytest.approx([0, 0.1, 0.3, 0.7])


async def test_the_last_error_is_raised(autojump_clock: Any) -> None:
    flaky = Flaky(*(Unavailable(str(n)) for n in range(9)))
    with pytest.raises(Unavailable, match="3"):
        await Retry(attempts=4).call(flaky.ask, "hello")
    assert len(flaky.calls) == 4


@pytest.mark.parametrize("error", [Conflict("read again"), OSError("no route"), ValueError("x")])
async def test_what_will_not_pass_is_not_tried_again(error: Exception, autojump_clock: Any) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await Retry().call(flaky.ask, "hello")
    assert len(flaky.calls) == 1


async def test_the_caller_may_say_what_passes(autojump_clock: Any) -> None:
    retry = Retry(may_retry=lambda error: isinstance(error, OSError))
    assert await retry.call(Flaky(OSError()).ask, "hello") == "hello!"


async def test_pauses_have_a_ceiling_and_are_spread_below_it(autojump_clock: Any) -> None:
    flaky = Flaky(*(Unavailable("x") for _ in range(400)))
    await Retry(attempts=500, chance=random.Random(1)).call(flaky.ask, "hello")
    pauses = [after - before for before, after in zip(flaky.calls, flaky.calls[1:], strict=False)]
    assert max(pauses) <= 30
    late = pauses[20:]
    assert min(late) < 2
    assert max(late) > 28
    assert sum(late) / len(late) == pytest.approx(15, abs=2)


async def test_it_does_not_sleep_past_the_deadline(autojump_clock: Any) -> None:
    flaky = Flaky(*(Unavailable("x") for _ in range(9)))
    with trio.fail_after(0.5), pytest.raises(Unavailable):
        await Retry(attempts=9, chance=Longest()).call(flaky.ask, "hello")
    assert trio.current_time() == pytest.approx(0.3)  # the next pause would have ended at 0.7


async def test_it_believes_who_says_how_long_it_takes(autojump_clock: Any) -> None:
    flaky = Flaky(Unavailable("x", after=7), Unavailable("y", after=30.0), Unavailable("z", after="soon"))
    await Retry(chance=Longest()).call(flaky.ask, "hello")
    assert flaky.calls == pytest.approx([0, 7.1, 37.1, 37.5])
    flaky = Flaky(Unavailable("x", after=31))
    before = trio.current_time()
    with pytest.raises(Unavailable):
        await Retry().call(flaky.ask, "hello")
    assert trio.current_time() == before


async def test_cancellation_ends_it_during_a_pause(autojump_clock: Any) -> None:
    flaky = Flaky(Unavailable("x", after=20))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Retry().call, flaky.ask, "hello")
            await trio.sleep(1)
            scope.cancel()
    assert len(flaky.calls) == 1


def test_it_refuses_numbers_that_make_no_sense() -> None:
    for wrong in ({"attempts": 0}, {"first": -1.0}, {"limit": -1.0}):
        with pytest.raises(ValueError, match="attempts >= 1"):
            Retry(**wrong)
