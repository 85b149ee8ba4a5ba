"""What it takes to be an embedder: texts in, vectors out, and a name that says which model made them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class State(enum.Enum):
    """How an embedder is. What it was asked last decides; nobody probes in the background."""

    IDLE = "idle"  # not asked yet: nothing is loaded, nobody was called
    READY = "ready"
    DOWN = "down"  # the last request failed, or the breaker is open


class Embedder(Protocol):
    """Makes vectors of length 1, all of one model and dimension."""

    @property
    def model(self) -> str:
        """Which model, weights and precision: vectors of different names are never compared."""
        ...

    @property
    def dim(self) -> int:
        """How many numbers a vector has; 0 while a remote model has not said."""
        ...

    @property
    def state(self) -> State: ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text. Cancellation takes effect between two batches.

        Raises:
            Unavailable: the model cannot be reached or loaded; it may be back later.
            TooSlow: it did not answer in its time.
            Unusable: it is set up wrongly (no such model, another dimension, not let in).
            Busy: it wants to be asked later; `details["after"]` may say when.
            InvalidArguments: it does not take one of these texts, or anything of this kind.
        """
        ...
