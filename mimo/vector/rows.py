"""What goes into a segment and what comes out, and how vectors lie in SQLite: float16, little-endian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

import mimo_core

Floats: TypeAlias = npt.NDArray[np.float32]
# A vector as callers have it: an array, or plain numbers.
Vector: TypeAlias = npt.NDArray[np.floating[Any]] | Sequence[float]

EXPONENT = np.uint16(0x7C00)


class Row(NamedTuple):
    """A vector as it is stored, under the id of what it stands for."""

    id: int
    blob: bytes
    group: int = 0  # a small number to narrow searches by, such as that of a namespace


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
    whole = b"".join(blob if blob is not None and len(blob) == len(blank) else blank for blob in blobs)
    bits = np.frombuffer(whole, "<u2").reshape(len(blobs), dim).astype(np.uint16, copy=False)
    damaged = ((bits & 0x7C00) == 0x7C00).any(axis=1)  # such an exponent stands for infinity and NaN
    if damaged.any():
        bits = np.where(damaged[:, None], np.uint16(0), bits)
    return mimo_core.from_f16(bits.view(np.float16))


def decoded(rows: Sequence[Row], dim: int) -> tuple[list[Row], Floats, list[int]]:
    """The rows that are sound, their numbers, and the ids of those that are not.

    One damaged blob must not keep the others from being found.
    """
    size = 2 * dim
    sound = [row for row in rows if len(row.blob) == size]
    bits = np.frombuffer(b"".join([row.blob for row in sound]), "<u2").astype(np.uint16, copy=False)
    halves = bits.view(np.float16).reshape(len(sound), dim)
    # Infinity and NaN have every bit of the exponent set. NumPy's isfinite looks at one half at a time.
    finite = ((bits & EXPONENT) != EXPONENT).reshape(len(sound), dim).all(axis=1)
    if not finite.all():
        halves = halves[finite]
        sound = [row for at, row in enumerate(sound) if finite[at]]
    if len(sound) == len(rows):
        return sound, mimo_core.from_f16(halves), []
    kept = {row.id for row in sound}
    return sound, mimo_core.from_f16(halves), [row.id for row in rows if row.id not in kept]
