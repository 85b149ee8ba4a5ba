"""How much runs at once, and how much may wait: a bounded limiter for each class of work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

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

    def place(self) -> Place:
        """`async with places.place():` holds a place.

        Raises:
            Busy: as many as may wait are waiting already; `details["after"]` is when one may be free.
        """
        return Place(self)

    async def enter(self) -> None:
        try:
            await self._bulkhead.__aenter__()
        except Busy as busy:
            load = self.load
            after = round(min(60.0, max(0.1, self._usual * (load.waiting + 1) / load.limit)), 1)
            message = f"{load.limit} calls of this kind run and {load.waiting} wait; try again in {after:g} s"
            raise Busy(message, **busy.details, capacity=self._bulkhead.name, after=after) from None

    def enter_now(self) -> bool:
        """Take a place if one is free, to be given back with `leave`."""
        return self._bulkhead.enter_now()

    def leave(self, seconds: float) -> None:
        """Give a place back that was held for so long."""
        self._usual += 0.1 * (seconds - self._usual)
        self._bulkhead.leave()


class Place:
    """Written out, because every call of every tool goes through it."""

    __slots__ = ("_began", "_places")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._began = 0.0

    async def __aenter__(self) -> None:
        await self._places.enter()
        self._began = trio.current_time()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.leave(trio.current_time() - self._began)
