"""What the rooms tell of themselves becomes events and numbers."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from mimo.embedding.choice import chosen
from mimo.errors import Unavailable
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import BreakerChanged
from mimo.reports import Reports
from mimo.resilience import Breaker


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
