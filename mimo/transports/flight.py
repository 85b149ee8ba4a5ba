"""One call of a peer that no task of ours runs: in flight from its request to its answer, or until a task takes it up."""

from __future__ import annotations

import time
from collections.abc import Callable

from mimo.errors import MimoError
from mimo.gateway.sessions import Request
from mimo.protocol.jsonrpc import Object
from mimo.protocol.mcp import results
from mimo.protocol.mcp.events import Work
from mimo.tool import Answer


class Flight:
    """What dispatch reports to. `landed` gets the result or the error, None if it was called off; `taken_up` starts a task."""

    __slots__ = ("_landed", "_off", "_taken_up", "began", "request", "work")

    def __init__(
        self,
        work: Work,
        request: Request,
        landed: Callable[[Flight, Object | MimoError | None], None],
        taken_up: Callable[[Flight], None],
    ) -> None:
        self.work = work
        self.request = request
        self.began = time.perf_counter()
        self._landed = landed
        self._taken_up = taken_up
        self._off: Callable[[], None] | None = None

    def begin(self, off: Callable[[], None]) -> None:
        self._off = off
        self.request.begin(self.cancel)

    def over(self, came: Answer | MimoError) -> None:
        self.request.end()
        self._landed(self, came if isinstance(came, MimoError) else results.called(came))

    def more(self) -> None:
        self.request.off = None  # what cancels it from here on is its scope
        self._taken_up(self)

    def cancel(self) -> None:
        """The client does not want the answer any more, or is gone."""
        self.withdraw()
        self.request.end()
        self._landed(self, None)

    def withdraw(self) -> None:
        """Nothing that it has begun goes on. Nothing happens if it is over."""
        if self._off is not None:
            self._off()
