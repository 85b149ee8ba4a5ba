"""Who holds up the event loop: every step of a task that takes longer than 50 ms is counted and named.

In the daemon a `LoopWatch` is given to `trio.run`. In tests `run_watched` fails whoever holds up the loop; a
conftest.py hands it to pytest-trio, before that marks the tests itself:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
                item.add_marker(pytest.mark.trio(run=run_watched))
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

# A person notices a tenth of a second, and a call may meet two steps.
TOO_LONG = 0.05
KEPT = 20

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

    With `fair`, the time in which the thread was ready but another process had the core does not count. That
    costs a system call a step, and is for tests on a busy machine.
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
        self._queued = _RunQueue() if fair else None
        self._queued_before = 0.0
        self._before = (
            math.inf
        )  # when the last step ended or the loop woke; this hook is half the price of two

    def after_io_wait(self, timeout: float) -> None:
        if self._queued is not None:
            self._queued_before = self._queued.waited()
        self._before = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        now = time.perf_counter()
        if now - self._before >= self._too_long:
            self._look_closer(task, now - self._before)
        if self._queued is not None:
            self._queued_before = self._queued.waited()
            now = time.perf_counter()
        self._before = now

    def after_run(self) -> None:
        if self._queued is not None:
            self._queued.close()

    def check(self) -> None:
        """Raises `LoopHeldUp` when there was a stall."""
        if self.stalls:
            told = ", ".join(f"{stall.task} took {stall.seconds * 1000:.0f} ms" for stall in self.stalls)
            raise LoopHeldUp(f"{self.count} steps held up the loop: {told}")

    def _look_closer(self, task: trio.lowlevel.Task, seconds: float) -> None:
        if self._queued is not None:
            seconds -= self._queued.waited() - self._queued_before
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
) -> T:
    """`trio.run`, and a `LoopHeldUp` at its end when a task held up the loop."""
    watch = LoopWatch(fair=True)
    result = trio.run(main, *args, clock=clock, instruments=[*instruments, watch])
    watch.check()
    return result


class _RunQueue:
    """How long this thread has been ready without a core, in seconds; 0 where the kernel does not say."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._thread = -1

    def waited(self) -> float:
        if self._thread != (me := threading.get_native_id()):
            self.close()
            self._open(me)
        if self._fd is None:
            return 0.0
        return int(os.pread(self._fd, 96, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._thread = None, -1

    def _open(self, thread: int) -> None:
        self._thread = thread
        try:
            self._fd = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = None
