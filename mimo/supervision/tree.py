"""The live view of a supervision tree: who runs, since when, how often restarted, and what went wrong last."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class State(enum.Enum):
    WAITING = "waiting"  # for its turn, or for the end of its backoff
    STARTING = "starting"  # running, and not yet ready
    RUNNING = "running"
    STOPPING = "stopping"  # cancelled, and not yet ended
    ENDED = "ended"  # and not to be restarted


@dataclass(frozen=True, slots=True)
class Branch:
    """One child, or one supervisor with its children, at the moment of asking."""

    name: str
    strategy: str | None  # of a supervisor; None for any other child
    state: State
    restarts: int  # how often it was started again, for its own sake or a sibling's
    last_error: str | None
    since: float | None  # when it came into this state, on Trio's clock; None if it never ran
    ago: float | None  # the same as seconds before now
    children: tuple[Branch, ...] = ()

    def walk(self, path: str = "") -> Iterator[tuple[str, Branch]]:
        """This branch and all below it, each with its path ("mimo/doors/http"), parents first."""
        path = f"{path}/{self.name}" if path else self.name
        yield path, self
        for child in self.children:
            yield from child.walk(path)

    def as_json(self) -> dict[str, Any]:
        """The same in what JSON knows. Trio's clock means nothing elsewhere, so only `ago` goes along."""
        return {
            "name": self.name,
            "strategy": self.strategy,
            "state": self.state.value,
            "restarts": self.restarts,
            "last_error": self.last_error,
            "ago": None if self.ago is None else round(self.ago, 3),
            "children": [child.as_json() for child in self.children],
        }
