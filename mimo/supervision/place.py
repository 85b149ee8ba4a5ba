"""Where one child stands at the moment: the supervisor's book-keeping, one page a child."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from mimo.supervision.child import Child, Strategy
from mimo.supervision.tree import Branch, State


class Answer:
    """What the caller of `Supervisor.add` waits for: that the child is ready, or why it is not."""

    def __init__(self) -> None:
        self.given = trio.Event()
        self.error: Exception | None = None

    def give(self, error: Exception | None = None) -> None:
        self.error = error
        self.given.set()


class Place:
    """A child's place in the order of its supervisor. It outlives the child's restarts, and the supervisor's."""

    def __init__(self, child: Child, *, answer: Answer | None = None) -> None:
        self.child = child
        self.name = child.name
        self.answer = answer  # still owed to the caller of `add`
        self.added = answer is not None
        self.gone = trio.Event()  # taken out of the order
        self.state = State.ENDED
        self.since: float | None = None
        self.starts = 0
        self.last_error: str | None = None
        self.scope = trio.CancelScope()
        self.live = False  # its task exists
        self.fated = False  # it is to be stopped
        self.leaving = False  # and then taken out
        self.in_line = False  # it has not been up in this run of the supervisor, and others wait for it
        self.due = -math.inf  # not to be started before
        self.stuck_at = math.inf  # when its grace is over
        self.falls = 0  # in a row, without having stayed up for a while between

    def line_up(self, *, in_line: bool) -> None:
        """Wait to be started with the supervisor; nothing of its former run counts."""
        self.fated, self.in_line, self.due, self.falls = False, in_line, -math.inf, 0
        self.become(State.WAITING)

    def become(self, state: State) -> None:
        self.state, self.since = state, trio.current_time()

    def give_answer(self, error: Exception | None = None) -> None:
        """Tell the caller of `add`, if there is one and it was not told."""
        if self.answer is not None:
            self.answer.give(error)
            self.answer = None

    def branch(self) -> Branch:
        inner = self.child.supervisor.tree() if self.child.supervisor is not None else None
        return Branch(
            name=self.name,
            strategy=inner.strategy if inner else None,
            state=self.state,
            restarts=max(0, self.starts - 1),
            last_error=self.last_error,
            since=self.since,
            ago=None if self.since is None else trio.current_time() - self.since,
            children=inner.children if inner else (),
        )


def who_shares_the_fate(strategy: Strategy, places: Sequence[Place], fallen: Place) -> Sequence[Place]:
    """The siblings that are stopped, and started again, with the one that fell."""
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return ()
        case Strategy.REST_FOR_ONE:
            siblings = places[places.index(fallen) + 1 :]
        case Strategy.ONE_FOR_ALL:
            siblings = [place for place in places if place is not fallen]
    return [place for place in siblings if place.state is not State.ENDED]


class Ready:
    """The task status of a child: it may say once that it is ready."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def started(self, value: object = None) -> None:
        if self._tell is None:
            raise RuntimeError("called 'started' twice on the same task status")
        tell, self._tell = self._tell, None
        tell()
