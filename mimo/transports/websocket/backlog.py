"""What waits to be sent over one WebSocket: bounded, and what matters least is left out first."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

MOST_MESSAGES = 256
MOST_BYTES = 1024 * 1024


class Weight(enum.Enum):
    """What a message is worth to who waits for it."""

    THOUGHT = 0  # said on the way; the next one replaces it
    NEWS = 1  # can be read elsewhere
    RESULT = 2  # nobody says it again


@dataclass(frozen=True, slots=True)
class Lost:
    """What was left out since it was last told."""

    thoughts: int
    news: int


class Backlog:
    """First in, first out; but when it is full the oldest thought goes, then the oldest news, never a result.

    One message may be larger than all the room there is, if nothing but it waits.
    """

    def __init__(self, messages: int = MOST_MESSAGES, size: int = MOST_BYTES) -> None:
        self._messages = messages
        self._most = size
        self._waiting: dict[int, tuple[str, Weight, int]] = {}
        self._by_weight: dict[Weight, deque[int]] = {weight: deque() for weight in Weight}
        self._next = 0
        self._lost = {Weight.THOUGHT: 0, Weight.NEWS: 0}
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def crowded(self) -> bool:
        """Half full: time to ask for no more."""
        return len(self._waiting) > self._messages // 2 or self.size > self._most // 2

    def put(self, text: str, weight: Weight) -> bool:
        """False: there is no room for a result, and the reader has to be given up."""
        size = len(text) if text.isascii() else len(text.encode())
        while self._waiting and (len(self._waiting) >= self._messages or self.size + size > self._most):
            if not self._leave_one_out(weight):
                if weight is Weight.RESULT:
                    return False
                self._lost[weight] += 1
                return True
        self._waiting[self._next] = text, weight, size
        self._by_weight[weight].append(self._next)
        self._next += 1
        self.size += size
        return True

    def take(self) -> str | None:
        """The oldest message; None when there is none."""
        if not self._waiting:
            return None
        return self._remove(next(iter(self._waiting)))

    def take_lost(self) -> Lost | None:
        """What was left out, to be told once."""
        if not any(self._lost.values()):
            return None
        lost = Lost(self._lost[Weight.THOUGHT], self._lost[Weight.NEWS])
        self._lost = {Weight.THOUGHT: 0, Weight.NEWS: 0}
        return lost

    def _leave_one_out(self, for_the_sake_of: Weight) -> bool:
        for weight in (Weight.THOUGHT, Weight.NEWS):
            if weight.value <= for_the_sake_of.value and self._by_weight[weight]:
                self._remove(self._by_weight[weight][0])
                self._lost[weight] += 1
                return True
        return False

    def _remove(self, number: int) -> str:
        text, weight, size = self._waiting.pop(number)
        left = self._by_weight[weight].popleft()  # the oldest of all is the oldest of its weight
        assert left == number
        self.size -= size
        return text
