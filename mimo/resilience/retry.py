"""Ask again where that may help, not too often, and never past the deadline."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

import trio

from mimo.errors import MimoError
from mimo.resilience.failures import is_passing

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to `attempts` calls, with pauses drawn from 0 to `first`, then 0 to twice that, up to `limit` seconds.

    Full jitter: clients that failed together do not come back together. An error that says `after` how
    many seconds it may have passed is believed: the pause begins then. If that is beyond `limit`, or the
    pause would outlast the deadline, the error is raised at once.

    The function is called again as it was, so it must be harmless to do twice, or carry a key.
    """

    attempts: int = 4
    first: float = 0.1
    limit: float = 30.0
    may_retry: Callable[[Exception], bool] = is_passing
    chance: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.limit < 0:
            raise ValueError(f"attempts >= 1, first >= 0, limit >= 0 (got {self})")

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """What the function gives; if it never does, the error of the last attempt."""
        longest = min(self.first, self.limit)
        for _ in range(self.attempts - 1):
            try:
                return await function(*arguments)
            except Exception as error:
                pause = self._pause(error, longest)
                if pause is None or trio.current_time() + pause >= trio.current_effective_deadline():
                    raise
            await trio.sleep(pause)
            longest = min(2 * longest, self.limit)
        return await function(*arguments)

    def _pause(self, error: Exception, longest: float) -> float | None:
        """None: not to be tried again."""
        if not self.may_retry(error):
            return None
        after = error.details.get("after") if isinstance(error, MimoError) else None
        known = float(after) if isinstance(after, int | float) else 0.0
        if known > self.limit:
            return None
        return max(known, min(self.limit, known + self.chance.uniform(0, longest)))
