"""Who is there under which name: several connections of one agent live side by side, and may know of one another."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager

from mimo.protocol.synapse import PRESENCE_DIFF, PRESENCE_STATE, presence
from mimo.tool import JsonObject

Tell = Callable[[str, JsonObject], None]


class Presences:
    """Everybody who has joined, by topic."""

    def __init__(self) -> None:
        self._here: dict[str, dict[str, tuple[JsonObject, Tell]]] = {}
        self._first = secrets.token_hex(4)  # refs of an earlier life are not ours
        self._numbers = itertools.count(1)

    @contextmanager
    def present(self, topic: str, agent: str, meta: JsonObject, tell: Tell) -> Generator[None]:
        """As long as this lasts, the others on this topic know of it; who comes is told who is there."""
        ref = f"{self._first}{next(self._numbers):x}"
        meta = {"phx_ref": ref, **meta}
        others = self._here.setdefault(topic, {})
        diff: JsonObject = {"joins": presence(agent, [meta]), "leaves": {}}
        for _, theirs in others.values():
            theirs(PRESENCE_DIFF, diff)
        others[ref] = meta, tell
        tell(PRESENCE_STATE, presence(agent, [each for each, _ in others.values()]))
        try:
            yield
        finally:
            del others[ref]
            if not others:
                self._here.pop(topic, None)
            diff = {"joins": {}, "leaves": presence(agent, [meta])}
            for _, theirs in others.values():
                theirs(PRESENCE_DIFF, diff)

    def count(self, topic: str) -> int:
        return len(self._here.get(topic, {}))
