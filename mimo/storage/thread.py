"""A connection's own thread, spoken to from Trio: one hop for a whole unit of work.

APSW brings a controller of its own for Trio. Ours differs in three things. Its thread is a daemon,
because a thread that is not keeps a crashed process alive for ever. It knows no deadline but
cancellation: when the worker also watches the clock, the caller of `move_on_after` sometimes gets
`TooSlowError` instead of moving on. And it does not import asyncio, which costs 40 ms.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import apsw
import outcome
import trio

# SQLite looks up after so many steps of its virtual machine: every 0.1 ms or so, for under 1 % of the time.
LOOK_UP_EVERY = 5_000


class Abandoned(BaseException):
    """Unwinds a unit of work whose caller has left. It passes `except Exception`, and nobody receives it."""


class TimeIsUp(Exception):
    """A unit of work ran longer than its thread allows."""


class _Call:
    __slots__ = ("abandoned", "answered", "result", "run")

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run
        self.answered = trio.Event()
        self.abandoned = False
        self.result: outcome.Outcome[Any] | None = None

    def __call__(self) -> Any:
        return self.run()


class ConnectionThread:
    """APSW's controller protocol: runs calls one after the other in a thread that ends with its connection.

    `seconds` bounds each call in real time, whatever clock Trio runs on, so that a reader cannot pin
    the write-ahead log. A call whose caller was cancelled does not start, or stops at the next look.
    """

    def __init__(self, name: str, *, seconds: float = math.inf) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._seconds = seconds
        self._current: _Call | None = None
        self._until = math.inf
        self._ending = threading.Lock()
        self._ended = False
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def configure(self, connection: apsw.Connection) -> None:
        connection.set_progress_handler(self._look_up, LOOK_UP_EVERY, id=self)

    async def send(self, call: Callable[[], Any]) -> Any:
        it = _Call(call)
        self._put(it)
        try:
            await it.answered.wait()
        except trio.Cancelled:
            it.abandoned = True
            raise
        assert it.result is not None
        return it.result.unwrap()

    def post(self, call: Callable[[], Any]) -> None:
        """Has `call` run after what is queued; nobody waits for it."""
        self._put(_Call(call))

    def close(self) -> None:
        """Ends the thread after what is queued. APSW calls it when the connection is closed."""
        self._calls.put(None)

    def _put(self, call: _Call) -> None:
        with self._ending:
            if self._ended:
                raise apsw.ConnectionClosedError("the connection has been closed")
            self._calls.put(call)

    def _look_up(self) -> bool:
        """SQLite's progress handler: raising ends the statement that runs."""
        if self._current is not None and self._current.abandoned:
            raise Abandoned
        if time.monotonic() > self._until:
            raise TimeIsUp
        return False

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.abandoned:
                self._current, self._until = call, time.monotonic() + self._seconds
                call.result = outcome.capture(call)
                self._current, self._until = None, math.inf
                if not self._answer(call):
                    return
            del call  # its result is not ours to keep until the next one comes
        with self._ending:  # whoever came after the end must not wait for ever
            self._ended = True
            while not self._calls.empty():
                if (late := self._calls.get()) is not None:
                    late.result = outcome.Error(apsw.ConnectionClosedError("the connection has been closed"))
                    self._answer(late)

    def _answer(self, call: _Call) -> bool:
        try:
            self._token.run_sync_soon(call.answered.set)
        except trio.RunFinishedError:
            return False  # the loop is gone: nobody waits, and nobody will ask again
        return True
