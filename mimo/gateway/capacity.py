"""How much runs at once, and how much may wait: a bounded limiter for each class of work."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from mimo.errors import Busy
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


@dataclass(frozen=True, slots=True)
class Load:
    """How full one class is at this moment."""

    capacity: Capacity
    running: int
    waiting: int
    limit: Limit
    refused: int


class Places:
    """The places of one class of work. First come, first served; who finds the queue full is told so at once."""

    def __init__(self, capacity: Capacity, limit: Limit) -> None:
        if limit.running < 1 or limit.waiting < 0:
            raise ValueError(f"{capacity.value}: at least one must be able to run (got {limit})")
        self._capacity = capacity
        self._limit = limit
        self._limiter = trio.CapacityLimiter(limit.running)
        self._waiting = 0
        self._refused = 0
        self._usual = 0.05  # seconds that a call holds its place, as a moving average

    def load(self) -> Load:
        running = int(self._limiter.borrowed_tokens)
        return Load(self._capacity, running, self._waiting, self._limit, self._refused)

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place.

        Raises:
            Busy: as many as may wait are waiting already.
        """
        me = object()
        try:
            self._limiter.acquire_on_behalf_of_nowait(me)
        except trio.WouldBlock:
            await self._wait_for_one(me)
        began = trio.current_time()
        try:
            await trio.lowlevel.checkpoint()  # a call that waits for nothing must not starve the others
            yield
        finally:
            self._limiter.release_on_behalf_of(me)
            self._usual += 0.1 * (trio.current_time() - began - self._usual)

    async def _wait_for_one(self, me: object) -> None:
        if self._waiting >= self._limit.waiting:
            self._refused += 1
            raise self._full()
        self._waiting += 1
        try:
            await self._limiter.acquire_on_behalf_of(me)
        finally:
            self._waiting -= 1

    def _full(self) -> Busy:
        running, waiting = self._limit.running, self._waiting
        after = round(min(60.0, max(0.1, self._usual * (waiting + 1) / running)), 1)
        return Busy(
            f"{running} calls of this kind run and {waiting} wait; try again in {after:g} s",
            capacity=self._capacity.value,
            running=running,
            waiting=waiting,
            after=after,
        )
