"""Calls through a skill that no task of ours runs: whoever reads the answer from the skill tells it on.

As soon as the skill says anything but the answer, a task takes the call up, and `forward` goes on with the exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mimo.errors import MimoError
from mimo.protocol.jsonrpc import Object
from mimo.resilience import Breaker, BreakerState
from mimo.services.skills.exchange import Exchange
from mimo.services.skills.forwarding import NOTE, begin, said_to
from mimo.services.skills.link import Link
from mimo.tool import Call, JsonObject


class Outcome(Protocol):
    """To whom is said what came of a call."""

    def over(self, came: Object | MimoError, /) -> None: ...
    def more(self) -> None: ...


class Passing:
    """`ended` hears of what came before the outcome does, and of nothing when a task takes the call up."""

    __slots__ = ("_ended", "_outcome", "epoch", "exchange", "link")

    def __init__(
        self,
        link: Link,
        exchange: Exchange,
        epoch: int,
        ended: Callable[[Object | MimoError], None],
        outcome: Outcome,
    ) -> None:
        self.link = link
        self.exchange = exchange
        self.epoch = epoch  # of the breaker that let it through
        self._ended = ended
        self._outcome = outcome
        exchange.watcher = self._news

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self.exchange.watcher = None
        self.link.give_up(self.exchange)

    def _news(self) -> None:
        exchange = self.exchange
        exchange.watcher = None
        if exchange.over:  # and nothing came before, or it would have been taken up
            try:
                came: Object | MimoError = exchange.taken()
            except MimoError as error:
                came = error
            if isinstance(came, MimoError) or came.get("resultType", "complete") == "complete":
                self._ended(came)
                self._outcome.over(came)
                return
        self._outcome.more()


class Passings:
    """Those of one skill that are not over, by the ids of their calls."""

    def __init__(
        self, breaker: Breaker, ended: Callable[[JsonObject, Call, Object | MimoError], None]
    ) -> None:
        self._breaker = breaker
        self._ended = ended
        self._open: dict[str, Passing] = {}

    def take_up(self, call: Call) -> Passing | None:
        """The one that was begun for this call, if one was. Whoever takes it up is who gives it up.

        A call of another door may have the same id, but was not begun before.
        """
        return None if call.began is None else self._open.pop(call.id, None)

    def begin(
        self, link: Link, params: JsonObject, call: Call, outcome: Outcome
    ) -> Callable[[], None] | None:
        """Send a tool's call, and give what calls it off. None: nothing was sent; it takes more than that, or cannot be."""
        if self._breaker.state is not BreakerState.CLOSED or call.outlet.kept(NOTE) is not None:
            return None
        epoch = self._breaker.admit()
        try:
            exchange = begin(link, "tools/call", said_to(params, call), call)
        except MimoError:
            return None

        def ended(came: Object | MimoError) -> None:
            del self._open[call.id]
            self._breaker.over(epoch, came if isinstance(came, MimoError) else None)
            self._ended(params, call, came)

        def stop() -> None:
            if self._open.pop(call.id, None) is not None:
                passing.stop()

        self._open[call.id] = passing = Passing(link, exchange, epoch, ended, outcome)
        return stop
