"""Which query waits for which: a bounded number run, and of those that wait the most urgent is next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from mimo.errors import Busy
from mimo.protocol.synapse import Priority


@dataclass(order=True, slots=True)
class _Waiting:
    priority: Priority
    number: int
    called: trio.Event = field(compare=False, default_factory=trio.Event)
    gone: bool = field(compare=False, default=False)


class Lanes:
    """As many places as queries may run at once. Within one priority it is first come, first served."""

    def __init__(self, places: int, waiting: int) -> None:
        self._free = places
        self._most = waiting
        self._queue: list[_Waiting] = []
        self._numbers = itertools.count()
        self.waiting = 0

    @asynccontextmanager
    async def place(self, priority: Priority) -> AsyncGenerator[None]:
        """Holds a place. Raises: Busy: as many as may wait are waiting."""
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: Priority) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._free:
            self._free -= 1
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        if self.waiting >= self._most:
            raise Busy(f"{self._most} queries wait already; try again in a second", after=1.0)
        me = _Waiting(priority, next(self._numbers))
        heapq.heappush(self._queue, me)
        self.waiting += 1
        try:
            await me.called.wait()
        except trio.Cancelled:
            if me.called.is_set():
                self._leave()
            else:
                me.gone = True
                self.waiting -= 1
            raise

    def _leave(self) -> None:
        while self._queue:
            first = heapq.heappop(self._queue)
            if not first.gone:
                self.waiting -= 1
                first.called.set()
                return
        self._free += 1
