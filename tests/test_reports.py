"""What the rooms tell of themselves becomes events and numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mimo.embedding.choice import chosen
from mimo.errors import Unavailable
from mimo.home import Home
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import BreakerChanged
from mimo.reports import Reports
from mimo.resilience import Breaker
from mimo.storage.database import Database
from mimo.storage.sql import run, value


async def test_a_breaker_that_opens_and_closes_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    events, metrics = Events(), Metrics()
    breaker = Breaker("skill", failures=2, rest=5, trials=1, on_change=Reports(events, metrics).broken)

    async def work(fails: bool) -> None:
        await trio.lowlevel.checkpoint()
        if fails:
            raise Unavailable("down")

    for _ in range(2):
        with pytest.raises(Unavailable):
            await breaker.call(work, True)
    assert b'mimo_breaker_state{breaker="skill"} 2.0' in metrics.render()
    assert caplog.record_tuples == [
        ("mimo.reports", logging.WARNING, "skill: its breaker was closed and is open")
    ]
    await trio.sleep(6)
    await breaker.call(work, False)
    assert b'mimo_breaker_state{breaker="skill"} 0.0' in metrics.render()
    assert b'mimo_breaker_changes_total{breaker="skill",state="half_open"} 1.0' in metrics.render()
    told = [
        (event.breaker, event.before, event.after)
        for event in events.since(0)
        if isinstance(event, BreakerChanged)
    ]
    assert told == [
        ("skill", "closed", "open"),
        ("skill", "open", "half_open"),
        ("skill", "half_open", "closed"),
    ]


@pytest.mark.parametrize("provider", ["ollama", "openai"])
async def test_an_embedder_behind_an_address_reports_its_breaker(
    provider: str, autojump_clock: MockClock
) -> None:
    events, metrics = Events(), Metrics()
    # The port of nobody: to be refused takes no time.
    embedder = chosen(
        provider,
        model="m",
        dim=3,
        url="http://127.0.0.1:1",
        on_change=Reports(events, metrics).broken,
    )
    for _ in range(3):
        with pytest.raises(Unavailable):
            await embedder.embed(["text"])
    assert [event.kind for event in events.since(0)] == ["system:breaker_changed"]
    assert f'mimo_breaker_state{{breaker="{provider}"}} 2.0'.encode() in metrics.render()


async def test_reading_and_emptying_the_log_are_measured(tmp_path: Path) -> None:
    metrics = Metrics()
    reports = Reports(Events(), metrics)
    database = Database(Home(tmp_path / "home"), on_checkpoint=reports.checkpointed, on_read=reports.read)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        before = metrics.render()
        await database.read(value, "SELECT 1")
        with pytest.raises(ZeroDivisionError):
            await database.read(lambda db: 1 / 0)
        await database.write(run, "INSERT INTO namespaces (name, created_at) VALUES ('home', 0)")
        assert await database.checkpoint()
        nursery.cancel_scope.cancel()
    assert b"mimo_storage_read_seconds_count 0.0" in before
    assert b"mimo_storage_read_seconds_count 2.0" in metrics.render()
    assert b'mimo_storage_checkpoints_total{outcome="whole"}' in metrics.render()
    assert b"mimo_storage_checkpoint_seconds_count 0.0" not in metrics.render()


def test_lines_that_stderr_did_not_take_are_counted_once() -> None:
    metrics = Metrics()
    reports, stats = Reports(Events(), metrics), Database(Home("/nowhere")).stats()
    for lost in (0, 3, 3, 5):
        reports.measure(stats, lost)
    assert b"mimo_log_lines_lost_total 5.0" in metrics.render()
    reports.measure(stats, 2)  # logging was set up anew
    assert b"mimo_log_lines_lost_total 7.0" in metrics.render()
