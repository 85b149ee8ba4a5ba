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
# What is expected of a store before anything is known of it: its first notes are of this and that.
EXPECTED = 0.05
# So many memories say as much as the expectation does; and more than MANY do not move it. Few that are all about one
# thing do not make it chance to ask for that thing: up to FEW the level is never above the usual.
CONVINCING, FEW, MANY = 8, 256, 4_096
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
        """The cosine that says nothing: what is expected, and ever more what is seen."""
        count = self._count
        if self._total is None or count < 2:
            return EXPECTED
        # The square of the sum holds every pair twice, and each vector with itself.
        mean = (float(self._total @ self._total) - count) / (count * (count - 1))
        mean = min(max(mean, 0.0), HIGHEST)
        level = (mean * count + EXPECTED * CONVINCING) / (count + CONVINCING)
        return min(level, USUAL) if count < FEW else level


def steadied(cosines: Floats, level: float) -> Floats:
    """As they would be if chance gave the usual: `level` becomes that, and what is the same stays the same."""
    return (USUAL + (cosines - level) * ((1 - USUAL) / (1 - level))).astype(np.float32)
