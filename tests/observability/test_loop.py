"""Who holds up the event loop is counted and named; who only waits, or is kept waiting, is not."""

import gc
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mimo.observability.loop import LoopHeldUp, LoopWatch, Stall, run_watched


def hog(seconds: float) -> None:
    """Compute for so long, as a careless task does."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_step_that_takes_too_long_is_counted_and_its_task_named() -> None:
    told: list[Stall] = []
    watch = LoopWatch(told.append)

    async def careless() -> None:
        await trio.lowlevel.checkpoint()
        hog(0.06)
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(careless, name="careless task")

    trio.run(main, instruments=[watch])
    assert watch.count == len(told) >= 1
    assert "careless task" in [stall.task for stall in told]
    assert told[0].seconds >= 0.05
    with pytest.raises(LoopHeldUp, match=r"careless task took \d+ ms"):
        watch.check()


def test_a_blocking_wait_in_the_loop_counts_too() -> None:
    async def main() -> None:
        await trio.lowlevel.checkpoint()
        time.sleep(0.2)  # noqa: ASYNC251
        await trio.lowlevel.checkpoint()

    with pytest.raises(LoopHeldUp, match="1 steps held up"):
        run_watched(main)


def test_whoever_is_watched_gets_its_result_and_its_own_errors() -> None:
    async def gives(value: int) -> int:
        await trio.lowlevel.checkpoint()
        return 1 // value

    assert run_watched(gives, 1) == 1
    with pytest.raises(ZeroDivisionError):
        run_watched(gives, 0)


def test_pytest_fails_a_test_that_holds_up_the_loop(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    (tmp_path / "conftest.py").write_text(
        """
import inspect, pytest
from mimo.observability.loop import run_watched

def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.trio(run=run_watched))
"""
    )
    (tmp_path / "test_it.py").write_text(
        """
import time, trio

async def test_careful(autojump_clock):
    await trio.sleep(100)

async def test_careless():
    await trio.lowlevel.checkpoint()
    time.sleep(0.2)

def test_without_a_loop():
    time.sleep(0.06)
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "test_careless" in done.stdout
    assert "steps held up the loop" in done.stdout


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


TAKEN = "cpu  100 0 20 9000 5 0 0 {} 0 0\n"  # by the host, in hundredths of a second


@pytest.mark.parametrize(
    ("waste", "before", "after", "counted"),
    [
        (time.sleep, 700, 730, 0),
        (hog, 700, 730, 1),  # it computed for too long, whatever else was
        (time.sleep, 700, 700, 1),
        (time.sleep, 700, 300, 1),
        (time.sleep, None, 700, 1),  # nobody told, so nothing is known
        (time.sleep, 700, None, 1),
    ],
)
@pytest.mark.parametrize("threads", ["/proc/self/task", "/nowhere"])
def test_what_the_host_took_is_excused_if_the_step_did_not_compute(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    waste: Callable[[float], None],
    before: int | None,
    after: int | None,
    counted: int,
    threads: str,
) -> None:
    told = tmp_path / "stat"
    monkeypatch.setattr("mimo.observability.loop.PROCESSORS", str(told))
    monkeypatch.setattr("mimo.observability.loop.THREADS", threads)

    def tell(taken: int | None) -> None:
        told.unlink(missing_ok=True)
        if taken is not None:
            told.write_text(TAKEN.format(taken))

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        waste(0.2)
        tell(after)
        await trio.lowlevel.checkpoint()

    tell(before)
    watch = LoopWatch(fair=True)
    trio.run(main, instruments=[watch])
    assert watch.count == counted
    assert all(stall.seconds < 1 for stall in watch.stalls)


@pytest.mark.parametrize("fair", [True, False])
def test_what_the_garbage_collector_took_is_excused_only_by_a_fair_watch(fair: bool) -> None:
    def collect_slowly(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            hog(0.06)

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        gc.callbacks.insert(0, collect_slowly)  # within the collection, as our own callback sees it
        gc.collect(0)
        gc.callbacks.remove(collect_slowly)
        await trio.lowlevel.checkpoint()

    before = list(gc.callbacks)
    watch = LoopWatch(fair=fair)
    trio.run(main, instruments=[watch])
    assert (watch.count == 0) == fair
    assert gc.callbacks == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be pinned here")
@pytest.mark.parametrize("own", [0.0, 0.06])
def test_a_thread_that_is_kept_from_its_core_excuses_a_step_that_computed_nothing(own: float) -> None:
    """It may have been kept from it with the interpreter's lock in its hands."""
    core = min(os.sched_getaffinity(0))
    ended = threading.Event()

    def crowded() -> None:
        os.sched_setaffinity(threading.get_native_id(), {core})
        while not ended.is_set():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 1000)  # without the lock

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        hog(own)
        ended.wait(0.2)  # while six share a core, five wait
        await trio.lowlevel.checkpoint()

    threads = [threading.Thread(target=crowded) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        if own:
            with pytest.raises(LoopHeldUp):
                run_watched(main)
        else:
            run_watched(main)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
