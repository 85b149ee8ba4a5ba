"""What was computed from a text a moment ago: embeddings, classifications, parsed queries."""

from __future__ import annotations

import enum
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import trio

T = TypeVar("T")

HOUR = 3600.0
# 10,000 vectors of 384 numbers are 15 MB; the bound in bytes is for longer vectors and other values.
MOST_ENTRIES = 10_000
MOST_BYTES = 32 << 20


class KeyType(enum.Enum):
    """What kind of thing is kept. Equal texts of different kinds never meet."""

    EMBEDDING = "embedding"
    CLASSIFICATION = "classification"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Stats:
    """Since the start. Who waited for another's computation hit; `entries` and `bytes` are of now."""

    hits: int
    misses: int
    hit_rate: float
    entries: int
    bytes: int
    by_type: dict[KeyType, tuple[int, int]]  # (hits, misses)


@dataclass(slots=True)
class _Entry:
    value: Any
    bytes: int
    until: float


@dataclass(slots=True)
class _Flight(Generic[T]):
    """A computation under way, and how it ended: `landed`, `failed`, or neither when it was cancelled."""

    over: trio.Event = field(default_factory=trio.Event)
    landed: list[T] = field(default_factory=list[T])
    failed: Exception | None = None


class Cache:
    """Bounded, least recently used leaves first; what is older than `ttl` seconds is computed again.

    Equal keys are computed once at a time: who comes meanwhile waits for that result, and its error is
    theirs too, but no error is kept. When the one who computes is cancelled, one of the waiting takes
    over. Different keys never wait for each other.

    `on_hit` and `on_miss` are called at once; they must neither wait nor raise.
    """

    def __init__(
        self,
        *,
        ttl: float = HOUR,
        entries: int = MOST_ENTRIES,
        size: int = MOST_BYTES,
        on_hit: Callable[[KeyType], None] = lambda kind: None,
        on_miss: Callable[[KeyType], None] = lambda kind: None,
    ) -> None:
        if ttl <= 0 or entries < 1 or size < 1:
            raise ValueError(f"ttl, entries and size must be positive (got {ttl}, {entries}, {size})")
        self._ttl, self._most_entries, self._most_bytes = ttl, entries, size
        self._on_hit, self._on_miss = on_hit, on_miss
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._flights: dict[bytes, _Flight[Any]] = {}
        self._bytes = 0
        self._hits = dict.fromkeys(KeyType, 0)
        self._misses = dict.fromkeys(KeyType, 0)

    async def get_or_compute_embedding(self, model: str, text: str, compute: Callable[[], Awaitable[T]]) -> T:
        """The vector of this text by this model. Arrays come back read-only, as others hold them too."""
        return await self._get_or_compute(KeyType.EMBEDDING, model, text, compute)

    async def get_or_compute_classification(
        self, model: str, text: str, compute: Callable[[], Awaitable[T]]
    ) -> T:
        """What this text is, as this model says."""
        return await self._get_or_compute(KeyType.CLASSIFICATION, model, text, compute)

    async def get_or_compute_query(self, model: str, text: str, compute: Callable[[], Awaitable[T]]) -> T:
        """What this question was made into."""
        return await self._get_or_compute(KeyType.QUERY, model, text, compute)

    def stats(self) -> Stats:
        hits, misses = sum(self._hits.values()), sum(self._misses.values())
        return Stats(
            hits=hits,
            misses=misses,
            hit_rate=hits / (hits + misses) if hits + misses else 0.0,
            entries=len(self._entries),
            bytes=self._bytes,
            by_type={kind: (self._hits[kind], self._misses[kind]) for kind in KeyType},
        )

    def clear(self) -> None:
        """Forget all of it: after a purge no trace of a text may stay. What is under way is not kept either."""
        self._entries.clear()
        self._flights.clear()
        self._bytes = 0

    async def _get_or_compute(
        self, kind: KeyType, model: str, text: str, compute: Callable[[], Awaitable[T]]
    ) -> T:
        key = _key(kind, model, text)
        while True:
            entry = self._fresh(key)
            if entry is not None:
                await trio.lowlevel.checkpoint()
                self._hit(kind)
                return entry.value
            flight: _Flight[T] | None = self._flights.get(key)
            if flight is None:
                return await self._compute(kind, key, compute)
            await flight.over.wait()
            if flight.landed:
                self._hit(kind)
                return flight.landed[0]
            if flight.failed is not None:
                raise flight.failed

    async def _compute(self, kind: KeyType, key: bytes, compute: Callable[[], Awaitable[T]]) -> T:
        self._misses[kind] += 1
        self._on_miss(kind)
        flight = self._flights[key] = _Flight[T]()
        try:
            value = await compute()
            _freeze(value)
            flight.landed.append(value)
        except Exception as error:
            flight.failed = error
            raise
        finally:
            if self._flights.get(key) is flight:  # not cleared meanwhile
                del self._flights[key]
                if flight.landed:
                    self._keep(key, flight.landed[0])
            flight.over.set()
        return value

    def _hit(self, kind: KeyType) -> None:
        self._hits[kind] += 1
        self._on_hit(kind)

    def _fresh(self, key: bytes) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= trio.current_time():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _keep(self, key: bytes, value: object) -> None:
        size = _bytes(value) + len(key)
        if size > self._most_bytes:
            return
        self._drop(key)
        self._entries[key] = _Entry(value, size, trio.current_time() + self._ttl)
        self._bytes += size
        while len(self._entries) > self._most_entries or self._bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.bytes


def _key(kind: KeyType, model: str, text: str) -> bytes:
    """A full hash: the text itself is not kept, and none can be made to look like another."""
    digest = hashlib.sha256(f"{kind.value}:{len(model)}:".encode())
    digest.update(model.encode("utf-8", "surrogatepass"))
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _freeze(value: object) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False


def _bytes(value: object) -> int:
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    return sys.getsizeof(value)
