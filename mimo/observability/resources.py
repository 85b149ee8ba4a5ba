"""What the process uses, looked at every 30 seconds: memory, tasks, threads, files, children, and what is injected.

Going over a limit is told once, and so is coming back; between the limit and a tenth below it nothing is told,
so that a value on the edge does not chatter.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ResourceChanged

log = logging.getLogger(__name__)

EVERY = 30.0
MB = 1_000_000
CALM = 0.9  # of a limit, to be below it again

OK, WARNING, CRITICAL = "ok", "warning", "critical"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Threshold:
    """From where on a value is a worry, and from where on it is trouble."""

    warning: float
    critical: float


THRESHOLDS: Mapping[str, Threshold] = {
    "memory_bytes": Threshold(800 * MB, 1000 * MB),
    "tasks": Threshold(400, 500),
    "children": Threshold(80, 100),
}


# Its supervisor, its life, and who reads from it.
TASKS_OF_A_SKILL = 6


# Who reads, who writes, who answers, who pings.
TASKS_OF_A_WEBSOCKET = 5


def thresholds_with(skills: int, websockets: int = 0) -> Mapping[str, Threshold]:
    """The limits of a house that may run so many skills, each a child and a few tasks, and hold so many WebSockets."""
    tasks = THRESHOLDS["tasks"]
    more = TASKS_OF_A_SKILL * skills + TASKS_OF_A_WEBSOCKET * websockets
    return {
        **THRESHOLDS,
        "tasks": Threshold(tasks.warning + more, tasks.critical + more),
        "children": Threshold(0.8 * skills, skills),
    }


@dataclass(frozen=True, slots=True)
class Reading:
    """One look. `injected` are the values of others by name: the log's bytes, the sizes of caches."""

    memory_bytes: int
    tasks: int
    threads: int
    open_files: int
    children: int
    injected: Mapping[str, float] = field(default_factory=dict[str, float])

    def values(self) -> dict[str, float]:
        return {
            "memory_bytes": self.memory_bytes,
            "tasks": self.tasks,
            "threads": self.threads,
            "open_files": self.open_files,
            "children": self.children,
            **self.injected,
        }


class ResourceWatch:
    """A supervised child that looks, and tells when a limit is crossed."""

    def __init__(
        self,
        events: Events,
        metrics: Metrics,
        injected: Mapping[str, Callable[[], float]] | None = None,
        *,
        thresholds: Mapping[str, Threshold] = THRESHOLDS,
        every: float = EVERY,
    ) -> None:
        self._events = events
        self._metrics = metrics
        self._injected = injected or {}
        self._thresholds = thresholds
        self._every = every
        self._levels: dict[str, str] = {}
        for name, limit in thresholds.items():
            metrics.resource_limit.labels(name, WARNING).set(limit.warning)
            metrics.resource_limit.labels(name, CRITICAL).set(limit.critical)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self.judge(self.look())
            await trio.sleep(self._every)

    def look(self) -> Reading:
        """One reading, at once; it costs less than a millisecond. Belongs to the loop's thread."""
        return Reading(
            _memory(),
            trio.lowlevel.current_statistics().tasks_living,
            _threads(),
            _open_files(),
            _children(),
            {name: value() for name, value in self._injected.items()},
        )

    @property
    def worries(self) -> Mapping[str, str]:
        """What is over a limit at the moment, and which."""
        return {name: level for name, level in self._levels.items() if level != OK}

    def judge(self, reading: Reading) -> None:
        """Bring metrics up to date and tell what has changed its level."""
        for name, value in reading.values().items():
            self._metrics.resource.labels(name).set(value)
            if (limit := self._thresholds.get(name)) is None:
                continue
            before = self._levels.get(name, OK)
            after = _level(value, limit, before)
            self._levels[name] = after
            if after != before:
                self._tell(name, after, value, limit)

    def _tell(self, name: str, level: str, value: float, limit: Threshold) -> None:
        crossed = limit.critical if level == CRITICAL else limit.warning
        self._events.publish(ResourceChanged(name, level, value, crossed))
        severity = {OK: logging.INFO, WARNING: logging.WARNING, CRITICAL: logging.ERROR}[level]
        log.log(severity, "%s is %s: %g (limit %g)", name, level, value, crossed)


def _level(value: float, limit: Threshold, before: str) -> str:
    critical = limit.critical * (CALM if before == CRITICAL else 1)
    warning = limit.warning * (CALM if before != OK else 1)
    if value >= critical:
        return CRITICAL
    return WARNING if value >= warning else OK


def _memory() -> int:
    """What is resident now; where the system does not say, the most there ever was."""
    try:
        pages = int((PROC / "self/statm").read_bytes().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _threads() -> int:
    """Those of compiled code too, where the system lists them."""
    try:
        return len(os.listdir(PROC / "self/task"))
    except OSError:
        return threading.active_count()


def _open_files() -> int:
    for folder in (PROC / "self/fd", Path("/dev/fd")):
        try:
            return len(os.listdir(folder)) - 1  # one of them is the look itself
        except OSError:
            continue
    return 0


def _children() -> int:
    """Processes that we started and that are not yet waited for; 0 where the system does not list them."""
    try:
        lists = [(task / "children").read_bytes() for task in (PROC / "self/task").iterdir()]
    except OSError:
        return _children_among_all()
    return sum(len(each.split()) for each in lists)


def _children_among_all() -> int:
    """The same by the parents of all processes, for kernels that do not list children."""
    me, count = os.getpid(), 0
    try:
        names = [name for name in os.listdir(PROC) if name.isdigit()]
    except OSError:
        return 0
    for name in names:
        try:
            stat = (PROC / name / "stat").read_bytes()
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        # The command's name, in parentheses, may hold anything; the parent is the second field after it.
        count += int(stat[stat.rindex(b")") + 1 :].split()[1]) == me
    return count
