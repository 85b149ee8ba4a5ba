"""A stand-in for a vector when no model can be had: the same for the same text, and never stored.

It knows nothing of meaning; equal words give near vectors, that is all. So it is a type of its own:
whoever stores vectors takes arrays, and this is none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Degraded:
    """A vector made of hashes. `numbers` is for comparing with others of its kind only."""

    numbers: npt.NDArray[np.float32]
    model: str = "hash:degraded"

    @property
    def dim(self) -> int:
        return int(self.numbers.size)

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a degraded vector is not to be stored or mixed with a model's; see .numbers")


def embedding(text: str, dim: int) -> Degraded:
    """A vector of length 1 and of this dimension, from the text's words.

    Each word adds or subtracts 1 at a few places that its hash chooses; an empty text has its own place.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1 (got {dim})")
    numbers = np.zeros(dim, np.float32)
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        for at in range(0, 32, 8):
            chosen = int.from_bytes(digest[at : at + 8], "little")
            numbers[(chosen >> 1) % dim] += 1 if chosen & 1 else -1
    if not numbers.any():  # everything cancelled out
        numbers[0] = 1
    return Degraded((numbers / np.linalg.norm(numbers)).astype(np.float32))
