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
from mimo.tool import Answer, Report, Tool


class Ended(Protocol):
    def __call__(self, outcome: str, seconds: float, /) -> None: ...


OK, FAILED, CANCELLED = "ok", "failed", "cancelled"


class Passage:
    """What the tool reports to. It gives back the place, has the call counted, and tells `report`.

    Whoever takes the call up does so with this tool, in this place, and counts it.
    """

    __slots__ = ("_ended", "_over", "_places", "_report", "_told", "began", "recall", "tool")

    def __init__(self, tool: Tool, places: Places, ended: Ended, report: Report) -> None:
        self.tool = tool
        self.began = time.perf_counter()
        self.recall: Callable[[], None] | None = None
        self._places = places
        self._ended = ended
        self._report = report
        self._told = False
        self._over = False  # or taken up

    def over(self, came: Answer | MimoError) -> None:
        if not self._told:
            self._end(came.kind if isinstance(came, MimoError) else FAILED if came.failed else OK)
            self._report.over(came)

    def more(self) -> None:
        if not self._told:
            self._told = True
            self._report.more()

    def take_up(self) -> None:
        """Whoever does gives the place back with `leave`."""
        self._told = self._over = True

    def call_off(self) -> None:
        """Nobody waits for it any more. Nothing happens if it is over."""
        assert self.recall is not None
        self.recall()
        if not self._over:
            self._end(CANCELLED)

    def leave(self) -> float:
        seconds = time.perf_counter() - self.began
        self._places.leave(seconds)
        return seconds

    def _end(self, outcome: str) -> None:
        self._told = self._over = True
        self._ended(outcome, self.leave())
