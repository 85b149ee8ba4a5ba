"""How often each key may ask for what writes or costs: a bucket of tokens that fills at an even rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from mimo.errors import Busy

# Of so many keys the last moments are remembered; the fullest buckets say nothing and are forgotten first.
MOST_BUCKETS = 1024


@dataclass(frozen=True, slots=True)
class Rate:
    per_minute: float
    burst: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key has left, as a door may tell it."""

    limit: int  # a minute
    remaining: int
    full_in: float  # seconds until the bucket is full again


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rates:
    """One bucket a key. Keys for which `exempt` is true are not limited."""

    def __init__(
        self,
        rate: Rate,
        *,
        exempt: Callable[[str], bool] = lambda key: False,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.rate = rate
        self._exempt = exempt
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str | None) -> None:
        """Use one token.

        Raises:
            Busy: there is none; `details["after"]` is when there will be.
        """
        if key is None or self._exempt(key):
            return
        bucket = self._filled(key)
        if bucket.tokens < 1:
            after = round((1 - bucket.tokens) * 60 / self.rate.per_minute, 1)
            raise Busy(
                f"this key may write {self.rate.per_minute:g} times a minute, {self.rate.burst} at once; "
                f"try again in {after:g} s",
                after=max(0.1, after),
            )
        bucket.tokens -= 1

    def allowance(self, key: str | None) -> Allowance | None:
        """What is left; None for who is not limited."""
        if key is None or self._exempt(key):
            return None
        bucket = self._filled(key)
        missing = (self.rate.burst - bucket.tokens) * 60 / self.rate.per_minute
        return Allowance(math.floor(self.rate.per_minute), math.floor(bucket.tokens), missing)

    def _filled(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[key] = _Bucket(self.rate.burst, now)
        grown = bucket.tokens + (now - bucket.at) * self.rate.per_minute / 60
        bucket.tokens, bucket.at = min(float(self.rate.burst), grown), now
        return bucket

    def _make_room(self) -> None:
        if len(self._buckets) >= MOST_BUCKETS:
            oldest = min(self._buckets, key=lambda key: self._buckets[key].at)
            del self._buckets[oldest]
