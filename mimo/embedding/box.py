"""The model that ships with mimo: it needs no network, and costs nothing before the first text comes."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, TypeVarTuple, Unpack

import numpy as np
import trio

from mimo.embedding.embedder import State, Vectors
from mimo.embedding.windows import pooled, windows
from mimo.errors import Unusable

if TYPE_CHECKING:
    from mimo_core.encoder import Encoder

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Pieces: TypeAlias = Sequence[int]

FOLDER = Path(__file__).parent / "model"
# A window shares this many tokens with the next, so that a sentence cut by one is whole in the other.
OVERLAP = 32
# So many tokens are embedded before whoever else waits gets a turn, some 10 ms: a question does not wait for a library.
TURN = 128
# A text of 100,000 bytes has at most about this many windows; more of it is not read.
MOST_WINDOWS = 512


class Box:
    """all-MiniLM-L6-v2 in this process, in a worker thread of its own kind.

    At most `threads` callers compute at a time. The others wait in order, and take turns with who has much to embed.
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
        cut, turns, first = await self._in_thread(_begin, encoder, tuple(texts))
        rows = [first]
        for turn in turns:
            rows.append(await self._in_thread(_embed, encoder, turn))
        vectors = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return vectors if len(vectors) == len(texts) else pooled(vectors, cut)

    async def count(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have, with the two that stand around each."""
        encoder = await self._load()
        return await self._in_thread(_count, encoder, tuple(texts))

    async def _in_thread(self, work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
        return await trio.to_thread.run_sync(work, *arguments, limiter=self._limiter)

    async def _load(self) -> Encoder:
        if self._encoder is not None:
            return self._encoder
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


def _begin(encoder: Encoder, texts: tuple[str, ...]) -> tuple[list[int], list[list[Pieces]], Vectors]:
    """How many windows each text has, the turns that are left, and the vectors of the first."""
    room = encoder.window - 2
    cut = [windows(encoder.pieces(text), room, OVERLAP)[:MOST_WINDOWS] for text in texts]
    first, *others = _turns([window for its in cut for window in its])
    return [len(its) for its in cut], others, _embed(encoder, first)


def _turns(flat: Sequence[Pieces]) -> list[list[Pieces]]:
    turns, room = [list[Pieces]()], TURN
    for window in flat:
        if len(window) > room and turns[-1]:
            turns.append([])
            room = TURN
        turns[-1].append(window)
        room -= len(window)
    return turns


def _embed(encoder: Encoder, turn: list[Pieces]) -> Vectors:
    return encoder.embed_pieces(turn, trio.from_thread.check_cancelled)


def _count(encoder: Encoder, texts: tuple[str, ...]) -> int:
    return sum(len(encoder.pieces(text)) + 2 for text in texts)


def _name(weights: Path) -> str:
    try:
        with weights.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            return str(json.loads(file.read(min(size, 1 << 20)))["__metadata__"]["id"])
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise Unusable(f"the embedding model in {weights.parent} cannot be read: {error}") from error
