"""Who gets in, who waits, who is turned away."""

from typing import Any

import pytest
import trio
import trio.testing

from mimo.errors import Busy
from mimo.resilience import Bulkhead, Load


async def test_it_lets_few_in_few_wait_and_turns_the_others_away(autojump_clock: Any) -> None:
    bulkhead = Bulkhead("writer", limit=2, queue=3)
    most = running = 0
    busy: list[object] = []

    async def work() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    async def caller() -> None:
        try:
            await bulkhead.call(work)
        except Busy as error:
            busy.append(error.details)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        assert bulkhead.load == Load(running=2, limit=2, waiting=3, queue=3, entered=2, refused=5)
    assert most == 2
    assert busy == [{"running": 2, "limit": 2, "waiting": 3, "queue": 3}] * 5
    assert bulkhead.load == Load(running=0, limit=2, waiting=0, queue=3, entered=5, refused=5)


async def test_who_came_first_gets_in_first(autojump_clock: Any) -> None:
    bulkhead = Bulkhead("writer", limit=1, queue=10)
    order: list[int] = []

    async def caller(number: int) -> None:
        async with bulkhead:
            order.append(number)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(caller, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(10))


async def test_a_cancelled_or_failed_caller_leaves_no_place_taken(autojump_clock: Any) -> None:
    bulkhead = Bulkhead("writer", limit=1, queue=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulkhead.call, trio.sleep, 5)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1):
            async with bulkhead:
                pytest.fail("there was no place")
        assert bulkhead.load.waiting == 0
        nursery.cancel_scope.cancel()
    with pytest.raises(OSError, match="x"):
        async with bulkhead:
            raise OSError("x")
    assert bulkhead.load.running == 0
    async with bulkhead:
        pass


def test_it_refuses_numbers_that_make_no_sense() -> None:
    for wrong in ({"limit": 0, "queue": 0}, {"limit": 1, "queue": -1}):
        with pytest.raises(ValueError, match="writer: limit >= 1"):
            Bulkhead("writer", **wrong)
