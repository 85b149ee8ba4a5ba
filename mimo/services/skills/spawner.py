"""A thread that starts processes, and lives as long as any of them.

Starting one holds up whoever does it until the new process has got a core. In a worker thread it would not hold up
the loop; but workers come and go, and the kernel ends a process that is bound to our life with the *thread* that started it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from subprocess import Popen

import outcome
import trio

Work = Callable[[], "Popen[bytes]"]


class Spawner:
    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] | None = None
        self._living = 0

    async def start(self, work: Work) -> Popen[bytes]:
        """What the work gives, or raises. Not to be cancelled: a process that nobody knows of would be left."""
        token, done = trio.lowlevel.current_trio_token(), trio.Event()
        results = list[outcome.Outcome[Popen[bytes]]]()

        def job() -> None:
            results.append(outcome.capture(work))
            token.run_sync_soon(done.set)

        self._living += 1
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_run, args=(self._jobs,), name="spawner", daemon=True).start()
        self._jobs.put(job)
        await done.wait()
        if isinstance(results[0], outcome.Error):
            self.ended()
        return results[0].unwrap()

    def ended(self) -> None:
        """One of the processes has ended, and was reaped."""
        self._living -= 1
        if not self._living and self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


def _run(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while job := jobs.get():
        job()
