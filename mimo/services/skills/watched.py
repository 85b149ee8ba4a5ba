"""The resources of one skill that clients of ours watch, asked for anew whenever that changes or the skill is started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import trio

from mimo.errors import InvalidArguments, NotFound
from mimo.services.skills.exchange import Exchange, Refused
from mimo.services.skills.link import Greeting, Link


class Watched:
    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._changed = trio.Event()

    def want(self, uris: frozenset[str]) -> None:
        """From now on these, and no others."""
        if uris != self.wanted:
            self.wanted = uris
            self._changed.set()

    async def keep(self, link: Link, greeting: Greeting, strange: Callable[[str], None]) -> None:
        """As long as this link is up. A skill that cannot be watched is asked for nothing.

        Raises:
            Unavailable: it has gone.
        """
        said: Any = greeting.capabilities.get("resources")
        if not isinstance(said, dict) or cast("dict[str, Any]", said).get("subscribe") is not True:
            return
        asked = frozenset[str]()
        listening: Exchange | None = None
        while True:
            self._changed = trio.Event()
            wanted = self.wanted
            if link.modern and wanted != asked:
                listening = self._listen(link, wanted, listening)
            elif not link.modern:
                for method, uris in (("subscribe", wanted - asked), ("unsubscribe", asked - wanted)):
                    for uri in sorted(uris):
                        await _ask(link, f"resources/{method}", uri, strange)
            asked = wanted
            await self._changed.wait()

    def _listen(self, link: Link, wanted: frozenset[str], before: Exchange | None) -> Exchange | None:
        """One request for all of them, instead of the one before, with nothing missed between."""
        now = None
        if wanted:
            params = {"notifications": {"resourceSubscriptions": sorted(wanted)}}
            now = link.begin("subscriptions/listen", params)
        if before is not None:
            link.give_up(before)
        return now


async def _ask(link: Link, method: str, uri: str, strange: Callable[[str], None]) -> None:
    try:
        await link.request(method, {"uri": uri})
    except (Refused, InvalidArguments, NotFound) as error:
        strange(f"{method} of {uri[:200]}: {error.message}")
