"""An embedder behind an address: batches, a deadline for each, retry, and a breaker around it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import trio

from mimo.embedding.embedder import State, Vectors
from mimo.embedding.post import Address, post
from mimo.errors import Busy, MimoError, TooSlow, Unavailable, Unusable
from mimo.resilience import Breaker, BreakerChanged, BreakerState, Retry, is_failure

OnChange: TypeAlias = Callable[[BreakerChanged], None]

ONCE = Retry(attempts=1)
# A connection each. A service that is well has answered them within a second.
MOST_QUESTIONS = 64


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one protocol asks and answers. `vectors` raises KeyError, TypeError or ValueError for nonsense."""

    question: Callable[[str, Sequence[str]], dict[str, Any]]  # of the model's name and the texts
    vectors: Callable[[Any], list[list[float]]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once, and how long to wait."""

    batch: int = 32  # texts in one request
    seconds: float = 30.0  # for one request; a cold model on a laptop takes ten to load


class Remote:
    """Texts go out in order, one request at a time; cancellation takes effect at once."""

    def __init__(
        self,
        name: str,
        model: str,
        to: Address,
        dialect: Dialect,
        *,
        breaker: Breaker,
        retry: Retry,
        pace: Pace,
        dim: int = 0,
        key: str | None = None,
    ) -> None:
        self._name, self._remote_model, self._to, self._dialect = name, model, to, dialect
        self._breaker, self._retry, self._pace, self._key = breaker, retry, pace, key
        self._dim = dim
        self._state = State.IDLE
        self.once = Once(self)

    @property
    def model(self) -> str:
        return f"{self._name}:{self._remote_model}"

    @property
    def dim(self) -> int:
        """As set, or as the first answer had it; 0 before."""
        return self._dim

    @property
    def state(self) -> State:
        return State.DOWN if self._breaker.state is BreakerState.OPEN else self._state

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. All or nothing: a batch that fails in the end fails the whole call."""
        return await self.tried(texts, self._retry)

    async def tried(self, texts: Sequence[str], retry: Retry) -> Vectors:
        """The same, with as many tries as this allows."""
        await trio.lowlevel.checkpoint()
        step = self._pace.batch
        parts: list[Vectors] = []
        try:
            for first in range(0, len(texts), step):
                part = texts[first : first + step]
                parts.append(await retry.call(self._breaker.call, self._ask, part))
        except MimoError:
            self._state = State.DOWN
            raise
        return np.concatenate(parts) if parts else np.empty((0, self._dim), np.float32)

    async def _ask(self, texts: Sequence[str]) -> Vectors:
        # Half a character cannot be sent as UTF-8, and says nothing.
        clean = [text.encode("utf-8", "ignore").decode() for text in texts]
        try:
            with trio.fail_after(self._pace.seconds):
                answer = await post(self._to, self._dialect.question(self._remote_model, clean), self._key)
        except trio.TooSlowError as error:
            raise TooSlow(f"{self._to} took longer than {self._pace.seconds:g} s") from error
        vectors = self._checked(answer, len(texts))
        self._state = State.READY
        return vectors

    def _checked(self, answer: Any, count: int) -> Vectors:
        """Vectors of length 1, or the error that says what is wrong with them."""
        try:
            vectors = np.array(self._dialect.vectors(answer), np.float32)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise Unavailable(f"{self._to} answered without embeddings of one length ({error})") from error
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
            raise Unavailable(f"{self._to} answered with {vectors.shape} numbers for {count} texts")
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise Unavailable(f"{self._to} answered with a vector that is zero or not finite")
        if self._dim and vectors.shape[1] != self._dim:
            raise Unusable(
                f"{self.model} gives {vectors.shape[1]} dimensions where {self._dim} were expected: "
                "another model now has this name"
            )
        self._dim = vectors.shape[1]
        return (vectors / lengths).astype(np.float32)


class Once:
    """The same embedder for questions, which are not asked again, and do not wait for a breaker."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._under_way = 0

    @property
    def model(self) -> str:
        return self._remote.model

    @property
    def dim(self) -> int:
        return self._remote.dim

    @property
    def state(self) -> State:
        return self._remote.state

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Raises: Busy: so many wait for an answer that one more would be too late anyway."""
        if self._under_way >= MOST_QUESTIONS:
            raise Busy(f"{self.model} has not answered {self._under_way} questions yet")
        self._under_way += 1
        try:
            return await self._remote.tried(texts, ONCE)
        finally:
            self._under_way -= 1


def breaker(name: str, failures: int, on_change: OnChange | None = None) -> Breaker:
    """Being told to wait is no failure of the other side; everything that `is_failure` says is."""
    return Breaker(
        name,
        failures=failures,
        rest=30.0,
        trials=1,
        on_change=on_change,
        counts=lambda e: is_failure(e) and not isinstance(e, Busy),
    )
