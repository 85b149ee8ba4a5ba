"""A call on its way to somebody else and back, without a task of ours that waits for it.

Whoever brings the answer hands it on in the same turn of the loop: on a short call the task, its scopes and its
turns would cost more than all the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from mimo.errors import MimoError
from mimo.gateway.capacity import Places
from mimo.tool import Answer, Report


class Ended(Protocol):
    def __call__(self, outcome: str, seconds: float, /) -> None: ...


OK, FAILED, CANCELLED = "ok", "failed", "cancelled"


class Passage:
    """What the tool reports to. It gives back the place, has the call counted, and tells `report`."""

    __slots__ = ("_ended", "_over", "_places", "_report", "began", "recall")

    def __init__(self, places: Places, ended: Ended, report: Report) -> None:
        self.began = time.perf_counter()
        self.recall: Callable[[], None] | None = None
        self._places = places
        self._ended = ended
        self._report = report
        self._over = False

    def over(self, came: Answer | MimoError) -> None:
        if not self._over:
            self._end(came.kind if isinstance(came, MimoError) else FAILED if came.failed else OK)
            self._report.over(came)

    def more(self) -> None:
        """The call is not counted here: whoever takes it up does."""
        if not self._over:
            self._leave()
            self._report.more()

    def call_off(self) -> None:
        """Nobody waits for it any more. Nothing happens if it is over."""
        assert self.recall is not None
        self.recall()
        if not self._over:
            self._end(CANCELLED)

    def _end(self, outcome: str) -> None:
        self._ended(outcome, self._leave())

    def _leave(self) -> float:
        self._over = True
        seconds = time.perf_counter() - self.began
        self._places.leave(seconds)
        return seconds
