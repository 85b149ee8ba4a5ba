"""Questions: whoever asks one waits for the answer, so it is tried once, and not for long. Stored texts have time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import trio

from mimo.embedding.embedder import Embedder, Vectors
from mimo.errors import MimoError, TooSlow, Unavailable

# A model on this machine answers in some 50 ms, a service across an ocean within a second. Who asks a memory has
# something to say, and waits no longer for a better answer; words have theirs in milliseconds.
PATIENCE = 2.0
# Who has a deadline of their own (a prompt's hook waits for a second) gets the words within it.
SHARE = 0.6


@runtime_checkable
class Tries(Protocol):
    """An embedder that asks again where that may help."""

    @property
    def once(self) -> Embedder:
        """The same without a second try, and without waiting for a breaker."""
        ...


def once(embedder: Embedder) -> Embedder:
    return embedder.once if isinstance(embedder, Tries) else embedder


class Asked(Protocol):
    """Whoever makes vectors of questions, and keeps them for the next time."""

    @property
    def model(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(slots=True, eq=False)
class _Answer:
    over: trio.Event = field(default_factory=trio.Event)
    awaited: bool = True
    vectors: Vectors | None = None
    error: Exception | None = None


class Questions:
    """A supervised child. What comes too late for who asked is kept by whom it asks, for who asks again; and a model
    that is being loaded is not sent away half way each time.
    """

    def __init__(self, asked: Asked, seconds: float = PATIENCE) -> None:
        self._asked = asked
        self._seconds = seconds
        self._nursery: trio.Nursery | None = None

    @property
    def model(self) -> str:
        return self._asked.model

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`, and:

        Raises:
            TooSlow: there was no answer in time.
        """
        model, answer = self._asked.model, _Answer()
        left = trio.current_effective_deadline() - trio.current_time()
        seconds = min(self._seconds, SHARE * max(0.0, left))
        with trio.move_on_after(seconds):
            if self._nursery is None:
                return await self._asked.embed(texts)
            self._nursery.start_soon(self._ask, texts, answer)
            await answer.over.wait()
        answer.awaited = False
        if answer.vectors is not None:
            return answer.vectors
        if answer.error is not None:
            raise answer.error
        if answer.over.is_set() or math.isinf(seconds):
            raise Unavailable("questions are not embedded at the moment")
        raise TooSlow(f"{model} took longer than {seconds:.2g} s")

    async def _ask(self, texts: Sequence[str], answer: _Answer) -> None:
        try:
            answer.vectors = await self._asked.embed(texts)
        except Exception as error:
            if not answer.awaited and not isinstance(error, MimoError):
                raise  # a bug that nobody else would hear of
            answer.error = error
        finally:
            answer.over.set()
