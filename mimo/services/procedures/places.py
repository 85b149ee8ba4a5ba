"""How many runs may have something in flight at once; the others queue, the first come first."""

from __future__ import annotations

from collections.abc import Callable


class Places:
    def __init__(self, count: int, grant: Callable[[int], object]) -> None:
        """`grant` is called with the id of a run that has waited and now has a place."""
        self._free = count
        self._grant = grant
        self._holders: set[int] = set()
        self._queue: dict[int, None] = {}

    def may_have(self, id_: int) -> bool:
        """Has it a place, or is one free that nobody waits for?"""
        return id_ in self._holders or (self._free > 0 and not self._queue)

    def held_by(self, id_: int) -> bool:
        return id_ in self._holders

    def take(self, id_: int) -> None:
        if id_ not in self._holders:
            self._holders.add(id_)
            self._free -= 1

    def rename(self, old: int, new: int) -> None:
        """Who took it under another number has this one now."""
        if old in self._holders:
            self._holders.remove(old)
            self._holders.add(new)

    def leave(self, id_: int) -> None:
        """Its place goes to the first in the queue."""
        if id_ in self._holders:
            self._holders.remove(id_)
            self._free += 1
        self._hand_out()

    def queue(self, id_: int) -> None:
        if id_ not in self._holders:
            self._queue[id_] = None
            self._hand_out()

    def forget(self, id_: int) -> None:
        """It wants none any more."""
        self._queue.pop(id_, None)

    @property
    def running(self) -> int:
        return len(self._holders)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def _hand_out(self) -> None:
        while self._free > 0 and self._queue:
            id_ = next(iter(self._queue))
            del self._queue[id_]
            self.take(id_)
            self._grant(id_)
