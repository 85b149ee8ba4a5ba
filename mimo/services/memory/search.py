"""Finding: words and meaning each name candidates, what stands around them is weighed, the best are handed back.

Two visits to the database and one to the vectors. Where an arm cannot run, the others answer and it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

import numpy as np
import numpy.typing as npt
import trio

from mimo.errors import TooSlow, Unavailable, Unusable
from mimo.services.memory import ranking
from mimo.services.memory.found import Found, Hit, Question
from mimo.services.memory.ranking import REACH, Floats, Integers
from mimo.services.memory.relevance import THRESHOLD, says_nothing
from mimo.services.memory.strategies import WEIGHTS
from mimo.services.memory.weighing import Weighed, best_by_words, weighed
from mimo.services.memory.words import pieces_of
from mimo.storage.database import Database
from mimo.storage.engram_gather import ByWords, by_words, gather_around
from mimo.storage.engram_search import Candidate, labels_of

# How many candidates each arm names. With more of them recall does not grow and the second visit does.
FROM_WORDS = 90
FROM_MEANING = 90


class Near(Protocol):
    """Vectors beside their ids, as `mimo.vector.Segment` is."""

    async def nearest(
        self,
        query: Floats,
        k: int,
        *,
        groups: Integers | None = None,
        allowed: Integers | None = None,
    ) -> Sequence[tuple[int, float]]: ...


class Meaning(Protocol):
    """Texts to vectors, as an `Embedder` is."""

    @property
    def model(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


class Search:
    """Search over everything that is stored. `near` gives the vectors of the embedder's model, once there are any."""

    def __init__(
        self,
        database: Database,
        meaning: Meaning | None,
        near: Callable[[], Near | None],
        *,
        clock: Callable[[], float],
        weights: Mapping[str, ranking.Weights] = WEIGHTS,
        threshold: float = THRESHOLD,
    ) -> None:
        self._database = database
        self._meaning = meaning
        self._near = near
        self._clock = clock
        self._weights = weights
        self._threshold = threshold
        self._sizes: dict[tuple[str, ...] | None, int] = {}
        self._sized_at = -1

    async def find(self, question: Question) -> Found:
        """The hits of one page, best first; `abstained` when nothing bears on the question."""
        them, arms = await self.weigh(question)
        page = range(question.offset, min(question.offset + question.limit, len(them.candidates)))
        ids = [them.candidates[at].id for at in page]
        references, tags = await self._database.read(labels_of, ids)
        names = ranking.FEATURES
        worth = them.features * ranking.vector_of(self._weights[question.strategy])
        hits = tuple(
            _hit(
                them.candidates[at],
                float(them.scores[at]),
                references,
                tags,
                {name: round(float(part), 4) for name, part in zip(names, worth[at], strict=True) if part}
                if question.why
                else None,
            )
            for at in page
        )
        nothing = says_nothing(them.relevance, self._threshold)
        return Found(hits, arms, nothing, len(them.candidates) > page.stop)

    async def weigh(self, question: Question) -> tuple[Weighed, Mapping[str, str]]:
        """All candidates in order, and which arms ran."""
        now = round(self._clock() * 1000)
        self._forget_old_sizes()
        vector: Floats | None = None
        arms: dict[str, str] = {}

        async def embed() -> None:
            nonlocal vector
            vector, arms["meaning"] = await self._embedded(question.text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(embed)
            said = await self._database.read(
                by_words, question.text, " ".join(pieces_of(question.text)), question.filter, now, self._sizes
            )
        arms["words"] = "ran" if said.terms else "no words in the question"
        idf = ranking.inverse_frequency(said.found_in, said.total)
        ids = best_by_words(said, idf, FROM_WORDS)
        if vector is not None:
            near, arms["meaning"] = await self._nearest(vector, said)
            ids = list(
                dict.fromkeys(one for pair in zip_longest(ids, near) for one in pair if one is not None)
            )
        model = self._meaning.model if self._meaning is not None and vector is not None else ""
        around = await self._database.read(gather_around, ids, question.filter, now, REACH, model)
        arms["context"] = "ran" if len(around.neighbours) > len(around.candidates) else "no sessions"
        return weighed(question, said, around, vector, idf, self._weights[question.strategy], now), arms

    async def _embedded(self, text: str) -> tuple[Floats | None, str]:
        if self._meaning is None:
            return None, "no embedder"
        if self._near() is None:
            return None, "no vectors yet"
        try:
            return (await self._meaning.embed([text]))[0], "ran"
        except (Unavailable, TooSlow, Unusable) as error:
            return None, f"did not run: {error.message}"

    async def _nearest(self, vector: Floats, said: ByWords) -> tuple[list[int], str]:
        near = self._near()
        if near is None:
            return [], "no vectors yet"
        groups = None if said.groups is None else np.array(said.groups, np.int64)
        try:
            found = await near.nearest(vector, FROM_MEANING, groups=groups, allowed=said.allowed)
        except Unavailable as error:
            return [], f"did not run: {error.message}"
        return [id_ for id_, _ in found], "ran"

    def _forget_old_sizes(self) -> None:
        """Counts of engrams are counted again when the store has grown by some hundred changes since."""
        last = self._database.changed.last
        if self._sized_at < 0 or abs(last - self._sized_at) > 200:
            self._sizes = {}
            self._sized_at = last


def _hit(
    one: Candidate,
    score: float,
    references: Mapping[int, tuple[str, ...]],
    tags: Mapping[int, tuple[str, ...]],
    why: Mapping[str, float] | None,
) -> Hit:
    return Hit(
        id=one.id,
        content=one.content,
        kind=one.kind,
        namespace=one.namespace,
        score=round(score, 4),
        references=references.get(one.id, ()),
        tags=tags.get(one.id, ()),
        session=one.session,
        position=one.position,
        importance=one.importance,
        state=one.state,
        client=one.client,
        trust=one.trust,
        created_at=one.created_at,
        valid_from=one.valid_from,
        valid_to=one.valid_to,
        superseded_by=one.superseded_by,
        why=why,
    )
