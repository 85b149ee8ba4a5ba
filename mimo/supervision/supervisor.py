"""Keep some long-lived tasks running, in order, and give up honestly when they cannot be kept.

One loop decides everything. Children's tasks only leave notes ("ready", "ended"); callers of
`add` and `remove` only mark a place. Then the loop wakes, reads the notes, and does all that can be
done at once: cancel what is to stop, start what is due. It waits for news or for the next due
time, never for one particular child. So a child in a long backoff, one that is slow to start
and one that is slow to stop hold up nobody but those that depend on them, and an ending may
arrive at any moment without being missed.

A plain nursery cancels all its tasks at once, while we want the doors shut before the database
behind them. So every child has a scope that is shielded from the supervisor's own
cancellation, and is cancelled by name when its turn has come.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import trio

from mimo.errors import Busy, Conflict, NotFound, Unavailable
from mimo.supervision.child import Backoff, Child, Restart, Strategy
from mimo.supervision.endings import TooManyRestarts, describe, log_ending, only
from mimo.supervision.events import Ended, GaveUp, Refused, Restarting, Started, Stuck, SupervisionEvent
from mimo.supervision.place import Answer, Place, Ready, who_shares_the_fate
from mimo.supervision.tree import Branch, State

log = logging.getLogger(__name__)


class Supervisor:
    """Runs children, restarts those that fall, and stops them in reverse order.

    More than `max_restarts` falls within `within` seconds are too many: then all children are
    stopped and `run` raises `TooManyRestarts`. A child that stayed up for `within` seconds starts its
    backoff from the beginning. `limit` is the most children there may be.

    `on_event` is called in the supervisor's task for all that happens; it must neither wait nor raise.
    """

    def __init__(
        self,
        name: str,
        children: Iterable[Child] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Backoff | None = None,
        limit: int | None = None,
        on_event: Callable[[SupervisionEvent], None] | None = None,
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.limit = limit
        self.refused = 0  # children that `add` turned away
        self._places = [Place(child) for child in children]
        names = [place.name for place in self._places]
        if len(set(names)) < len(names):
            raise ValueError(f"{name}: two children have the same name: {sorted(names)}")
        if limit is not None and len(names) > limit:
            raise ValueError(f"{name}: {len(names)} children, and the limit is {limit}")
        if max_restarts < 0 or within <= 0:
            raise ValueError(f"{name}: max_restarts >= 0 and within > 0 (got {max_restarts}, {within})")
        self._max_restarts, self._within = max_restarts, within
        self._backoff = backoff if backoff is not None else Backoff()
        self._on_event = on_event
        self._state, self._runs = State.ENDED, 0
        self._since: float | None = None
        self._last_error: str | None = None
        self._falls: deque[float] = deque()
        self._verdict: TooManyRestarts | None = None
        self._nursery: trio.Nursery | None = None
        self._notes: deque[Callable[[], None]] = deque()
        self._news = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[Supervisor] = trio.TASK_STATUS_IGNORED) -> None:
        """Supervise until cancelled, also when no child is left. Says started when every child has been up once.

        It may be run again after it has ended; children that were added since stay its children.
        On cancellation the children are stopped one after the other, the last first.

        Raises:
            TooManyRestarts: plain, never in a group.
        """
        if self._nursery is not None:
            raise RuntimeError(f"{self.name} runs already")
        self._verdict, self._runs = None, self._runs + 1
        self._falls.clear()
        self._become(State.STARTING)
        for place in self._places:
            place.line_up(in_line=not (place.added and self.strategy is Strategy.ONE_FOR_ONE))
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    await self._keep(task_status)
                finally:
                    # No deadline here: each child has its grace, and none can be left behind anyway.
                    with trio.CancelScope(shield=True):
                        await self._stop()
        finally:
            self._nursery = None
            self._tidy_up()
        if self._verdict is not None:
            raise self._verdict

    async def add(self, child: Child) -> None:
        """One more child, last in the order; waits until it is ready.

        A child that ends before it was ready is not kept and costs no restart: its error is raised
        here. Nor is it kept when this call is cancelled. Once it was ready, it is a child like the others.

        Raises:
            Busy: there are `limit` children already. It is counted in `refused`.
            Conflict: there is one of this name, or it was removed before it was ready.
            Unavailable: the supervisor does not run, or stopped before the child was ready.
        """
        if self._nursery is None or self._state is State.STOPPING:
            raise Unavailable(f"{self.name} is not running, so {child.name} cannot be started")
        if any(place.name == child.name for place in self._places):
            raise Conflict(f"{self.name} already has a child named {child.name}; remove it first")
        if self.limit is not None and len(self._places) >= self.limit:
            self.refused += 1
            self._tell(Refused(self.name, child.name, self.limit))
            raise Busy(
                f"{self.name} has {len(self._places)} children, and may have {self.limit}; remove one first",
                running=len(self._places),
                limit=self.limit,
            )
        answer = Answer()
        place = Place(child, answer=answer)
        place.line_up(in_line=False)
        self._places.append(place)
        self._wake()
        try:
            await answer.given.wait()
        except trio.Cancelled:
            self._dismiss(place)
            raise
        if answer.error is not None:
            raise answer.error

    async def remove(self, name: str) -> None:
        """Stop one child and forget it; waits until it has ended. If cancelled, the child is stopped all the same.

        Raises:
            NotFound: there is no child of this name.
        """
        for place in self._places:
            if place.name == name:
                self._dismiss(place)
                await place.gone.wait()
                return
        existing = ", ".join(place.name for place in self._places) or "none"
        raise NotFound(f"{self.name} has no child named {name}; existing: {existing}")

    def tree(self) -> Branch:
        """Who runs at the moment. To be asked in Trio's thread; costs microseconds a child."""
        return Branch(
            name=self.name,
            strategy=self.strategy.value,
            state=self._state,
            restarts=max(0, self._runs - 1),
            last_error=self._last_error,
            since=self._since,
            ago=None if self._since is None else trio.current_time() - self._since,
            children=tuple(place.branch() for place in self._places),
        )

    def as_child(self, *, restart: Restart = Restart.PERMANENT, grace: float = math.inf) -> Child:
        """This supervisor as a child of another. It names its own stuck children, so it has all the time it needs."""
        return Child(self.name, self.run, restart=restart, grace=grace, supervisor=self)

    # The loop

    async def _keep(self, task_status: trio.TaskStatus[Supervisor] = trio.TASK_STATUS_IGNORED) -> None:
        """Until we are stopping and nobody is left."""
        while True:
            self._news = trio.Event()
            while self._notes:
                self._notes.popleft()()
            self._stop_whose_turn_it_is()
            if self._state is State.STOPPING:
                if not any(place.live for place in self._places):
                    return
            else:
                self._start_whose_turn_it_is()
                if self._state is State.STARTING and not any(place.in_line for place in self._places):
                    self._become(State.RUNNING)
                    task_status.started(self)
            with trio.move_on_at(self._next_time()):
                await self._news.wait()

    async def _stop(self) -> None:
        self._begin_to_stop()
        try:
            await self._keep()
        finally:
            # Only an exception that is not ours (a listener's, a KeyboardInterrupt) leaves anybody
            # running here; without order, but without hanging either.
            for place in self._places:
                place.scope.cancel()

    def _stop_whose_turn_it_is(self) -> None:
        somebody_stops = False
        for place in reversed(self._places):
            if not (place.live and place.fated):
                continue
            if somebody_stops and not self._is_loose(place):
                return
            somebody_stops = True
            if place.state is not State.STOPPING:
                place.become(State.STOPPING)
                place.stuck_at = trio.current_time() + place.child.grace
                place.scope.cancel()
            elif trio.current_time() >= place.stuck_at:
                place.stuck_at = math.inf
                log.critical(
                    "%s/%s was cancelled %g s ago; waiting on", self.name, place.name, place.child.grace
                )
                self._tell(Stuck(self.name, place.name, place.child.grace))

    def _start_whose_turn_it_is(self) -> None:
        ordered = self.strategy is not Strategy.ONE_FOR_ONE
        if ordered and any(place.live and place.fated for place in self._places):
            return  # first everybody down, then up again in order
        somebody_is_awaited = False
        for place in self._places:
            has_predecessors = ordered or place.in_line
            is_free = not (has_predecessors and somebody_is_awaited)
            if place.state is State.WAITING and is_free and place.due <= trio.current_time():
                self._start(place)
            if place.state in (State.WAITING, State.STARTING) and has_predecessors:
                somebody_is_awaited = True

    def _is_loose(self, place: Place) -> bool:
        """Whether it stops without regard to the others: removed alone, or added where no order is kept."""
        return self.strategy is Strategy.ONE_FOR_ONE and (place.added or self._state is not State.STOPPING)

    def _next_time(self) -> float:
        """When something is to be done even without news."""
        now = trio.current_time()
        times = [place.due for place in self._places if place.state is State.WAITING]
        times += [place.stuck_at for place in self._places if place.state is State.STOPPING]
        return min((time for time in times if time > now), default=math.inf)

    # A child's life

    def _start(self, place: Place) -> None:
        assert self._nursery is not None
        place.become(State.STARTING)
        place.starts += 1
        place.live, place.scope = True, trio.CancelScope(shield=True)
        self._nursery.start_soon(self._attend, place, name=f"{self.name}/{place.name}")

    async def _attend(self, place: Place) -> None:
        error: Exception | None = None
        tell = partial(self._note, partial(self._ready, place, place.scope))
        try:
            with place.scope:
                if not place.scope.cancel_called:  # before its task had its first turn
                    await place.child.run(task_status=Ready(tell))
        except Exception as caught:
            error = only(caught)
        finally:
            asked = place.scope.cancel_called
            self._note(lambda: self._ended(place, error, asked=asked))

    def _ready(self, place: Place, scope: trio.CancelScope) -> None:
        if place.state is State.STARTING and place.scope is scope:
            place.become(State.RUNNING)
            place.in_line = False
            place.give_answer()
            self._tell(Started(self.name, place.name, place.starts - 1))

    def _ended(self, place: Place, error: Exception | None, *, asked: bool) -> None:
        was_up_since = place.since if place.state is State.RUNNING else None
        was_fated, place.fated = place.fated, False
        place.live, place.stuck_at = False, math.inf
        restart = place.child.restart
        if error is not None:
            place.last_error = describe(error)
        log_ending(f"{self.name}/{place.name}", restart, error, asked=asked)
        self._tell(Ended(self.name, place.name, asked, describe(error)))
        done = restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and error is None and not asked)
        if place.leaving:
            self._take_out(place)
        elif place.answer is not None and not asked:
            self._take_out(place, error or Unavailable(f"{place.name} ended before it was ready to serve"))
        elif self._state is State.STOPPING:
            place.become(State.ENDED)
        elif done:
            place.in_line = False
            place.become(State.ENDED)
            if place.added and restart is Restart.TEMPORARY:
                self._take_out(place, Unavailable(f"{place.name} was stopped before it was ready"))
        elif asked or was_fated:  # a sibling's fall, already counted
            place.become(State.WAITING)
        else:
            self._fell(place, error, was_up_since)

    def _fell(self, place: Place, error: Exception | None, was_up_since: float | None) -> None:
        now = trio.current_time()
        place.become(State.WAITING)
        self._falls.append(now)
        while self._falls[0] <= now - self._within:
            self._falls.popleft()
        if len(self._falls) > self._max_restarts:
            self._give_up(place, error)
            return
        if was_up_since is not None and now - was_up_since >= self._within:
            place.falls = 0
        place.falls += 1
        delay = self._backoff.delay(place.falls)
        siblings = who_shares_the_fate(self.strategy, self._places, place)
        for one in (place, *siblings):
            one.due = max(one.due, now + delay)
            one.fated = one.live
        names = tuple(sibling.name for sibling in siblings)
        self._tell(Restarting(self.name, place.name, delay, names, describe(error)))

    def _give_up(self, place: Place, error: Exception | None) -> None:
        message = (
            f"{self.name}: {place.name} was the last of {len(self._falls)} falls within {self._within:g} s "
            f"(at most {self._max_restarts}): {describe(error) or 'it returned'}"
        )
        self._verdict = TooManyRestarts(message)
        self._verdict.__cause__ = error
        self._last_error = message
        log.critical("%s; stopping its siblings and giving up", message)
        self._tell(GaveUp(self.name, place.name, len(self._falls), self._within, describe(error)))
        self._begin_to_stop()

    # Marks and notes

    def _begin_to_stop(self) -> None:
        if self._state is not State.STOPPING:
            self._become(State.STOPPING)
        for place in list(self._places):
            place.fated = place.live
            if place.answer is not None:
                place.leaving = True
                place.give_answer(Unavailable(f"{self.name} stopped before {place.name} was ready"))
            if not place.live:
                if place.leaving:
                    self._take_out(place)
                elif place.state is not State.ENDED:
                    place.become(State.ENDED)

    def _tidy_up(self) -> None:
        """After the last task has ended. There is something to do only if a listener raised."""
        self._notes.clear()
        for place in list(self._places):
            place.live = False
            if place.leaving:
                self._take_out(place)
        self._become(State.ENDED)

    def _dismiss(self, place: Place) -> None:
        place.leaving = True
        place.give_answer(Conflict(f"{place.name} was removed before it was ready"))
        if place.live:
            place.fated = True
            self._wake()
        else:
            self._take_out(place)

    def _take_out(self, place: Place, error: Exception | None = None) -> None:
        place.give_answer(error)
        place.become(State.ENDED)
        if place in self._places:
            self._places.remove(place)
        place.gone.set()
        self._wake()

    def _become(self, state: State) -> None:
        self._state, self._since = state, trio.current_time()

    def _note(self, note: Callable[[], None]) -> None:
        self._notes.append(note)
        self._wake()

    def _wake(self) -> None:
        self._news.set()

    def _tell(self, event: SupervisionEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)
