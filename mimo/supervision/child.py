"""What is supervised, and what is to happen when it ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from mimo.supervision.tree import Branch


class Strategy(enum.Enum):
    """Which siblings share the fate of a child that fell. Shared fate: stopped, and started again with it."""

    ONE_FOR_ONE = "one_for_one"  # none
    REST_FOR_ONE = "rest_for_one"  # those after it, which were built on it
    ONE_FOR_ALL = "one_for_all"  # all


class Restart(enum.Enum):
    """Which endings are a fall, to be answered by a restart."""

    PERMANENT = "permanent"  # any
    TRANSIENT = "transient"  # an error; a plain return means that it is done
    TEMPORARY = "temporary"  # none; not even when a sibling's fall stopped it


class Run(Protocol):
    """Opens, says `task_status.started()` when ready to serve, serves until cancelled, closes."""

    async def __call__(self, *, task_status: trio.TaskStatus[Any]) -> object: ...


class Grown(Protocol):
    """Something that has a tree of its own: a supervisor."""

    def tree(self) -> Branch: ...


@dataclass(frozen=True, slots=True)
class Child:
    """A long-lived task.

    Cancellation is the only way in which it is asked to stop. What it must still do then it does
    in a shielded scope with a deadline; one that takes longer than `grace` seconds is named in
    the log, and waited for.
    """

    name: str
    run: Run
    restart: Restart = Restart.PERMANENT
    grace: float = 5.0
    supervisor: Grown | None = None  # whose tree is shown in this child's place


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a child stays down: longer after each fall, until it has stayed up for a while."""

    # A passing fault (a port still held, a file being replaced) is over within 50 ms, and half of the
    # 100 ms in which the first restart is promised is left for the start itself.
    first: float = 0.05
    factor: float = 2.0
    limit: float = 30.0

    def __post_init__(self) -> None:
        if self.first < 0 or self.factor < 1 or self.limit < self.first:
            raise ValueError(f"a backoff has first >= 0, factor >= 1, limit >= first (got {self})")

    def delay(self, falls: int) -> float:
        """Seconds to wait after the `falls`-th fall in a row (from 1)."""
        delay = self.first
        for _ in range(falls - 1):
            if delay >= self.limit or self.factor == 1 or delay == 0:
                break
            delay *= self.factor
        return min(self.limit, delay)
