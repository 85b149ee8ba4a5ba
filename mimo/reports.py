"""What the rooms tell of themselves, turned into events for programs and numbers for a dashboard.

The rooms know neither; they call back with values of their own, and this page says what becomes of each.
"""

from __future__ import annotations

import logging

from mimo.observability import news
from mimo.observability.events import Events
from mimo.observability.loop import Stall
from mimo.observability.metrics import Metrics
from mimo.observability.news import ChildFailed, ChildStarted, LoopStalled
from mimo.resilience import BreakerChanged, BreakerState
from mimo.storage.backup import Backup
from mimo.storage.database import Stats
from mimo.storage.writer import Checkpointed, Committed
from mimo.supervision import Ended, GaveUp, Refused, Restarting, Started, SupervisionEvent

log = logging.getLogger(__name__)

NEVER = -1.0
BREAKER_STATES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Reports:
    def __init__(self, events: Events, metrics: Metrics) -> None:
        self._events = events
        self._metrics = metrics
        self._lines_lost = 0

    def supervised(self, event: SupervisionEvent) -> None:
        metrics, publish = self._metrics, self._events.publish
        match event:
            case Started():
                metrics.child_up.labels(event.child).set(1)
                if event.restarts:
                    metrics.restarts.labels(event.child).inc()
                publish(ChildStarted(event.child, event.restarts))
            case Ended():
                metrics.child_up.labels(event.child).set(0)
            case Restarting():
                publish(ChildFailed(event.child, event.error or "", event.delay))
            case GaveUp():
                publish(ChildFailed(event.child, event.error or "", NEVER))
            case Refused():
                metrics.children_refused.labels(event.supervisor).inc()
            case _:
                pass

    def broken(self, change: BreakerChanged) -> None:
        """A breaker has opened, closed, or is trying."""
        name, after = change.breaker, change.after.value
        self._metrics.breaker_state.labels(name).set(BREAKER_STATES[change.after])
        self._metrics.breaker_changes.labels(name, after).inc()
        self._events.publish(news.BreakerChanged(name, change.before.value, after))
        level = logging.WARNING if change.after is BreakerState.OPEN else logging.INFO
        log.log(level, "%s: its breaker was %s and is %s", name, change.before.value, after)

    def committed(self, group: Committed) -> None:
        metrics = self._metrics
        metrics.commits.labels("ok").inc()
        metrics.commit_seconds.observe(group.seconds)
        metrics.commit_jobs.observe(group.jobs)

    def checkpointed(self, told: Checkpointed) -> None:
        self._metrics.checkpoints.labels(told.outcome).inc()
        self._metrics.checkpoint_seconds.observe(told.seconds)

    def read(self, seconds: float) -> None:
        self._metrics.read_seconds.observe(seconds)

    def backed_up(self, made: Backup | None) -> None:
        self._metrics.backups.labels("ok" if made else "failed").inc()
        if made:
            self._metrics.backup_at.set_to_current_time()

    def stalled(self, stall: Stall) -> None:
        self._metrics.stalls.observe(stall.seconds)
        self._events.publish(LoopStalled(stall.task, stall.seconds))
        log.warning("%s held up the loop for %.0f ms", stall.task, stall.seconds * 1000)

    def measure(self, stats: Stats, lines_lost: int) -> None:
        """Bring the gauges of the database, and what is counted elsewhere, up to date."""
        metrics = self._metrics
        # Logging that is set up anew counts from nothing.
        before = self._lines_lost if lines_lost >= self._lines_lost else 0
        metrics.log_lines_lost.inc(lines_lost - before)
        self._lines_lost = lines_lost
        metrics.writer_waiting.set(stats.waiting)
        metrics.wal_bytes.set(stats.wal_bytes)
        metrics.database_bytes.set(stats.file_bytes)
        metrics.storage_full.set(stats.full)
