"""All segments: one for each family of namespaces, model and dimension, made when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from mimo.errors import InvalidArguments
from mimo.vector.segment import Segment, Visit


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors that may be compared with one another."""

    model: str  # and its version, as stored with every vector
    dim: int
    family: str = ""  # namespaces that share a segment, told apart by the groups of rows


class Segments:
    """The segments of one house. Threads are shared: `threads` searches, rebuilds and checks at a time.

    They are lean where `visits` gives each space its way to the stored blobs.
    """

    def __init__(self, *, threads: int = 2, visits: Callable[[Space], Visit] | None = None) -> None:
        self._limiter = trio.CapacityLimiter(threads)
        self._visits = visits
        self._all: dict[Space, Segment] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[tuple[Space, Segment]]:
        return iter(list(self._all.items()))

    def get(self, space: Space) -> Segment | None:
        """The segment of a space, if anything ever asked for it."""
        return self._all.get(space)

    def open(self, space: Space) -> Segment:
        """The segment of a space; a new one is empty, and has yet to be rebuilt.

        Raises:
            InvalidArguments: no vector has this many numbers.
        """
        if space not in self._all:
            visit = None if self._visits is None else self._visits(space)
            try:
                self._all[space] = Segment(space.model, space.dim, limiter=self._limiter, visit=visit)
            except ValueError as error:
                raise InvalidArguments(f"no segment for {space.model}: {error}") from error
        return self._all[space]

    def close(self, space: Space) -> None:
        """Give back the memory of a space that nobody asks for any more, such as a model's before the last."""
        self._all.pop(space, None)

    def stats(self) -> dict[Space, dict[str, float]]:
        return {space: segment.stats() for space, segment in self}
