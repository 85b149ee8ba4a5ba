"""Stop asking somebody who keeps failing, and find out carefully when they are back."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar, TypeVarTuple

import trio

from mimo.errors import Unavailable
from mimo.resilience.failures import is_failure

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class BreakerState(enum.Enum):
    CLOSED = "closed"  # all calls pass
    OPEN = "open"  # none does
    HALF_OPEN = "half_open"  # a few do, on trial


class Turn(enum.Enum):
    """What changes the state."""

    TRIPPED = "tripped"  # so many failures in a row
    RESTED = "rested"  # open for long enough
    RECOVERED = "recovered"  # so many trials succeeded
    RELAPSED = "relapsed"  # a trial failed


TRANSITIONS = {
    BreakerState.CLOSED: {Turn.TRIPPED: BreakerState.OPEN},
    BreakerState.OPEN: {Turn.RESTED: BreakerState.HALF_OPEN},
    BreakerState.HALF_OPEN: {Turn.RECOVERED: BreakerState.CLOSED, Turn.RELAPSED: BreakerState.OPEN},
}

# A trial is on its way and its outcome decides; one second is a guess at how long it takes.
AFTER_A_TRIAL = 1.0


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    breaker: str
    turn: Turn
    before: BreakerState
    after: BreakerState


class Breaker:
    """Opens after `failures` failures in a row; `rest` seconds later it lets trial calls pass.

    At most `trials` of them at once; when as many have succeeded it closes, when one fails it opens
    again. A call's outcome counts only in the state in which the call began: one that was sent
    before the breaker opened neither opens it again nor closes it.

    What counts as a failure `counts` says. Any other error, and cancellation, is as if the call had
    not been made. `on_change` is called at once for every change of state; it must neither wait nor raise.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        rest: float = 60.0,
        trials: int = 3,
        counts: Callable[[Exception], bool] = is_failure,
        on_change: Callable[[BreakerChanged], None] | None = None,
    ) -> None:
        if failures < 1 or trials < 1 or rest < 0:
            raise ValueError(
                f"{name}: failures >= 1, trials >= 1, rest >= 0 (got {failures}, {trials}, {rest})"
            )
        self.name = name
        self.refused = 0  # calls that were not let through
        self._failures, self._rest, self._trials = failures, rest, trials
        self._counts, self._on_change = counts, on_change
        self._state = BreakerState.CLOSED
        self._epoch = 0  # counts changes of state; an outcome from an older one says nothing any more
        self._failed = self._succeeded = self._on_trial = 0
        self._opened_at = 0.0

    @property
    def state(self) -> BreakerState:
        """As of the last call: an open breaker becomes half-open when somebody asks."""
        return self._state

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """What the function gives, or its error.

        Raises:
            Unavailable: it was not asked; `details["after"]` says in how many seconds it may be.
        """
        with self.attempt():
            return await function(*arguments)

    def attempt(self, epoch: int | None = None) -> Attempt:
        """The same for a block: `with breaker.attempt(): ...`. `epoch` is of one that was let through already."""
        return Attempt(self, epoch)

    def admit(self) -> int:
        """Let a call through, and give what `over` wants to know of it.

        Raises:
            Unavailable: it is not let through.
        """
        if self._state is BreakerState.OPEN:
            after = self._opened_at + self._rest - trio.current_time()
            if after > 0:
                self._refuse(f"{self.name} keeps failing and is left alone for another {after:.1f} s", after)
            self._turn(Turn.RESTED)
        if self._state is BreakerState.HALF_OPEN:
            if self._on_trial >= self._trials:
                self._refuse(
                    f"{self.name} has failed and is being tried; try again in a moment", AFTER_A_TRIAL
                )
            self._on_trial += 1
        return self._epoch

    def over(self, epoch: int, error: BaseException | None) -> None:
        """What came of a call that was let through: nothing went wrong, or this."""
        if error is None:
            self._count(epoch, success=True)
        else:
            failed = isinstance(error, Exception) and self._counts(error)
            self._count(epoch, success=False if failed else None)

    def _count(self, epoch: int, *, success: bool | None) -> None:
        if epoch != self._epoch:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._on_trial -= 1
            if success is False:
                self._turn(Turn.RELAPSED)
            elif success:
                self._succeeded += 1
                if self._succeeded >= self._trials:
                    self._turn(Turn.RECOVERED)
        elif success:
            self._failed = 0
        elif success is False:
            self._failed += 1
            if self._failed >= self._failures:
                self._turn(Turn.TRIPPED)

    def _turn(self, turn: Turn) -> None:
        before, self._state = self._state, TRANSITIONS[self._state][turn]
        self._epoch += 1
        self._failed = self._succeeded = self._on_trial = 0
        if self._state is BreakerState.OPEN:
            self._opened_at = trio.current_time()
        if self._on_change is not None:
            self._on_change(BreakerChanged(self.name, turn, before, self._state))

    def _refuse(self, message: str, after: float) -> None:
        self.refused += 1
        raise Unavailable(message, after=after, done=False)


class Attempt:
    """One call, as a block. Written out, because every call of a skill goes through it."""

    __slots__ = ("_breaker", "_epoch")

    def __init__(self, breaker: Breaker, epoch: int | None) -> None:
        self._breaker = breaker
        self._epoch = epoch

    def __enter__(self) -> None:
        if self._epoch is None:
            self._epoch = self._breaker.admit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._epoch is not None:
            self._breaker.over(self._epoch, error)
