"""The model that ships with mimo: it needs no network, and costs nothing before the first text comes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import trio

from mimo.embedding.embedder import State, Vectors
from mimo.embedding.windows import pooled, windows
from mimo.errors import Unusable

if TYPE_CHECKING:
    from mimo_core.encoder import Encoder

FOLDER = Path(__file__).parent / "model"
# A window shares this many tokens with the next, so that a sentence cut by one is whole in the other.
OVERLAP = 32
# A text of 100,000 bytes has at most about this many windows; more of it is not read.
MOST_WINDOWS = 512


class Box:
    """all-MiniLM-L6-v2 in this process, in a worker thread of its own kind.

    One batch of at most `threads` callers computes at a time; the others wait in order.
    """

    dim = 384

    def __init__(self, folder: Path = FOLDER, threads: int = 1) -> None:
        self._folder = folder
        self._limiter = trio.CapacityLimiter(threads)
        self._loading = trio.Lock()
        self._encoder: Encoder | None = None
        self._state = State.IDLE
        self._model = ""

    @property
    def model(self) -> str:
        """Read from the first bytes of the file: asking does not load the model."""
        if not self._model:
            self._model = _name(self._folder / "weights.safetensors")
        return self._model

    @property
    def state(self) -> State:
        return self._state

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text. A text beyond the window is embedded in overlapping windows, and pooled."""
        if not texts:
            await trio.lowlevel.checkpoint()
            return np.empty((0, self.dim), np.float32)
        encoder = await self._load()
        return await trio.to_thread.run_sync(_embed, encoder, tuple(texts), limiter=self._limiter)

    async def count(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have, with the two that stand around each."""
        encoder = await self._load()
        return await trio.to_thread.run_sync(_count, encoder, tuple(texts), limiter=self._limiter)

    async def _load(self) -> Encoder:
        async with self._loading:
            if self._encoder is None:
                try:
                    self._encoder = await trio.to_thread.run_sync(_open, self._folder, limiter=self._limiter)
                except (OSError, ValueError) as error:
                    self._state = State.DOWN
                    raise Unusable(
                        f"the embedding model in {self._folder} cannot be loaded: {error}"
                    ) from error
                self._state = State.READY
            return self._encoder


def _open(folder: Path) -> Encoder:
    from mimo_core.encoder import Encoder

    return Encoder(folder)


def _embed(encoder: Encoder, texts: tuple[str, ...]) -> Vectors:
    room = encoder.window - 2
    cut = [windows(encoder.pieces(text), room, OVERLAP)[:MOST_WINDOWS] for text in texts]
    counts = [len(its) for its in cut]
    vectors = encoder.embed_pieces(
        [window for its in cut for window in its], trio.from_thread.check_cancelled
    )
    return vectors if len(vectors) == len(texts) else pooled(vectors, counts)


def _count(encoder: Encoder, texts: tuple[str, ...]) -> int:
    return sum(len(encoder.pieces(text)) + 2 for text in texts)


def _name(weights: Path) -> str:
    try:
        with weights.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            return str(json.loads(file.read(min(size, 1 << 20)))["__metadata__"]["id"])
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise Unusable(f"the embedding model in {weights.parent} cannot be read: {error}") from error
