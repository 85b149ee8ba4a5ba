"""Texts to vectors: all-MiniLM-L6-v2, by our own kernels or by their twin in NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mimo_core import implementation
from mimo_core._weights import WIDTH, Weights
from mimo_core.wordpiece import WordPiece

Vectors = npt.NDArray[np.float32]

# Tokens that go through the model together. More makes no text faster; fewer lets go of the thread
# sooner (a fifth of a second here on an old core), and the workspace stays below 8 MB.
BATCH = 512
# The table of words has 23 MB, of which a token reads 768 bytes and the system maps 64 KB: who embeds a library
# would soon hold all of it. After so many tokens it is let go of; to map again what is needed takes 1 us each.
TOKENS_HELD = 1_024


class Forward(Protocol):
    """The model's pass over packed tokens: compiled, or in NumPy."""

    def __init__(self, weights: Weights) -> None: ...
    def run(self, pieces: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]) -> Vectors: ...


class Encoder:
    """The model in a folder, mapped into memory. Threads may share it.

    Vectors have length 1. A text of more than `window` tokens (marks of start and end included) is
    cut there, as the reference does; `pieces` and `embed_pieces` let a caller cut it otherwise.

    Raises:
        OSError: a file of the model is missing.
        BadWeights: a file is damaged or another model's.
    """

    dim = WIDTH

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._weights = weights = Weights(folder / "weights.safetensors")
        self._held = 0
        self.id = weights.id
        self.window = weights.window
        self._words = weights["words"].shape[0]
        self._wordpiece = WordPiece(folder / "vocab.txt", self._words)
        self._forward = _forward()(weights)

    def pieces(self, text: str) -> list[int]:
        """All word pieces of a text, without the marks of start and end."""
        return self._wordpiece.pieces(text)

    def embed(self, texts: Sequence[str], between: Callable[[], object] | None = None) -> Vectors:
        """A vector for each text. `between` is called before every batch, and may raise to stop there."""
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of strings, not one string")
        return self.embed_pieces([self.pieces(text) for text in texts], between)

    def embed_pieces(
        self, pieces: Sequence[Sequence[int]], between: Callable[[], object] | None = None
    ) -> Vectors:
        """A vector for each sequence of word pieces; what does not fit the window is cut off."""
        start, end, room = self._wordpiece.start, self._wordpiece.end, self.window - 2
        marked = [[start, *its[:room], end] for its in pieces]
        for its in marked:
            if min(its) < 0 or max(its) >= self._words:
                raise ValueError(
                    f"word pieces lie between 0 and {self._words - 1} (got {min(its)} to {max(its)})"
                )
        vectors = np.empty((len(marked), WIDTH), np.float32)
        for batch in _batches([len(its) for its in marked]):
            if between is not None:
                between()
            packed = np.fromiter((piece for at in batch for piece in marked[at]), np.int32)
            starts = np.fromiter(accumulate((len(marked[at]) for at in batch), initial=0), np.int32)
            vectors[batch] = self._forward.run(packed, starts)
            self._hold(len(packed))
        return vectors

    def _hold(self, tokens: int) -> None:
        self._held += tokens
        if self._held >= TOKENS_HELD:
            self._held = 0
            self._weights.release("words")


def _forward() -> type[Forward]:
    """The compiled pass where the vectors' functions are compiled, too; else the twin."""
    if implementation() == "cython":
        try:
            from mimo_core._encoder import Forward as Compiled

            return Compiled
        except ImportError:
            if os.environ.get("MIMO_CORE") == "cython":
                raise
    from mimo_core._numpy_encoder import Forward as Twin

    return Twin


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which texts go together: by length, so that equal ones are neighbours, up to BATCH tokens."""
    batch: list[int] = []
    tokens = 0
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and tokens + lengths[at] > BATCH:
            yield batch
            batch, tokens = [], 0
        batch.append(at)
        tokens += lengths[at]
    if batch:
        yield batch
