"""From a sum of evidence to how likely it is that something bears on the question, and when to say that nothing does."""

from __future__ import annotations

import numpy as np

from mimo.services.memory.ranking import Floats

# Where the sum stands for even odds, and how fast it turns into certainty.
EVEN, STEEPNESS = 6.0, 0.8


def likely(evidence: Floats) -> Floats:
    """A share from 0 to 1 that grows with the evidence."""
    return (1 / (1 + np.exp(-STEEPNESS * (np.clip(evidence, -30, 60) - EVEN)))).astype(np.float32)


def says_nothing(scores: Floats, threshold: float) -> bool:
    """Whether the best of them is too weak to be an answer."""
    return len(scores) == 0 or float(scores.max()) < threshold
