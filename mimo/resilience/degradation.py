"""Answer with the next best when the best fails, and say so."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, TypeVarTuple

import trio

from mimo.errors import Unavailable
from mimo.resilience.failures import is_failure

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Link(Generic[*Ts, T]):
    """One way to answer. After `within` seconds it has failed."""

    name: str
    ask: Callable[[*Ts], Awaitable[T]]
    within: float = math.inf


@dataclass(frozen=True, slots=True)
class Failed:
    """A link that was asked before, and its error."""

    link: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Served(Generic[T]):
    """An answer, who gave it, and who failed before."""

    value: T
    link: str
    failed: tuple[Failed, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether it is not the best answer there could be."""
        return bool(self.failed)


class Chain(Generic[*Ts, T]):
    """The ways to answer, best first. `falls_through` says which errors lead to the next one; others are raised."""

    def __init__(
        self,
        name: str,
        links: Sequence[Link[*Ts, T]],
        *,
        falls_through: Callable[[Exception], bool] = is_failure,
    ) -> None:
        names = [link.name for link in links]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{name}: a chain has links, and each a name of its own (got {names})")
        self.name = name
        self.links = tuple(links)
        self._falls_through = falls_through

    async def call(self, *arguments: *Ts) -> Served[T]:
        """
        Raises:
            Unavailable: every link failed; the cause is the last one's error.
        """
        failed: list[Failed] = []
        for link in self.links:
            try:
                with trio.fail_after(link.within):
                    value = await link.ask(*arguments)
                return Served(value, link.name, tuple(failed))
            except Exception as error:
                if not self._falls_through(error):
                    raise
                failed.append(Failed(link.name, error))
        why = "; ".join(f"{one.link}: {type(one.error).__name__}: {one.error}" for one in failed)
        raise Unavailable(f"{self.name}: nobody could answer ({why})") from failed[-1].error
