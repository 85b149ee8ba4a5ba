"""Who holds up the event loop: every step of a task that takes longer than 50 ms is counted and named.

In the daemon a `LoopWatch` is given to `trio.run`. In tests `run_watched` fails whoever holds up the loop; a
conftest.py hands it to pytest-trio, before that marks the tests itself:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
                item.add_marker(pytest.mark.trio(run=run_watched))
"""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import trio

# A person notices a tenth of a second, and a call may meet two steps.
TOO_LONG = 0.05
KEPT = 20
THREADS = "/proc/self/task"
PROCESSORS = "/proc/stat"
# How often a fair watch asks how the other threads fare.
OTHERS_SECONDS = 0.02

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stall:
    """A step that took too long."""

    task: str
    seconds: float


class LoopHeldUp(AssertionError):
    """A task took too long between two of its checkpoints."""


class LoopWatch(trio.abc.Instrument):
    """An instrument for Trio. `on_stall` is called in the loop's thread, right after the step.

    With `fair`, neither the time in which the thread was ready but another process had the core counts, nor
    that of the garbage collector; nor, unless the step itself computed for too long, the time in which other
    threads of ours were ready: they may have waited with the interpreter's lock in their hands, or be waited for
    to start; nor what the host of a virtual machine took from its processors meanwhile. That costs a system call a step,
    and is for tests on a busy machine.
    """

    def __init__(
        self,
        on_stall: Callable[[Stall], None] | None = None,
        *,
        too_long: float = TOO_LONG,
        fair: bool = False,
    ) -> None:
        self.count = 0
        self.stalls = deque[Stall](maxlen=KEPT)  # the last of them
        self._on_stall = on_stall
        self._too_long = too_long
        self._excuses = _Excuses() if fair else None
        self._before = (
            math.inf
        )  # when the last step ended or the loop woke; this hook is half the price of two

    def after_io_wait(self, timeout: float) -> None:
        if self._excuses is not None:
            self._excuses.step_begins()
        self._before = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        now = time.perf_counter()
        if now - self._before >= self._too_long:
            self._look_closer(task, now - self._before)
        if self._excuses is not None:
            self._excuses.step_begins()
            now = time.perf_counter()
        self._before = now

    def after_run(self) -> None:
        if self._excuses is not None:
            self._excuses.close()

    def check(self) -> None:
        """Raises `LoopHeldUp` when there was a stall."""
        if self.stalls:
            told = ", ".join(f"{stall.task} took {stall.seconds * 1000:.0f} ms" for stall in self.stalls)
            raise LoopHeldUp(f"{self.count} steps held up the loop: {told}")

    def _look_closer(self, task: trio.lowlevel.Task, seconds: float) -> None:
        if self._excuses is not None:
            seconds -= self._excuses.of_this_step(self._too_long)
            if seconds < self._too_long:
                return
        stall = Stall(task.name, seconds)
        self.count += 1
        self.stalls.append(stall)
        if self._on_stall is not None:
            self._on_stall(stall)


def run_watched(
    main: Callable[..., Awaitable[T]],
    *args: object,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
    too_long: float = TOO_LONG,
) -> T:
    """`trio.run`, and a `LoopHeldUp` at its end when a task held up the loop."""
    watch = LoopWatch(fair=True, too_long=too_long)
    result = trio.run(main, *args, clock=clock, instruments=[*instruments, watch])
    watch.check()
    return result


class _Excuses:
    """Seconds in which this thread stood still by no fault of its task; what the kernel does not say is 0."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._thread = -1
        self._collecting = 0.0
        self._collected = 0.0
        # When the step began: how long the thread had computed and been kept from it, and a moment before, the others.
        self._ran = self._waited = 0.0
        self._others: dict[str, float] | None = None
        self._stolen: float | None = None
        self._looked = -math.inf

    def step_begins(self) -> None:
        if self._thread != (me := threading.get_native_id()):
            self.close()
            self._open(me)
        self._ran, self._waited = self._so_far()
        if (now := time.perf_counter()) - self._looked > OTHERS_SECONDS:
            self._looked, self._others, self._stolen = now, self._waits_of_others(), _stolen()

    def of_this_step(self, too_long: float) -> float:
        """What is no fault of a step that may compute for `too_long`."""
        ran, waited = self._so_far()
        if ran - self._ran >= too_long:
            return waited - self._waited
        excused, others, stolen = waited - self._waited, self._waits_of_others(), _stolen()
        if others is not None and self._others is not None:
            excused += sum(others[name] - self._others.get(name, 0.0) for name in others)
        if stolen is not None and self._stolen is not None:
            excused += max(0.0, stolen - self._stolen)
        return excused

    def close(self) -> None:
        if self._thread != -1:
            gc.callbacks.remove(self._on_collection)
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._thread = None, -1

    def _open(self, thread: int) -> None:
        self._thread = thread
        gc.callbacks.append(self._on_collection)
        with suppress(OSError):
            self._fd = os.open(f"{THREADS}/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def _so_far(self) -> tuple[float, float]:
        if self._fd is None:
            return time.thread_time(), self._collected
        ran, waited = _told(os.pread(self._fd, 96, 0))
        return ran, self._collected + waited

    def _waits_of_others(self) -> dict[str, float] | None:
        try:
            names = os.listdir(THREADS)
        except OSError:
            return None
        found: dict[str, float] = {}
        for name in names:
            if name != str(self._thread):
                with (
                    suppress(OSError),
                    open(f"{THREADS}/{name}/schedstat", "rb") as file,
                ):  # it may have ended
                    found[name] = _told(file.read())[1]
        return found

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collecting


def _told(schedstat: bytes) -> tuple[float, float]:
    ran, waited, _ = schedstat.split()
    return int(ran) / 1e9, int(waited) / 1e9


def _stolen() -> float | None:
    """For how long the host has given to others what this machine would have computed with; None: nobody tells."""
    with suppress(OSError, IndexError), open(PROCESSORS, "rb") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    return None
