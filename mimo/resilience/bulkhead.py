"""Let a few in at once, let a few wait, and turn the others away at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar, TypeVarTuple

import trio

from mimo.errors import Busy

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Load:
    """How full a bulkhead is, and how many it has let in and turned away since it was made."""

    running: int
    limit: int
    waiting: int
    queue: int
    entered: int
    refused: int


class Bulkhead:
    """`async with bulkhead:` holds one of `limit` places; at most `queue` callers wait for one, first come, first served.

    Raises:
        Busy: the queue is full, with the numbers in `details`.
    """

    def __init__(self, name: str, *, limit: int, queue: int) -> None:
        if limit < 1 or queue < 0:
            raise ValueError(f"{name}: limit >= 1, queue >= 0 (got {limit}, {queue})")
        self.name = name
        self._limit, self._queue = limit, queue
        self._places = trio.Semaphore(limit, max_value=limit)  # hands a free place to who waited longest
        self._entered = self._refused = 0

    @property
    def load(self) -> Load:
        return Load(
            running=self._limit - self._places.value,
            limit=self._limit,
            waiting=self._places.statistics().tasks_waiting,
            queue=self._queue,
            entered=self._entered,
            refused=self._refused,
        )

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        async with self:
            return await function(*arguments)

    def enter_now(self) -> bool:
        """Take a place if one is free; who has one gives it back with `leave`."""
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            return False
        self._entered += 1
        return True

    def leave(self) -> None:
        self._places.release()

    async def __aenter__(self) -> None:
        """A free place is taken without a turn of the loop."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.enter_now():
            await self._queue_up()
            self._entered += 1

    async def _queue_up(self) -> None:
        load = self.load
        if load.waiting >= load.queue:
            self._refused += 1
            raise Busy(
                f"{self.name} is full: {load.running} of {load.limit} running, {load.waiting} of {load.queue} waiting; "
                "try again later",
                running=load.running,
                limit=load.limit,
                waiting=load.waiting,
                queue=load.queue,
            )
        await self._places.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
