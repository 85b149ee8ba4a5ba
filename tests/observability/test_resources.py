"""The resource watch: what the process uses, and one word when a limit is crossed."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ResourceChanged
from mimo.observability.resources import MB, Reading, ResourceWatch, Threshold, _children, _children_among_all


def started() -> subprocess.Popen[bytes]:
    """A child that waits for a line."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def told(events: Events) -> list[tuple[str, str]]:
    return [(each.resource, each.level) for each in events.since(0) if isinstance(each, ResourceChanged)]


def reading(memory: float = 0, tasks: int = 0, children: int = 0) -> Reading:
    return Reading(int(memory), tasks, 1, 1, children)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_look_sees_what_there_is(events: Events, metrics: Metrics) -> None:
    watch = ResourceWatch(events, metrics, {"wal_bytes": lambda: 4096})

    async def look() -> Reading:
        await trio.lowlevel.checkpoint()
        return watch.look()

    async def look_beside_another_task() -> Reading:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            with tempfile.TemporaryFile(), tempfile.TemporaryFile():
                reading = watch.look()
            nursery.cancel_scope.cancel()
        return reading

    before = trio.run(look)
    assert 5 * MB < before.memory_bytes < 4000 * MB
    assert before.injected == {"wal_bytes": 4096}
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    child = started()
    try:
        during = trio.run(look_beside_another_task)
    finally:
        release.set()
        thread.join()
        child.communicate(b"\n")
    assert during.threads == before.threads + 1
    assert during.children == before.children + 1
    assert during.tasks == before.tasks + 1
    assert during.open_files == before.open_files + 3  # and the pipe to the child


async def test_a_system_without_proc_is_looked_at_as_far_as_it_goes(
    events: Events, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mimo.observability.resources.PROC", tmp_path / "none")
    reading = ResourceWatch(events, metrics).look()
    assert reading.memory_bytes > 5 * MB
    assert reading.threads >= 1
    assert reading.children == 0


def test_children_are_listed_by_the_kernel_where_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for thread, children in (("1", "12 13 "), ("2", "")):
        (tmp_path / "self/task" / thread).mkdir(parents=True)
        (tmp_path / "self/task" / thread / "children").write_text(children)
    monkeypatch.setattr("mimo.observability.resources.PROC", tmp_path)
    assert _children() == 2


def test_children_are_found_by_their_parent_too() -> None:
    before = _children_among_all()
    child = started()
    try:
        assert _children_among_all() == before + 1
    finally:
        child.communicate(b"\n")


async def test_it_looks_at_once_and_then_every_thirty_seconds(
    events: Events, metrics: Metrics, autojump_clock: trio.testing.MockClock
) -> None:
    looks: list[float] = []

    def size() -> float:
        looks.append(trio.current_time() - began)
        return 7

    watch = ResourceWatch(events, metrics, {"cache_bytes": size})
    began = trio.current_time()
    with trio.move_on_after(100):
        async with trio.open_nursery() as nursery:
            await nursery.start(watch.run)
    assert looks == [0, 30, 60, 90]
    assert b'mimo_resource{resource="cache_bytes"} 7.0' in metrics.render()


async def test_a_limit_is_told_once_when_it_is_crossed_and_once_when_left(
    events: Events, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ResourceWatch(events, metrics)
    for memory in [100, 799, 800, 850, 999, 1000, 1200, 950, 901, 899, 790, 721, 719, 100]:
        watch.judge(reading(memory=memory * MB))
    assert told(events) == [
        ("memory_bytes", "warning"),
        ("memory_bytes", "critical"),
        ("memory_bytes", "warning"),
        ("memory_bytes", "ok"),
    ]
    assert caplog.text.count("memory_bytes is critical") == 1


async def test_a_value_on_the_edge_does_not_chatter(events: Events, metrics: Metrics) -> None:
    watch = ResourceWatch(events, metrics)
    for tasks in [399, 400, 399, 400, 398, 401] * 10:
        watch.judge(reading(tasks=tasks))
    assert told(events) == [("tasks", "warning")]
    assert watch.worries == {"tasks": "warning"}


async def test_from_calm_to_critical_is_one_step(events: Events, metrics: Metrics) -> None:
    watch = ResourceWatch(events, metrics)
    watch.judge(reading(children=150))
    watch.judge(reading(children=0))
    assert told(events) == [("children", "critical"), ("children", "ok")]
    assert watch.worries == {}


async def test_what_is_injected_may_have_limits_too(events: Events, metrics: Metrics) -> None:
    watch = ResourceWatch(
        events, metrics, {"wal_bytes": lambda: 70.0}, thresholds={"wal_bytes": Threshold(64, 256)}
    )
    watch.judge(watch.look())
    assert told(events) == [("wal_bytes", "warning")]
    assert b'mimo_resource_limit{level="critical",resource="wal_bytes"} 256.0' in metrics.render()
