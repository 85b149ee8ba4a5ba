"""One request to a skill: its answer, and what comes before that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import trio

from mimo.errors import InvalidArguments, MimoError, NotFound, Unavailable
from mimo.protocol.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Failure, Object
from mimo.protocol.mcp.asking import Answered, Asked, Progressed, Told
from mimo.protocol.mcp.questions import NotOffered
from mimo.protocol.mcp.terms import MISSING_CAPABILITY
from mimo.tool import Call

Note: TypeAlias = "Progressed | Told | Asked"
# What a skill tells faster than its client listens is lost.
MOST_NOTES = 100


class Refused(Unavailable):
    """The skill is there, and answered with an error."""

    kind = "skill_refused"
    retry = False


class Exchange:
    """Whoever asked waits on it, or watches it; whoever reads from the skill fills it."""

    __slots__ = (
        "_news",
        "answer",
        "began",
        "call",
        "id",
        "lost",
        "method",
        "notes",
        "pending",
        "scope",
        "watcher",
    )

    def __init__(self, number: int, method: str, call: Call | None) -> None:
        self.id = number
        self.method = method
        self.call = call
        self.began = trio.current_time()
        self.answer: Answered | None = None
        self.lost: MimoError | None = None
        self.notes: deque[Note] = deque()
        self.pending: Asked | None = None  # a question of its that its client takes time to answer
        self.scope: trio.CancelScope | None = (
            None  # of a question under way, in vain once the answer is there
        )
        self.watcher: Callable[[], None] | None = None  # is called when there is something new
        self._news: trio.Event | None = None  # of who waits

    @property
    def over(self) -> bool:
        return self.answer is not None or self.lost is not None

    def note(self, said: Note) -> bool:
        """False: there is no room for it."""
        if len(self.notes) >= MOST_NOTES:
            return False
        self.notes.append(said)
        self._tell()
        return True

    def settle(self, answer: Answered | None, lost: MimoError | None = None) -> None:
        """This is what came of it. Only the first time counts."""
        if not self.over:
            self.answer, self.lost = answer, lost
            if self.scope is not None:
                self.scope.cancel()
            self._tell()

    async def news(self) -> None:
        """Until there is something new. Whoever waits has looked at what there is."""
        if self._news is None or self._news.is_set():
            self._news = trio.Event()
        await self._news.wait()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
        if self.watcher is not None:
            self.watcher()

    async def result(self) -> Object:
        """The result. Notes on the way are dropped.

        Raises:
            Refused, InvalidArguments, NotFound: the skill says no.
            Unavailable: the skill has gone.
        """
        while not self.over:
            await self.news()
        return self.taken()

    def taken(self) -> Object:
        if self.lost is not None:
            raise self.lost
        assert self.answer is not None
        if self.answer.result is None:
            raise refusal(self.answer.failure)
        return self.answer.result


def refusal(failure: Failure | None) -> MimoError:
    """A skill's error, as ours."""
    if failure is None:
        return Refused("the skill's answer holds neither a result nor an error")
    text = failure.message[:2000] or f"error {failure.code}"
    details: Object = {"code": failure.code}
    data: Any = failure.data
    if failure.code == MISSING_CAPABILITY and isinstance(data, dict):
        return NotOffered(text, **cast("Object", data))
    if failure.data is not None:
        details["data"] = failure.data
    if failure.code == INVALID_PARAMS:
        return InvalidArguments(text, **details)
    if failure.code in (METHOD_NOT_FOUND, -32002):
        return NotFound(text, **details)
    return Refused(text, **details, done=False)


def unsent(error: MimoError) -> MimoError:
    """The same, for who was not asked because of it. Others were, and have the error itself."""
    return type(error)(error.message, **{**error.details, "done": False})
