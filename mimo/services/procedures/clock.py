"""Time for timers: the wall's, but never backwards while we live."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Milliseconds since 1970. Goes with the wall when that jumps ahead (a laptop has slept: what was due is due),
    and with its own pace when the wall is set back, so that a wait of a minute does not become one of an hour.
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._at = wall()
        self._then = steady()

    def __call__(self) -> int:
        then = self._steady()
        self._at = max(self._at + then - self._then, self._wall())
        self._then = then
        return self._at // 1_000_000
