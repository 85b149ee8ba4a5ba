"""The model before the chosen one, asked about questions as long as the chosen one has not made all vectors anew.

Only its name is left, beside its vectors. So it can be asked where the chosen one is asked, and nowhere else: what was
another service's address has left the settings, and to ask there is not wanted any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from mimo.embedding.embedder import Embedder, State, Vectors
from mimo.embedding.questions import once
from mimo.errors import InvalidArguments, Unavailable, Unusable
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import Model, models, samples
from mimo.vector import from_blobs

log = logging.getLogger(__name__)

# Some servers answer by whatever model they have loaded, under any name. Who makes other vectors of the texts that it
# embedded before is another model; one of the texts may have been reworded since.
SAMPLES, SAME = 3, 0.95

# An embedder of this name and dimension, if it can be asked.
Make: TypeAlias = Callable[[str, int], Embedder | None]


class Former:
    """An `Embedder`; nobody (and named "") until `look` has found vectors of one, and after that one has refused."""

    def __init__(self, database: Database, make: Make, chosen: str) -> None:
        self._database = database
        self._make = make
        self._chosen = chosen
        self._embedder: Embedder | None = None
        self._left: Model | None = None
        self._known = False

    @property
    def model(self) -> str:
        return "" if self._embedder is None else self._embedder.model

    @property
    def dim(self) -> int:
        return 0 if self._embedder is None else self._embedder.dim

    @property
    def state(self) -> State:
        return State.IDLE if self._embedder is None else self._embedder.state

    async def look(self) -> None:
        """Who left vectors here; the last of them that can be asked."""
        for left in reversed(await self._database.read(models)):
            made = None if left.name == self._chosen else self._make(left.name, left.dim)
            if made is not None:
                self._embedder, self._left, self._known = once(made), left, False
                return

    async def embed(self, texts: Sequence[str]) -> Vectors:
        embedder, left = self._embedder, self._left
        if embedder is None or left is None:
            raise Unavailable("the model before this one cannot be asked")
        try:
            if not self._known:
                await self._recognise(embedder, left)
                self._known = True
            return await embedder.embed(texts)
        except (Unusable, InvalidArguments) as error:
            log.warning("%s cannot be asked any more: %s", left.name, error.message)
            self._embedder = None
            raise

    async def _recognise(self, embedder: Embedder, left: Model) -> None:
        before = await self._database.read(samples, left.id, SAMPLES)
        now = await embedder.embed([text for text, _ in before])
        alike = (now * from_blobs([blob for _, blob in before], left.dim)).sum(axis=1)
        if not np.median(alike) >= SAME:
            raise Unusable(f"another model answers as {left.name} now")
