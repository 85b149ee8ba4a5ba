"""What happens in the house, told to the channels that subscribed: each event is worded once, whoever hears it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from mimo.observability.events import Event, Events, Missed, as_json
from mimo.protocol import jsonrpc

# Channels have backlogs of their own; this one only has to outlast a moment.
SIZE = 1024
# To tell so many takes about two milliseconds, in which nobody else is served.
AT_ONCE = 100
Hear = Callable[[str, str], None]  # the kind, and the event as JSON


class Herald:
    """A part of the door. While nobody listens it does not, either."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._listeners: dict[object, tuple[Callable[[str], bool], Hear]] = {}
        self._since = 0
        self._changed = trio.Event()

    def listen(self, who: object, patterns: Iterable[str], hear: Hear) -> None:
        """From now on it hears these kinds, and no others; with none it hears nothing."""
        wanted = tuple(patterns)
        if not self._listeners:
            self._since = self._events.last
        self._listeners.pop(who, None)
        if wanted:
            self._listeners[who] = _wants(wanted), hear
        self._changed.set()

    async def run(self) -> None:
        while True:
            while not self._listeners:
                self._changed = trio.Event()
                await self._changed.wait()
            async with self._events.subscribe(size=SIZE, since=self._since) as news:
                async for event in news:
                    await self._tell(event)
                    if not self._listeners:
                        break
                else:
                    return  # the house is closing

    async def _tell(self, event: Event) -> None:
        text: str | None = None
        for number, (who, (wants, hear)) in enumerate(tuple(self._listeners.items()), 1):
            if not number % AT_ONCE:
                await trio.lowlevel.checkpoint()
            if who in self._listeners and (isinstance(event, Missed) or wants(event.kind)):
                text = jsonrpc.encode(as_json(event)).decode() if text is None else text
                hear(event.kind, text)


def _wants(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    kinds = frozenset(patterns)
    begins = tuple(each[:-1] for each in patterns if each.endswith("*"))
    return lambda kind: kind in kinds or (bool(begins) and kind.startswith(begins))
