"""What goes into a segment and what comes out, and how vectors lie in SQLite: float16, little-endian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

import mimo_core

Floats: TypeAlias = npt.NDArray[np.float32]
# A vector as callers have it: an array, or plain numbers.
Vector: TypeAlias = npt.NDArray[np.floating[Any]] | Sequence[float]


def kernels() -> str:
    """What compares vectors here: compiled or not, and for which instructions."""
    return f"{mimo_core.implementation()} {mimo_core.isa()}"


class Row(NamedTuple):
    """A vector as it is stored, under the id of what it stands for."""

    id: int
    blob: bytes
    group: int = 0  # a small number to narrow searches by, such as that of a namespace


class Columns(NamedTuple):
    """Many rows. Where a hundred thousand are read, an object for each costs more than what is done with it."""

    ids: Sequence[int]
    blobs: Sequence[bytes]
    groups: Sequence[int]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Columns:
        ids, blobs, groups = list[int](), list[bytes](), list[int]()
        for id_, blob, group in rows:
            ids.append(id_)
            blobs.append(blob)
            groups.append(group)
        return cls(ids, blobs, groups)

    def rows(self) -> Iterator[Row]:
        return map(Row, self.ids, self.blobs, self.groups)


class Neighbour(NamedTuple):
    id: int
    score: float  # the cosine, from -1 to 1


def to_blob(vector: Vector) -> bytes:
    """The vector at length 1, as it is stored.

    Raises:
        TypeError, ValueError: it holds no floats, or not only finite ones.
    """
    return mimo_core.to_f16(mimo_core.normalize(np.asarray(vector)[None]))[0].astype("<f2").tobytes()


def from_blob(blob: bytes) -> Floats:
    """The vector that is stored so.

    Raises:
        ValueError: the blob is cut, or holds NaN or infinity.
    """
    return mimo_core.from_f16(np.frombuffer(blob, "<f2").astype(np.float16, copy=False)[None])[0]


def from_blobs(blobs: Sequence[bytes | None], dim: int) -> Floats:
    """The vectors that are stored so, a row each; zeros for what has none, another dimension, or is damaged."""
    blank = bytes(2 * dim)
    halves = _halves([blob if blob is not None and len(blob) == len(blank) else blank for blob in blobs], dim)
    try:
        return mimo_core.from_f16(halves)
    except ValueError:  # which is not looked for before, as it hardly ever happens
        sound = np.isfinite(halves).all(axis=1, keepdims=True)
        return mimo_core.from_f16(np.where(sound, halves, np.float16(0)))


def decoded(columns: Columns, dim: int) -> tuple[Columns, Floats, list[int]]:
    """The rows that are sound, their numbers, and the ids of those that are not.

    One damaged blob must not keep the others from being found.
    """
    size = 2 * dim
    if all(len(blob) == size for blob in columns.blobs):
        halves = _halves(columns.blobs, dim)
        try:
            return columns, mimo_core.from_f16(halves), []
        except ValueError:  # of some of them; which is looked for only now, as it hardly ever happens
            pass
    sound, refused = list[Row](), list[int]()
    for row in columns.rows():
        whole = len(row.blob) == size and np.isfinite(_halves([row.blob], dim)).all()
        if whole:
            sound.append(row)
        else:
            refused.append(row.id)
    kept = Columns.of(sound)
    return kept, mimo_core.from_f16(_halves(kept.blobs, dim)), refused


def _halves(blobs: Sequence[bytes], dim: int) -> npt.NDArray[np.float16]:
    """Blobs of the right size, a row each."""
    bits = np.frombuffer(b"".join(blobs), "<u2").astype(np.uint16, copy=False)
    return bits.view(np.float16).reshape(len(blobs), dim)
