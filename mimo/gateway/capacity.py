"""How much runs at once, and how much may wait: a bounded limiter for each class of work."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from mimo.errors import Busy
from mimo.resilience.bulkhead import Bulkhead, Load
from mimo.tool import Capacity


@dataclass(frozen=True, slots=True)
class Limit:
    running: int
    waiting: int


CORES = os.cpu_count() or 1
LIMITS: Mapping[Capacity, Limit] = {
    # Nothing is waited for, so what queues here is the loop itself.
    Capacity.LIGHT: Limit(64, 256),
    # A few readers serve these; more places keep them busy while others parse and rank.
    Capacity.READ: Limit(16, 256),
    # One commit takes up to 64 units of work, so as many writers may stand before it.
    Capacity.WRITE: Limit(64, 512),
    # More than the cores only makes each of them later.
    Capacity.COMPUTE: Limit(CORES, 64),
    # These wait for somebody else, and cost us a task.
    Capacity.OUTSIDE: Limit(32, 128),
}


class Places:
    """The places of one class of work. First come, first served; who finds the queue full is told so at once."""

    def __init__(self, capacity: Capacity, limit: Limit) -> None:
        self._bulkhead = Bulkhead(capacity.value, limit=limit.running, queue=limit.waiting)
        self._usual = 0.05  # seconds that a call holds its place, as a moving average

    @property
    def load(self) -> Load:
        return self._bulkhead.load

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place.

        Raises:
            Busy: as many as may wait are waiting already; `details["after"]` is when one may be free.
        """
        inside = False
        try:
            async with self._bulkhead:
                inside, began = True, trio.current_time()
                try:
                    yield
                finally:
                    self._usual += 0.1 * (trio.current_time() - began - self._usual)
        except Busy as busy:
            if inside:  # the handler's own
                raise
            load = self.load
            after = round(min(60.0, max(0.1, self._usual * (load.waiting + 1) / load.limit)), 1)
            message = f"{load.limit} calls of this kind run and {load.waiting} wait; try again in {after:g} s"
            raise Busy(message, **busy.details, capacity=self._bulkhead.name, after=after) from None
