"""The blocks of the twin's index, in which rows never move, and a query in the form of each tier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_core._numpy import best_of, normalized, packed, quantized, widened

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLOCK_ROWS = 16384  # a plane of codes is 2 KiB, so that the planes of a block stay in the second cache


def plain(numbers: Ids) -> list[int]:
    return numbers.tolist()


class Block:
    """Rows that never move. Zeroed memory is lent by the system page by page, so an empty block is small."""

    def __init__(self, dim: int, tiers: int) -> None:
        words = (dim + 63) // 64
        self.ids = np.zeros(BLOCK_ROWS, np.int64)
        self.groups = np.zeros(BLOCK_ROWS, np.int32)
        self.died = np.zeros(BLOCK_ROWS, np.int64)  # the version of a row's death, 0 for none
        self.planes = np.zeros((words, BLOCK_ROWS), np.uint64) if tiers & 1 else None
        self.codes = np.zeros((BLOCK_ROWS, dim), np.int8) if tiers & 2 else None
        self.scales = np.zeros(BLOCK_ROWS, np.float32) if tiers & 2 else None
        kind = np.float32 if tiers & 8 else np.float16
        self.floats = np.zeros((BLOCK_ROWS, dim), kind) if tiers & 12 else None


@dataclass(slots=True)
class Store:
    """What a search takes a snapshot of: the blocks only ever grow, at the end."""

    blocks: list[Block] = field(default_factory=list[Block])
    rows: int = 0
    version: int = 0
    at: dict[int, int] = field(default_factory=dict[int, int])


def by_block(blocks: list[Block], rows: Ids) -> Iterator[tuple[slice, Block, Ids]]:
    """Ascending rows a block at a time: which of them they are, the block, and their places in it."""
    borders = plain(np.searchsorted(rows, BLOCK_ROWS * np.arange(len(blocks) + 1)))
    for number, (first, end) in enumerate(pairwise(borders)):
        if first < end:
            yield slice(first, end), blocks[number], rows[first:end] - number * BLOCK_ROWS


def chosen(scores: Floats, rows: Ids, size: int) -> tuple[Ids, Flags]:
    """The best rows, ascending, and which of them are at the edge: no better than what was left out."""
    best, their = best_of(scores, rows, size)
    order = np.argsort(best)
    return best[order], (their[order] == their[-1:]) & (best.size < rows.size)


class Query:
    """A query in the form of each tier."""

    def __init__(self, numbers: Floats) -> None:
        row = normalized(numbers[None])
        codes, scales = quantized(row)
        self.floats: Floats = row[0]
        self.codes: npt.NDArray[np.int8] = codes[0]
        self.scale: np.float32 = scales[0]
        self.words: npt.NDArray[np.uint64] = packed(row)[0]

    def int8_scores(self, block: Block, rows: Any) -> Floats:
        assert block.codes is not None
        assert block.scales is not None
        codes = block.codes[rows]
        # Sums of products are exact integers in float32 up to 2^24, in float64 beyond.
        wide = np.float32 if codes.shape[1] * 127 * 127 < 2**24 else np.float64
        sums = np.vecdot(codes.astype(wide), self.codes.astype(wide)).astype(np.float32)
        return sums * block.scales[rows]

    def float_scores(self, block: Block, rows: Any) -> Floats:
        assert block.floats is not None
        floats = block.floats[rows]
        wide = floats if floats.dtype == np.float32 else widened(floats.astype(np.float16, copy=False))
        return np.vecdot(wide, self.floats)

    def estimates(self, block: Block, rows: Any) -> Floats:
        """What codes alone tell of the cosine: the query's int8 codes, each with the sign of the row, summed."""
        assert block.planes is not None
        words = np.ascontiguousarray(block.planes[:, rows].T).astype("<u8", copy=False)
        signs = np.unpackbits(words.view(np.uint8), axis=1, count=self.codes.size, bitorder="little")
        codes = self.codes.astype(np.float64)
        sums = 2 * (signs.astype(np.float64) @ codes) - codes.sum()
        most = np.float32(np.abs(codes).sum())
        return sums.astype(np.float32) / most if most else np.zeros(len(sums), np.float32)

    def distances(self, block: Block, n: int) -> npt.NDArray[np.uint16]:
        assert block.planes is not None
        differing = np.bitwise_count(block.planes[:, :n] ^ self.words[:, None])
        return np.add.reduce(differing, axis=0, dtype=np.uint16)
