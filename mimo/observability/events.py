"""Typed events: published without waiting, given to whoever listens, lost for whoever is slow.

An event tells what has happened; it is never a call, and nobody may depend on its being heard. The last
ones are kept in a ring, so that a listener who was away for a moment can take up where it left off.

Everything here belongs to the thread of the event loop.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

import trio

# A few minutes of a busy daemon; with events of some hundred bytes it stays below 1 MB.
KEPT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened. Publishing stamps `seq` and `at`."""

    kind: ClassVar[str] = "system:event"  # as programs outside name it: "memory:..." or "system:..."

    seq: int = 0
    at: float = 0.0  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Missed(Event):
    """Told to one subscriber that was slow or away: so many events are gone."""

    kind: ClassVar[str] = "system:missed"

    count: int


E = TypeVar("E", bound=Event)
Wanted: TypeAlias = "type[Event] | str"


class Events:
    """The place where events are published and subscribed to.

    Sequence numbers begin at the wall time in milliseconds, so that a number from an earlier life of
    the daemon is older than all numbers of this one.
    """

    def __init__(
        self,
        kept: int = KEPT,
        *,
        clock: Callable[[], float] = time.time,
        on_missed: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._clock = clock
        self._on_missed = on_missed
        self._first = int(clock() * 1000)
        self._next = self._first
        self._ring = deque[Event](maxlen=kept)
        self._subscriptions: list[Subscription] = []
        self._closed = False

    @property
    def last(self) -> int:
        """The number of the newest event; a subscription `since` it gets only what comes later."""
        return self._next - 1

    def publish(self, event: E) -> E:
        """Give an event to all who want it. Never waits, and no subscriber can make it fail."""
        if event.seq:  # published before, and what others hold does not change
            event = replace(event, seq=self._next, at=self._clock())
        else:
            object.__setattr__(event, "seq", self._next)
            object.__setattr__(event, "at", self._clock())
        self._next += 1
        self._ring.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)
        return event

    def since(self, seq: int) -> list[Event]:
        """The kept events after this number, preceded by a `Missed` when some of them are no longer kept."""
        if seq > self.last:  # a number that we never gave: the clock of an earlier life was ahead
            seq = self._first - 1
        oldest = self._next - len(self._ring)
        gone = oldest - max(seq + 1, self._first)
        lost: list[Event] = [Missed(gone, seq=oldest - 1, at=self._clock())] if gone > 0 else []
        return lost + [event for event in self._ring if event.seq > seq]

    @asynccontextmanager
    async def subscribe(
        self, *wanted: Wanted, size: int = 256, since: int | None = None
    ) -> AsyncGenerator[Subscription]:
        """Listen: to classes of events, to kinds (`"memory:added"`, `"memory:*"`), or to all.

        With `since`, what was published after that number comes first, without a gap to what follows.
        """
        await trio.lowlevel.checkpoint()
        subscription = Subscription(wanted, size, self._on_missed)
        if since is not None:
            for event in self.since(since):
                subscription.offer(event)
        if self._closed:
            subscription.end()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            subscription.end()

    def close(self) -> None:
        """End all subscriptions, now and later, once they have given what they hold."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)


class Subscription:
    """What one listener has not read yet. Iterate over it; the newest `size` events are held."""

    def __init__(self, wanted: Iterable[Wanted], size: int, on_missed: Callable[[int], None]) -> None:
        if size < 1:
            raise ValueError(f"a subscription holds at least one event (got {size})")
        self._wants = _filter(tuple(wanted))
        self._size = size
        self._on_missed = on_missed
        self._waiting = deque[Event]()
        self._missed = 0
        self._ended = False
        self._news = trio.Event()

    def offer(self, event: Event) -> None:
        if isinstance(event, Missed):
            self._missed += event.count
        elif self._ended or not self._wants(event):
            return
        else:
            if len(self._waiting) == self._size:
                self._waiting.popleft()
                self._missed += 1
                self._on_missed(1)
            self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._missed and not self._waiting:
            if self._ended:
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        if self._missed:
            count, self._missed = self._missed, 0
            return Missed(count, at=time.time())
        return self._waiting.popleft()


def _filter(wanted: tuple[Wanted, ...]) -> Callable[[Event], bool]:
    if not wanted:
        return lambda event: True
    classes = tuple(each for each in wanted if isinstance(each, type))
    kinds = frozenset(each for each in wanted if isinstance(each, str) and not each.endswith("*"))
    begins = tuple(each[:-1] for each in wanted if isinstance(each, str) and each.endswith("*"))
    return lambda event: (
        isinstance(event, classes) or event.kind in kinds or bool(begins and event.kind.startswith(begins))
    )


def as_json(event: Event) -> dict[str, Any]:
    """An event as plain JSON values, for the doors: its kind, its time as RFC 3339, and its fields."""
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    mine = {each.name: _plain(getattr(event, each.name)) for each in fields(event)}
    return {"kind": event.kind, **mine, "at": at}


def _plain(value: object) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in cast("Mapping[Any, object]", value).items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(each) for each in cast("Iterable[object]", value)]
    return str(value)
