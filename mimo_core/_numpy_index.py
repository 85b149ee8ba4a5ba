"""The twin of the compiled `VectorIndex`: the same blocks, plans and snapshots, in NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_core import _alike, _checks
from mimo_core._numpy import best_of, finite_rows, finite_vector, normalized, packed, quantized, widened
from mimo_core._numpy_blocks import (
    BLOCK_ROWS,
    Block,
    Flags,
    Floats,
    Ids,
    Query,
    Store,
    by_block,
    chosen,
    plain,
)

Found = _alike.Found
SCAN_ROWS = 512  # rows that are widened to float32 at once, so that they stay in the cache too
CROWDED = 16  # so many times the candidates where the best of them are equal to what was left out
EXACT_ROWS, INT8_ROWS = 4096, 200_000  # the plans change where those of the compiled index do


class VectorIndex:
    def __init__(self, dim: int, tiers: Iterable[str] = ("bits", "int8", "f16")) -> None:
        self.dim = _checks.some_dim(dim)
        self.generation = 0
        self._trusted, self._of_codes = True, 0
        self._tiers = _checks.tier_bits(tiers)
        self._store = Store()
        self._lock = Lock()  # for a moment: snapshots and publishing
        self._writing = Lock()

    @property
    def codes_trusted(self) -> bool:
        return self._trusted

    @codes_trusted.setter
    def codes_trusted(self, value: bool) -> None:
        self._trusted = bool(value)

    @property
    def candidates(self) -> int:
        return self._of_codes

    @candidates.setter
    def candidates(self, value: int) -> None:
        self._of_codes = max(0, _checks.whole(value, "candidates"))

    @property
    def tiers(self) -> tuple[str, ...]:
        return tuple(name for name, bit in _checks.TIERS.items() if self._tiers & bit)

    def __len__(self) -> int:
        return len(self._store.at)

    def __contains__(self, one: int) -> bool:
        return bool(self.positions_of([one])[0] >= 0)

    def positions_of(self, ids: Any) -> Ids:
        return self._find(_checks.integers(ids, "ids", np.int64))[0]

    def _find(self, ids: Ids) -> tuple[Ids, Store]:
        with self._lock:
            store = self._store
            return np.array([store.at.get(one, -1) for one in plain(ids)], np.int64), store

    def add(self, ids: Any, rows: Any, groups: Any = None) -> None:
        self._put(ids, rows, groups, over=False)

    def replace(self, ids: Any, rows: Any, groups: Any = None) -> None:
        self._put(ids, rows, groups, over=True)

    def replace_stored(self, ids: Any, blobs: Any, groups: Any = None) -> list[int]:
        new = _checks.integers(ids, "ids", np.int64)
        group = _checks.groups(groups, new.size)
        _checks.distinct(new)
        _checks.blobs(blobs, new.size)
        sized = [at for at, blob in enumerate(blobs) if len(blob) == 2 * self.dim]
        halves = np.frombuffer(b"".join([blobs[at] for at in sized]), "<f2").reshape(-1, self.dim)
        finite = np.isfinite(halves).all(axis=1)
        sound = np.array(sized, np.int64)[finite]
        self.replace(new[sound], widened(halves[finite].astype(np.float16, copy=False)), group[sound])
        return plain(np.setdiff1d(np.arange(new.size), sound))

    def _put(self, ids: Any, rows: Any, groups: Any, *, over: bool) -> None:
        new = _checks.integers(ids, "ids", np.int64)
        x = _checks.floats(rows, "rows", 2)
        if x.shape[0] != new.size:
            raise ValueError(f"rows must be as many as ids, {new.size} (got {x.shape[0]})")
        _checks.same_dim(x.shape[1], self.dim, "rows")
        group = _checks.groups(groups, new.size)
        _checks.distinct(new)
        if not new.size:
            return
        x = finite_rows(x, "rows")
        with self._writing:
            store = self._store
            dead = self._find(new)[0]
            if not over and (dead >= 0).any():
                raise ValueError(f"id {new[dead >= 0][0]} is already there; replace it")
            self._write(store, new, group, normalized(x))
            self._publish(store, dead[dead >= 0], new)

    def _write(self, store: Store, ids: Ids, groups: npt.NDArray[np.int32], rows: Floats) -> None:
        """Behind all that snapshots contain."""
        while len(store.blocks) * BLOCK_ROWS < store.rows + ids.size:
            store.blocks.append(Block(self.dim, self._tiers))
        done = 0
        while done < ids.size:
            number, at = divmod(store.rows + done, BLOCK_ROWS)
            n = min(BLOCK_ROWS - at, ids.size - done)
            block, part, to = store.blocks[number], rows[done : done + n], slice(at, at + n)
            block.ids[to], block.groups[to] = ids[done : done + n], groups[done : done + n]
            if block.planes is not None:
                block.planes[:, to] = packed(part).T
            if block.codes is not None and block.scales is not None:
                block.codes[to], block.scales[to] = quantized(part)
            if block.floats is not None:
                block.floats[to] = part
            done += n

    def _publish(self, store: Store, dead: Ids, ids: Ids) -> None:
        with self._lock:
            version = store.version + 1
            for row in plain(dead):
                block = store.blocks[row // BLOCK_ROWS]
                del store.at[int(block.ids[row % BLOCK_ROWS])]
                block.died[row % BLOCK_ROWS] = version
            store.at.update(zip(plain(ids), range(store.rows, store.rows + ids.size), strict=True))
            store.rows += ids.size
            store.version = version

    def remove(self, ids: Any) -> int:
        unique = np.unique(_checks.integers(ids, "ids", np.int64))
        with self._writing:
            dead, store = self._find(unique)
            dead = dead[dead >= 0]
            if dead.size:
                self._publish(store, dead, np.empty(0, np.int64))
        return dead.size

    def compact(self) -> None:
        with self._writing:
            old, new = self._store, Store()
            rows = np.sort(np.fromiter(old.at.values(), np.int64, len(old.at)))
            new.blocks = [Block(self.dim, self._tiers) for _ in range(-(-rows.size // BLOCK_ROWS))]
            for to, row in enumerate(plain(rows)):
                mine, theirs = new.blocks[to // BLOCK_ROWS], old.blocks[row // BLOCK_ROWS]
                a, b = to % BLOCK_ROWS, row % BLOCK_ROWS
                mine.ids[a], mine.groups[a] = theirs.ids[b], theirs.groups[b]
                if mine.planes is not None and theirs.planes is not None:
                    mine.planes[:, a] = theirs.planes[:, b]
                if mine.codes is not None and theirs.codes is not None:
                    mine.codes[a] = theirs.codes[b]
                if mine.scales is not None and theirs.scales is not None:
                    mine.scales[a] = theirs.scales[b]
                if mine.floats is not None and theirs.floats is not None:
                    mine.floats[a] = theirs.floats[b]
                new.at[int(mine.ids[a])] = to
            new.rows = rows.size
            new.version = 1
            with self._lock:
                self._store = new
                self.generation += 1

    def ids(self) -> Ids:
        with self._lock:
            return np.fromiter(
                sorted(self._store.at, key=self._store.at.__getitem__), np.int64, len(self._store.at)
            )

    def rows(self, ids: Any) -> Floats:
        wanted = _checks.integers(ids, "ids", np.int64)
        positions, store = self._find(wanted)
        if (positions < 0).any():
            raise KeyError(int(wanted[positions < 0][0]))
        if not self._tiers & 14:
            raise ValueError("codes cannot be turned back into rows")
        out = np.empty((wanted.size, self.dim), np.float32)
        for i, row in enumerate(plain(positions)):
            block, at = store.blocks[row // BLOCK_ROWS], row % BLOCK_ROWS
            if block.floats is not None:
                out[i] = block.floats[at]
            elif block.codes is not None and block.scales is not None:
                out[i] = block.codes[at] * block.scales[at]
        return out

    def search(
        self,
        query: Any,
        k: int,
        *,
        plan: str = "auto",
        rescore: int = 0,
        threads: int = 1,
        groups: Any = None,
        allowed: Any = None,
        mask: Any = None,
        min_score: float | None = None,
    ) -> Found:
        k, rescore = _checks.whole(k, "k"), _checks.whole(rescore, "rescore")
        shards = _checks.whole(threads, "threads")
        q = _checks.floats(query, "query", 1)
        _checks.same_dim(q.size, self.dim, "query")
        q = finite_vector(q, "query")
        if shards < 1:
            raise _checks.too_few_threads(threads)
        if min_score is not None:
            min_score = _checks.least(min_score)
        _checks.plan_number(plan, self._tiers)
        group = None if groups is None else _checks.integers(groups, "groups", np.int32)
        wanted = None if allowed is None else _checks.integers(allowed, "allowed", np.int64)
        flags = None if mask is None else _checks.flags(mask, "mask")
        with self._lock:
            store = self._store
            blocks, n, version = store.blocks[: -(-store.rows // BLOCK_ROWS)], store.rows, store.version
            found = None if wanted is None else [store.at.get(one, -1) for one in plain(wanted)]
        if k <= 0 or not n:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        there = np.ones(n, np.bool_)
        if found is not None:
            there[:] = False
            there[[row for row in found if row >= 0]] = True
        if flags is not None:
            there[: flags.size] &= flags[:n].view(np.bool_)
            there[flags.size :] = False
        for first, block in enumerate(blocks):
            part = there[first * BLOCK_ROWS : (first + 1) * BLOCK_ROWS]
            died = block.died[: part.size]
            part &= (died == 0) | (died > version)
            if group is not None:
                part &= np.isin(block.groups[: part.size], group)
        ids, scores = self._nearest(blocks, there, Query(q), k, plan, rescore)
        if min_score is not None:
            ids, scores = ids[scores >= min_score], scores[scores >= min_score]
        return ids, scores

    def _nearest(
        self, blocks: list[Block], there: Flags, query: Query, k: int, plan: str, rescore: int
    ) -> Found:
        count = int(there.sum())
        if plan == "auto":
            plan = self._plan(count)
        k = min(k, count)
        if plan == "exact" or not k:
            return best_of(*self._scan(blocks, there, query.float_scores, by_id=True), k)
        settling = max(32, 4 * k)
        if rescore <= 0:
            rescore = (self.candidates or max(800, 40 * k)) if plan == "bits" else settling
        rescore = min(max(rescore, k), count)
        while True:
            rows, edge = self._candidates(blocks, there, query, plan, rescore, settling)
            scores, ids = self._rescored(blocks, rows, query)
            found = best_of(scores, ids, k)
            if not (edge & (scores == found[1][-1])).any():
                return found
            # More vectors are equal than there are candidates: take more, until the lowest ids are among them.
            rescore, settling = min(CROWDED * rescore, count), CROWDED * settling

    def _candidates(
        self, blocks: list[Block], there: Flags, query: Query, plan: str, size: int, settling: int
    ) -> tuple[Ids, Flags]:
        """Rows to be rescored, ascending, and which of them are no better than what was left out."""
        if plan == "int8":
            return chosen(*self._scan(blocks, there, query.int8_scores, by_id=False), size)
        rows, edge = self._codes(blocks, there, query, size)
        if self._tiers & 2 and self._tiers & 12:
            near = [query.int8_scores(block, at) for _, block, at in by_block(blocks, rows)]
            kept, late = chosen(np.concatenate(near), np.arange(rows.size), settling)
            rows, edge = rows[kept], edge[kept] | late
        return rows, edge

    def _plan(self, rows: int) -> str:
        tiers = self._tiers
        if tiers & 12 and (rows <= EXACT_ROWS or not tiers & 3):
            return "exact"
        if tiers & 2 and (rows <= INT8_ROWS or not self.codes_trusted or not tiers & 1):
            return "int8"
        return "bits" if tiers & 1 and (self.codes_trusted or not tiers & 12) else "exact"

    @staticmethod
    def _scan(blocks: list[Block], there: Flags, scores_of: Any, *, by_id: bool) -> tuple[Floats, Ids]:
        scores, ids = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        for number, block in enumerate(blocks):
            for first in range(0, BLOCK_ROWS, SCAN_ROWS):  # what is widened stays in the cache
                start = number * BLOCK_ROWS + first
                part = there[start : start + SCAN_ROWS]
                rows: Any = (
                    slice(first, first + SCAN_ROWS)
                    if part.size == SCAN_ROWS and part.all()
                    else first + np.flatnonzero(part)
                )
                if part.any():
                    scores.append(scores_of(block, rows))
                    ids.append(block.ids[rows] if by_id else start + np.flatnonzero(part))
        return np.concatenate(scores), np.concatenate(ids)

    @staticmethod
    def _codes(blocks: list[Block], there: Flags, query: Query, candidates: int) -> tuple[Ids, Flags]:
        """The nearest codes: smaller distance first, then lower row; and which are at the edge."""
        every = np.empty(there.size, np.uint16)
        for number, block in enumerate(blocks):
            part = every[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
            if there[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS].any():
                part[:] = query.distances(block, part.size)
        rows = np.flatnonzero(there)
        distances = every if rows.size == every.size else every[rows]
        counts = np.cumsum(np.bincount(distances))
        worst = int(np.searchsorted(counts, candidates))
        near = np.flatnonzero(distances <= worst)
        if near.size > candidates:
            ties = np.flatnonzero(distances[near] == worst)
            near = np.delete(near, ties[ties.size - (near.size - candidates) :])
        return rows[near], (distances[near] == worst) & (near.size < rows.size)

    def _rescored(self, blocks: list[Block], rows: Ids, query: Query) -> tuple[Floats, Ids]:
        scores, ids = np.empty(rows.size, np.float32), np.empty(rows.size, np.int64)
        for here, block, at in by_block(blocks, rows):
            ids[here] = block.ids[at]
            if block.floats is not None:
                scores[here] = query.float_scores(block, at)
            elif block.codes is not None:
                scores[here] = query.int8_scores(block, at) * query.scale
            else:
                scores[here] = query.estimates(block, at)
        return scores, ids

    def search_batch(self, queries: Any, k: int, **options: Any) -> Found:
        return _alike.batch(self, _checks.floats(queries, "queries", 2), k, options)

    def probe(self, samples: int = 16, k: int = 10) -> float:
        _checks.plan_number("bits", self._tiers)
        return _alike.recall(self, samples, k)

    def stats(self) -> dict[str, int]:
        tiers, dim = self._tiers, self.dim
        each = 20 + (dim + 63) // 64 * 8 * (tiers & 1) + (dim + 4 if tiers & 2 else 0)
        each += dim * (4 if tiers & 8 else 2) if tiers & 12 else 0
        return {
            "rows": len(self),
            "dead": self._store.rows - len(self),
            "blocks": len(self._store.blocks),
            "bytes": self._store.rows * each,
            "version": self._store.version,
            "generation": self.generation,
        }
