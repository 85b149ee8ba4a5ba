"""Who still answers: one task has all open WebSockets pinged in turn, since one for each would cost more than the rest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from mimo.transports.websocket.link import Link

# A peer that says nothing for a ping and the patience of its link (20 s) is gone: 40 s, and never more than 60.
PING_SECONDS = 20.0


class Pulse:
    """A part of the door."""

    def __init__(self) -> None:
        self._due: dict[Link, float] = {}  # the first is due first: all have the same interval
        self._felt = trio.Event()

    @contextmanager
    def felt(self, link: Link) -> Generator[None]:
        """As long as this lasts, the link is pinged now and then."""
        self._due[link] = trio.current_time() + PING_SECONDS
        self._felt.set()
        try:
            yield
        finally:
            del self._due[link]

    async def run(self) -> None:
        while True:
            while not self._due:
                self._felt = trio.Event()
                await self._felt.wait()
            link, due = next(iter(self._due.items()))
            await trio.sleep_until(due)
            if self._due.get(link) == due:  # it has not gone meanwhile
                del self._due[link]
                self._due[link] = trio.current_time() + PING_SECONDS
                link.ping()
