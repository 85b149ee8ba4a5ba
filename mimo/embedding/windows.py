"""Texts longer than a model's window: cut into overlapping windows, and one vector made of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def windows(pieces: Sequence[int], size: int, overlap: int) -> list[Sequence[int]]:
    """The pieces in as few windows of at most `size` as possible, evenly spread, each sharing `overlap` with the next.

    Even windows: a last one with three words in it would have a vector of its own that says little.
    """
    if len(pieces) <= size:
        return [pieces]
    count = -(-(len(pieces) - overlap) // (size - overlap))
    last = len(pieces) - size
    starts = [round(number * last / (count - 1)) for number in range(count)]
    return [pieces[start : start + size] for start in starts]


def pooled(vectors: Vectors, counts: Sequence[int]) -> Vectors:
    """The mean of each text's windows, of length 1; text i has `counts[i]` of the rows."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    sums = np.add.reduceat(vectors, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)
