"""Who holds up the event loop is counted and named; who only waits, or is kept waiting, is not."""

import time

import pytest
import trio

from mimo.observability.loop import LoopHeldUp, LoopWatch, Stall


def hog(seconds: float) -> None:
    """Compute for so long, as a careless task does."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_step_that_takes_too_long_is_counted_and_its_task_named() -> None:
    told: list[Stall] = []
    watch = LoopWatch(told.append)
    trio.lowlevel.add_instrument(watch)

    async def careless() -> None:
        await trio.lowlevel.checkpoint()
        hog(0.06)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(careless, name="careless task")
    trio.lowlevel.remove_instrument(watch)
    assert watch.count == len(told) >= 1
    assert "careless task" in [stall.task for stall in told]
    assert told[0].seconds >= 0.05
    with pytest.raises(LoopHeldUp, match=r"careless task took \d+ ms"):
        watch.check()


async def test_a_blocking_wait_in_the_loop_counts_too() -> None:
    watch = LoopWatch(fair=True)
    trio.lowlevel.add_instrument(watch)
    await trio.lowlevel.checkpoint()
    time.sleep(0.06)  # noqa: ASYNC251
    await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(watch)
    watch.after_run()
    assert watch.count == 1


async def test_waiting_is_not_holding_up(autojump_clock: trio.testing.MockClock) -> None:
    watch = LoopWatch(fair=True)
    trio.lowlevel.add_instrument(watch)
    await trio.sleep(100)
    await trio.to_thread.run_sync(hog, 0.06)
    trio.lowlevel.remove_instrument(watch)
    watch.after_run()
    watch.check()
    assert watch.count == 0


def test_the_instrument_may_be_given_to_run_and_used_again() -> None:
    watch = LoopWatch(fair=True)
    for _ in range(3):
        trio.run(trio.lowlevel.checkpoint, instruments=[watch])
    watch.check()


async def test_only_the_last_stalls_are_kept_but_all_are_counted() -> None:
    watch = LoopWatch(too_long=0)
    trio.lowlevel.add_instrument(watch)
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(watch)
    assert watch.count >= 99
    assert len(watch.stalls) == 20
