"""Keys, rates and the load guard: who is known, how often they may come, and when there is too much to do."""

import pytest
import trio

from mimo.errors import Busy, Unavailable
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.gate import Gate, LoadGuard
from mimo.gateway.keys import Key, Keyring, digest_of, new_token
from mimo.gateway.rates import MOST_BUCKETS, Rate, Rates
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.tool import Answer, Arguments, Call, Capacity, Client, Tool


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def key(name: str, token: str) -> Key:
    return Key(name, name, digest_of(token), frozenset({"read"}))


def test_a_key_is_found_by_what_it_is_and_by_nothing_else() -> None:
    one, two = new_token(), new_token()
    ring = Keyring([key("one", one), key("two", two)])
    assert ring.find(one) == key("one", one)
    assert ring.find(two) == key("two", two)
    for wrong in (
        "",
        one[:-1],
        one + "A",
        one.lower(),
        one.removeprefix("mimo_"),
        new_token(),
        "mimo_" + "é" * 43,
    ):
        assert ring.find(wrong) is None
    ring.replace([key("two", two)])
    assert ring.find(one) is None
    assert key("one", one).client() == Client(name="one", scopes=frozenset({"read"}), key="one")


def test_a_bucket_is_emptied_at_once_and_filled_evenly() -> None:
    clock = Clock()
    rates = Rates(Rate(per_minute=60, burst=3), clock=clock)
    for _ in range(3):
        rates.take("a")
    with pytest.raises(Busy) as refused:
        rates.take("a")
    assert refused.value.details["after"] == 1
    rates.take("b")
    clock.now += 1
    rates.take("a")
    with pytest.raises(Busy):
        rates.take("a")
    clock.now += 3600
    left = rates.allowance("a")
    assert left is not None
    assert (left.limit, left.remaining, left.full_in) == (60, 3, 0)


def test_who_shows_no_key_or_is_exempt_is_not_limited() -> None:
    rates = Rates(Rate(1, 1), exempt=lambda key: key == "owner", clock=Clock())
    for _ in range(5):
        rates.take(None)
        rates.take("owner")
    assert rates.allowance(None) is rates.allowance("owner") is None


def test_buckets_are_bounded() -> None:
    clock = Clock()
    rates = Rates(Rate(60, 2), clock=clock)
    for number in range(MOST_BUCKETS + 10):
        clock.now += 0.001
        rates.take(str(number))
    first, last = rates.allowance("0"), rates.allowance(str(MOST_BUCKETS + 9))
    assert first is not None
    assert first.remaining == 2  # forgotten, and so full again
    assert last is not None
    assert last.remaining == 1


class Load:
    """What a guard looks at."""

    def __init__(self) -> None:
        self.p99, self.waiting, self.clock = 0.0, 0, Clock()
        self.guard = LoadGuard(lambda: self.p99, lambda: self.waiting, 2.0, clock=self.clock)

    def after(self, seconds: float, *, p99: float, waiting: int) -> bool:
        self.clock.now += seconds
        self.p99, self.waiting = p99, waiting
        return self.guard.overloaded()


def test_slow_calls_and_a_growing_queue_together_are_too_much() -> None:
    load = Load()
    assert not load.after(1, p99=5, waiting=3)  # there is nothing to compare with yet
    assert load.after(1, p99=5, waiting=4)
    assert load.after(0.1, p99=5, waiting=4)  # within one look it stays as it was found
    assert not load.after(1, p99=5, waiting=4)  # it grows no longer
    assert not load.after(1, p99=1, waiting=9)  # it grows, and nobody is slow
    assert not load.after(1, p99=9, waiting=0)
    assert not load.after(100, p99=9, waiting=50)  # after so long, what was before says nothing


class Nothing(Arguments):
    """Use for nothing."""


async def nothing(arguments: Nothing, call: Call) -> Answer:
    await trio.lowlevel.checkpoint()
    return Answer.text("done")


async def test_cheap_calls_pass_when_costly_ones_are_put_off() -> None:
    load, events, box = Load(), Events(), Toolbox()
    box.add(
        Tool("cheap", Nothing, nothing),
        Tool("writing", Nothing, nothing, writes=True),
        Tool("computing", Nothing, nothing, capacity=Capacity.COMPUTE),
    )
    gate = Gate(Dispatch(box, events, Metrics()), Rates(Rate(60, 2), clock=load.clock), load.guard)
    load.after(1, p99=5, waiting=1)
    assert load.after(1, p99=5, waiting=2)
    call = Call("1", Client(key="a"))
    assert (await gate.call("cheap", {}, call)).as_text() == "done"
    for name in ("writing", "computing"):
        with pytest.raises(Unavailable) as refused:
            await gate.call(name, {}, call)
        assert refused.value.details["after"] == 2.0
    assert not load.after(1, p99=5, waiting=2)
    await gate.call("writing", {}, call)
    await gate.call("computing", {}, call)
    with pytest.raises(Busy):
        await gate.call("writing", {}, call)
    assert (await gate.call("cheap", {}, call)).as_text() == "done"
