"""When something of a run is due: a heap in memory, made anew from the database at every start. Waiting costs nothing."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import trio

# The wall's clock may be set; so much later at most it is noticed.
LOOK_SECONDS = 30.0


class Timers:
    """One time for each run; `due` is called with its id when it has come."""

    def __init__(self, clock: Callable[[], int], due: Callable[[int], object]) -> None:
        self._clock = clock
        self._due = due
        self._times: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._earlier = trio.Event()

    def set(self, id_: int, at: int | None) -> None:
        """From now on this is when it is due; None: never."""
        if at is None:
            self._times.pop(id_, None)
            if not self._times:
                self._heap.clear()
        elif self._times.get(id_) != at:
            self._times[id_] = at
            first = self._heap[0][0] if self._heap else None
            heapq.heappush(self._heap, (at, id_))
            if first is None or at < first:
                self._earlier.set()
            if len(self._heap) > 64 + 4 * len(self._times):  # mostly times that have been changed since
                self._heap = [(at, id_) for id_, at in self._times.items()]
                heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._times)

    async def run(self) -> None:
        while True:
            self._earlier = trio.Event()
            now = self._clock()
            while self._heap and self._heap[0][0] <= now:
                at, id_ = heapq.heappop(self._heap)
                if self._times.get(id_) == at:
                    del self._times[id_]
                    self._due(id_)
            seconds = min((self._heap[0][0] - now) / 1000, LOOK_SECONDS) if self._heap else None
            if seconds is None:
                await self._earlier.wait()
            else:
                with trio.move_on_after(max(seconds, 0.001)):
                    await self._earlier.wait()
