"""One space of vectors that may be compared: searched while it changes, and watching its own recall."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import trio

import mimo_core
from mimo.errors import InvalidArguments, Unavailable
from mimo.vector.rows import Columns, Neighbour, Row, Vector, decoded

T = TypeVar("T")
# Ids or groups: plain numbers, or an array of them.
Integers: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]
# The blobs of these ids, from where the truth is; ids that are gone may be left out.
Fetch: TypeAlias = Callable[[Sequence[int]], Sequence[tuple[int, bytes]]]


class Visit(Protocol):
    """Runs a whole search in a thread that can fetch: each way into a thread and back takes a tenth of a millisecond."""

    async def __call__(self, work: Callable[[Fetch], T]) -> T: ...


# What the index says of what it cannot take: a number too large for it is one of them.
REFUSALS = (TypeError, ValueError, OverflowError)

# Up to here a search takes less time than the way into a thread and back costs everybody else: about
# 0.2 ms compiled, and ten times as long in the twin.
INLINE_ROWS = 10_000 if mimo_core.implementation() == "cython" else 1_000
INLINE_CHANGES = 64

# From here on two threads share a search, when no other is running: it takes some 0.05 ms to start one.
SHARED_ROWS = 65_536
CORES = os.cpu_count() or 1

BATCH = 1024  # rows that are decoded at once
CHECK_EVERY = 16_384  # inserts between two looks at the recall of the codes
GOOD_RECALL = 0.98
MOST_CANDIDATES = 4096  # where even so many do not help, the signs of these vectors say too little
FIRST_CANDIDATES = 800
# A lean segment reads so many stored vectors and four for each that is wanted, the best of so many by their codes.
# Of the ten nearest among a million real texts it finds 0.992, and 0.995 with forty more.
FETCHED, LEAN_CANDIDATES = 80, 1600

# Less than this is not worth copying a segment for.
WORTH_COMPACTING = 4096


class Segment:
    """The vectors of one model and dimension.

    With `visit` it is lean: it keeps one bit a number only, a million memories in 80 MB, and the nearest
    are put into order by their stored blobs.
    """

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        limiter: trio.CapacityLimiter,
        visit: Visit | None = None,
    ) -> None:
        self.model = model
        self.dim = dim
        self.ready = False  # everything stored has been read
        self.recall = 1.0  # of the codes, at the last look
        self.refused: list[int] = []  # ids whose stored vectors are damaged or of another dimension
        self._limiter = limiter
        self._visit = visit
        self._index = self._empty()
        self._unchecked = 0
        self._changing = trio.Lock()  # changes take effect in the order in which they were asked for
        self._since: list[tuple[Columns, list[int]]] | None = None  # changes during a rebuild

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, id_: int) -> bool:
        return id_ in self._index

    def _empty(self) -> mimo_core.VectorIndex:
        return mimo_core.VectorIndex(self.dim, ("bits", "int8", "f16") if self.holds else ("bits",))

    async def rebuild(self, rows: Iterable[Row]) -> None:
        """Read everything anew, in a worker thread."""
        async with self.rebuilding() as take:
            await self._in_thread(_pour, rows, take)

    @asynccontextmanager
    async def rebuilding(self) -> AsyncGenerator[Callable[[Columns], None]]:
        """Everything anew: what is given to the function, in any thread. The old answers until the block ends,
        and changes that come meanwhile are kept. When it fails or is cancelled, the segment is what it was.
        """
        fresh, refused = self._empty(), list[int]()
        if self._since is not None:
            raise RuntimeError(f"segment {self.model} is already being rebuilt")
        self._since = []
        try:
            yield lambda columns: refused.extend(self._load(fresh, columns))
            async with self._changing:
                for changed, dropped in self._since:
                    fresh.remove(dropped)
                    self._load(fresh, changed)
                self._index, self.refused, self.ready = fresh, refused, True
        finally:
            self._since = None
        await self.check()

    async def put(self, rows: Sequence[Row]) -> None:
        """New vectors, or others in place of those that were there. Whole or not at all.

        Raises:
            InvalidArguments: a vector is not of this dimension, or not finite.
        """
        sound, numbers, refused = decoded(Columns.of(rows), self.dim)
        if refused:
            raise InvalidArguments(f"the vector of {refused[0]} is not {self.dim} finite float16 numbers")
        ids, _, groups = sound
        distinct = set(ids)
        if len(distinct) < len(ids):
            raise InvalidArguments("an id comes twice")
        async with self._changing:
            try:
                if len(ids) <= INLINE_CHANGES:
                    self._index.replace(ids, numbers, groups)
                else:
                    await self._in_thread(self._index.replace, ids, numbers, groups)
            except REFUSALS as error:
                raise InvalidArguments(f"not rows for this segment: {error}") from error
            if self._since is not None:  # behind the index, which refuses what is none
                self._since.append((sound, []))
            self.refused = [id_ for id_ in self.refused if id_ not in distinct]
            self._unchecked += len(ids)
            if self._unchecked >= CHECK_EVERY:
                await self.check()
            await self._tidy()

    async def drop(self, ids: Sequence[int]) -> None:
        """Forget these vectors; those that are not there are forgotten already."""
        async with self._changing:
            try:
                self._index.remove(ids)
            except REFUSALS as error:
                raise InvalidArguments(f"not ids: {error}") from error
            if self._since is not None:
                self._since.append((Columns.of(()), list(ids)))
            await self._tidy()

    async def nearest(
        self,
        query: Vector,
        k: int,
        *,
        groups: Integers | None = None,
        allowed: Integers | None = None,
        min_score: float | None = None,
        urgent: bool = True,
    ) -> list[Neighbour]:
        """The k most similar, best first; of equal ones the lower id first.

        `groups` and `allowed` (ids) narrow the search before it counts; given together, both must hold.
        What is not `urgent` takes one core at most.

        Raises:
            InvalidArguments: the query is not of this dimension, or not finite.
            Unavailable: what is stored has not been read yet.
        """
        if not self.ready:
            raise Unavailable("the vectors are still being read; search by words meanwhile", after=1)
        if self._visit is not None:
            return await self._nearest_lean(self._visit, query, k, groups, allowed, min_score)
        index = self._index

        def work(threads: int = 1) -> list[Neighbour]:
            ids, scores = index.search(
                query, k, threads=threads, groups=groups, allowed=allowed, min_score=min_score
            )
            return list(map(Neighbour, ids.tolist(), scores.tolist()))

        try:
            if len(index) <= INLINE_ROWS:
                await trio.lowlevel.checkpoint()
                return work()
            threads = self._threads(index) if urgent else 1
            return await self._search_in_thread(lambda: work(threads))
        except REFUSALS as error:
            raise InvalidArguments(f"not a question for this segment: {error}") from error

    async def _nearest_lean(
        self,
        visit: Visit,
        query: Vector,
        k: int,
        groups: Integers | None,
        allowed: Integers | None,
        min_score: float | None,
    ) -> list[Neighbour]:
        index = self._index
        wanted = FETCHED + 4 * k if k > 0 else 0
        rescore, threads = max(LEAN_CANDIDATES, 4 * wanted), self._threads(index)

        def work(fetch: Fetch) -> list[Neighbour]:
            near, _ = index.search(
                query, wanted, rescore=rescore, threads=threads, groups=groups, allowed=allowed
            )
            stored = fetch(np.sort(near).tolist()) if near.size else ()
            rows, numbers, _ = decoded(Columns.of(Row(id_, blob) for id_, blob in stored), self.dim)
            scores = mimo_core.batch_similarity(query, numbers)
            best = np.lexsort((np.array(rows.ids, np.int64), -scores))[:k].tolist()
            found = (Neighbour(rows.ids[at], float(scores[at])) for at in best)
            return [one for one in found if min_score is None or one.score >= min_score]

        try:
            async with self._limiter:
                return await visit(work)
        except REFUSALS as error:
            raise InvalidArguments(f"not a question for this segment: {error}") from error

    @property
    def holds(self) -> bool:
        """Whether the vectors themselves are in memory."""
        return self._visit is None

    def held(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The vectors of these ids, zeros for those that have none. For any thread.

        Raises:
            ValueError: it holds codes only.
        """
        index = self._index
        found = np.zeros((len(ids), self.dim), np.float32)
        there = np.flatnonzero(index.positions_of(ids) >= 0)
        while len(there):
            try:
                found[there] = index.rows(ids[there])
                break
            except KeyError:  # it was dropped meanwhile
                there = there[index.positions_of(ids[there]) >= 0]
        return found

    async def check(self) -> float:
        """Compare the codes with the truth, stored vectors as questions; hand on more candidates, or stop
        trusting the codes, where they lose recall. Gives the recall that is left."""
        self._unchecked = 0
        if self.holds:
            self.recall = await self._in_thread(self._settle)
        return self.recall

    def _settle(self) -> float:
        index = self._index
        index.candidates = 0
        recall = index.probe()
        candidates = FIRST_CANDIDATES
        while recall < GOOD_RECALL and 2 * candidates <= MOST_CANDIDATES:
            candidates *= 2
            index.candidates = candidates
            recall = index.probe()
        index.codes_trusted = recall >= GOOD_RECALL
        return recall

    def stats(self) -> dict[str, float]:
        """Numbers for metrics."""
        counted = self._index.stats()
        return {
            "rows": counted["rows"],
            "dead": counted["dead"],
            "bytes": counted["bytes"],
            "recall": self.recall,
            "codes_trusted": float(self._index.codes_trusted),
            "candidates": self._index.candidates or FIRST_CANDIDATES,
            "refused": len(self.refused),
            "ready": float(self.ready),
        }

    def _load(self, index: mimo_core.VectorIndex, columns: Columns) -> list[int]:
        return [columns.ids[at] for at in index.replace_stored(*columns)]

    async def _tidy(self) -> None:
        """Removed rows are passed over at every search; at a fifth of all, they are worth a copy."""
        dead = self._index.stats()["dead"]
        if dead > WORTH_COMPACTING and 5 * dead > len(self._index):
            await self._in_thread(self._index.compact)

    def _threads(self, index: mimo_core.VectorIndex) -> int:
        alone = self._limiter.borrowed_tokens == 0 and self._limiter.total_tokens > 1
        return 2 if len(index) >= SHARED_ROWS and CORES > 1 and alone else 1

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        return await trio.to_thread.run_sync(work, *given, limiter=self._limiter)

    async def _search_in_thread(self, work: Callable[[], T]) -> T:
        # Who no longer wants the answer need not wait for it: nothing is changed by a search.
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)


def _pour(rows: Iterable[Row], take: Callable[[Columns], None]) -> None:
    rest = iter(rows)
    while batch := list(itertools.islice(rest, BATCH)):
        take(Columns.of(batch))
