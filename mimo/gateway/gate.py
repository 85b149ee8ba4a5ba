"""What stands before dispatch for those who come over the network: how often, and whether the house is overloaded.

It has dispatch's own shape, so a door does not know whether it stands there.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from mimo.errors import Unavailable
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.keys import OWNER
from mimo.gateway.rates import Rate, Rates
from mimo.tool import Answer, Call, Capacity, Report, Tool

# A queue that is longer than it was so long ago is growing.
LOOK_SECONDS = 0.5
# What else is expensive beside writing: cores, and other processes.
COSTLY = frozenset({Capacity.COMPUTE, Capacity.OUTSIDE})


class LoadGuard:
    """Says when the house has too much to do: calls have become slow *and* more of them wait than a moment ago.

    Slow calls alone may be what was asked for, and a queue alone is what a burst makes. As soon as the queue
    stops growing, everybody is let in again.
    """

    def __init__(
        self,
        p99: Callable[[], float],
        waiting: Callable[[], int],
        threshold: float,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._p99 = p99
        self._waiting = waiting
        self._threshold = threshold
        self._clock = clock
        self._looked_at = float("-inf")
        self._before = 0
        self._growing = False

    def overloaded(self) -> bool:
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            waiting = self._waiting()
            # After a long silence there is nothing to compare with.
            self._growing = now - self._looked_at < 4 * LOOK_SECONDS and waiting > self._before
            self._looked_at, self._before = now, waiting
        return self._growing and self._waiting() > 0 and self._p99() > self._threshold


class Gate:
    """Dispatch, behind the rates and the load guard."""

    def __init__(self, dispatch: Dispatch, rates: Rates, guard: LoadGuard) -> None:
        self.dispatch = dispatch
        self.rates = rates
        self._guard = guard

    async def call(self, name: str, arguments: object, call: Call, *, seconds: float | None = None) -> Answer:
        """As `Dispatch.call`; and for what writes or costs, `Busy` by rate and `Unavailable` under overload."""
        if call.began is None:  # else it was let in when it came
            self.admit(call.client.key, self.dispatch.toolbox.find(name))
        return await self.dispatch.call(name, arguments, call, seconds=seconds)

    def pass_on(self, name: str, arguments: object, call: Call, report: Report) -> Callable[[], None] | None:
        """As `Dispatch.pass_on`, for who has no rate, while the house is not overloaded."""
        if call.client.key is not None or self._guard.overloaded():
            return None
        return self.dispatch.pass_on(name, arguments, call, report)

    def admit(self, key: str | None, tool: Tool | None = None) -> None:
        """Let one costly thing in (or a tool, which may be a cheap one).

        Raises:
            Busy: this key has asked too often.
            Unavailable: the house has too much to do.
        """
        if tool is not None and not tool.writes and tool.competes_for not in COSTLY:
            return
        if self._guard.overloaded():
            raise Unavailable("mimo has too much to do at the moment; try again in 2 s", after=2.0)
        self.rates.take(key)


def gate_before(dispatch: Dispatch, rate: Rate, *, limit_owner: bool, overload_seconds: float) -> Gate:
    """What limits those who show a key; who comes over the socket shows none."""
    rates = Rates(rate, exempt=lambda key: key == OWNER and not limit_owner)

    def waiting() -> int:
        return sum(load.waiting for load in dispatch.loads().values())

    return Gate(dispatch, rates, LoadGuard(dispatch.p99, waiting, overload_seconds))
