"""What chance looks like in this store: how near its memories are to one another on the whole, by the model in use.

To one model nothing is nearer than 0.1 by chance, to another nothing further than 0.7; and where all notes are about
one thing, all are near. So a cosine says something only beside what chance gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimo.services.memory.ranking import Floats
from mimo.vector import from_blobs

# The store on which the constants of relevance.py were found: long talks, by the model in the box.
USUAL = 0.283
# From fewer one cannot tell, and more do not move it.
ENOUGH, MANY = 256, 4_096
# What is near to nearly everything is not told apart by any threshold.
HIGHEST = 0.95


class Chance:
    """The mean cosine of any two of the vectors that were noted."""

    def __init__(self) -> None:
        self._count = 0
        self._total: Floats | None = None

    def note(self, blobs: Sequence[bytes], dim: int) -> None:
        if self._count >= MANY or not blobs:
            return
        vectors = from_blobs(blobs, dim)
        lengths = np.linalg.norm(vectors, axis=1)
        sound = vectors[lengths > 0] / lengths[lengths > 0, None]
        total = sound.sum(axis=0, dtype=np.float32)
        self._total = total if self._total is None else self._total + total
        self._count += len(sound)

    @property
    def level(self) -> float:
        """The cosine that says nothing; the usual one, as long as too little is stored to tell."""
        if self._total is None or self._count < ENOUGH:
            return USUAL
        count = self._count
        # The square of the sum holds every pair twice, and each vector with itself.
        mean = (float(self._total @ self._total) - count) / (count * (count - 1))
        return min(max(mean, 0.0), HIGHEST)


def steadied(cosines: Floats, level: float) -> Floats:
    """As they would be if chance gave the usual: `level` becomes that, and what is the same stays the same."""
    return (USUAL + (cosines - level) * ((1 - USUAL) / (1 - level))).astype(np.float32)
