"""Finding: words and meaning each name candidates, what stands around them is weighed, the best are handed back.

Two short visits to the database and one to the vectors. Where an arm cannot run, the others answer and it is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import trio

from mimo.errors import MimoError, Unavailable
from mimo.services.memory import ranking
from mimo.services.memory.chance import USUAL
from mimo.services.memory.found import Found, Hit, Question
from mimo.services.memory.ranking import Floats, Integers
from mimo.services.memory.relevance import THRESHOLD, says_nothing
from mimo.services.memory.strategies import WEIGHTS
from mimo.services.memory.weighing import Weighed, best_by_words, weighed
from mimo.services.memory.words import pieces_of
from mimo.storage.database import Database
from mimo.storage.engrams.gather import ByWords, Known, by_words
from mimo.storage.engrams.search import Shown
from mimo.storage.engrams.windows import Windows, with_windows
from mimo.vector import from_blobs

# How many candidates each arm names, whichever page is asked for: with others, a page would be one of another list.
# With 120 instead of 50 recall stays the same (82.6 against 82.6 % on long talks), and the visit to what stands around
# them takes twice as long.
FROM_EACH = 50


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

    @property
    def holds(self) -> bool: ...

    def held(self, ids: Integers) -> Floats: ...


class Meaning(Protocol):
    """Texts to vectors, as an `Embedder` is."""

    @property
    def model(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


# A question's text and the namespaces that are searched: more words for it, and engrams that may bear on it.
Also: TypeAlias = Callable[[str, Sequence[str] | None], Awaitable[tuple[Sequence[str], Sequence[int]]]]


class _Words(NamedTuple):
    """What the words of the question say."""

    said: ByWords
    idf: Floats
    best: Sequence[int]


class _Named(NamedTuple):
    """The candidates, and what was learned of the question on the way."""

    ids: Sequence[int]
    by_arm: Sequence[Sequence[int]]
    words: _Words
    vector: Floats | None
    arms: Mapping[str, str]


class _Page(NamedTuple):
    """Everything that was weighed, and which of it are on this page."""

    them: Weighed
    places: range
    in_sessions: bool
    crowded: bool  # what may not be shown has taken the places of what may


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
        chance: Callable[[], float] = lambda: USUAL,
        lacking: Callable[[], str] = lambda: "",
    ) -> None:
        """`lacking` says what has no vector yet that should have one, if that is worth saying."""
        self._database = database
        self._meaning = meaning
        self._near = near
        self._clock = clock
        self._weights = weights
        self._threshold = threshold
        self._chance = chance
        self._lacking = lacking
        self._known = Known()
        self._known_at: int = -1
        self._counted_at: int = -1
        self.also: Also | None = None  # what others know of a question; set when the house is built

    async def find(self, question: Question) -> Found:
        """The hits of one page, best first; `abstained` when nothing bears on the question."""
        now = self._now()
        more, known = (
            ((), ()) if self.also is None else await self.also(question.text, question.filter.namespaces)
        )
        vector, arm, words = await self._looked_up(question, more, now)
        named = await self._named(question, vector, arm, words, known, asked=bool(more or known))
        page, shown = await self._weighed(question, named, now)
        if page.crowded:
            words = await self._words(question, more, now, strictly=True)
            named = await self._named(question, vector, arm, words, known, asked=bool(more or known))
            page, shown = await self._weighed(question, named, now)
        them = page.them
        worth = them.features * ranking.vector_of(self._weights[question.strategy])
        hits = tuple(
            _hit(shown, them.ids[at], float(them.scores[at]), _why(worth[at]) if question.why else None)
            for at in page.places
        )
        arms = {**named.arms, "context": "ran" if page.in_sessions else "no sessions"}
        nothing = says_nothing(them.relevance, self._threshold)
        relevance = float(them.relevance.max()) if len(them.relevance) else 0.0
        further = len(them.ids) > page.places.stop
        ended = not (further or nothing) and any(len(arm) >= _from_each(question) for arm in named.by_arm)
        return Found(hits, arms, nothing, relevance, further, ended)

    async def _named(
        self,
        question: Question,
        vector: Floats | None,
        arm: str,
        words: _Words,
        known: Sequence[int],
        *,
        asked: bool,
    ) -> _Named:
        """Whoever the arms name, the most promising first, and which arms ran. `asked`: the graph had something to say."""
        arms = {"words": "ran" if words.said.terms else "no words in the question", "meaning": arm}
        ids = words.best
        near: list[int] = []
        if vector is not None:
            near, arms["meaning"] = await self._nearest(vector, words.said, _from_each(question))
            both = zip_longest(words.best, near)  # the most promising of each arm first
            ids = list(dict.fromkeys(one for pair in both for one in pair if one is not None))
        if asked:
            ids, arms["facts"] = list(dict.fromkeys([*ids, *known])), "ran"
        return _Named(ids, (words.best, near), words, vector, arms)

    async def _weighed(self, question: Question, named: _Named, now: int) -> tuple[_Page, Shown]:
        weights, chance = self._weights[question.strategy], self._chance()
        full = _from_each(question)
        (said, idf, _), vector = named.words, named.vector
        near = None if vector is None else self._near()
        held = None if near is None or not near.holds else near.held

        def weigh(around: Windows | None) -> tuple[_Page, Sequence[int]]:
            vectors = None
            if vector is not None and around is not None:
                vectors = from_blobs(around.vectors, len(vector)) if held is None else held(around.ids)
            them = weighed(question, said, around, vector, vectors, idf, weights, now, chance)
            places = range(question.offset, min(question.offset + question.limit, len(them.ids)))
            there = set(them.ids)
            crowded = said.allowed is None and any(
                len(arm) >= full and 2 * len(there.intersection(arm)) < len(arm) for arm in named.by_arm
            )
            page = _Page(them, places, around is not None and around.in_sessions, crowded)
            return page, [them.ids[at] for at in places]

        model = self._meaning.model if self._meaning and vector is not None and held is None else None
        return await self._database.read(with_windows, weigh, named.ids, question.filter, now, model)

    async def _looked_up(
        self, question: Question, more: Sequence[str], now: int
    ) -> tuple[Floats | None, str, _Words]:
        """The question's vector and what has its words, at the same time."""
        said: list[_Words] = []
        failed: list[MimoError] = []

        async def look_up() -> None:
            try:
                said.append(await self._words(question, more, now))
            except MimoError as error:  # not in a group: it is the caller's to understand
                failed.append(error)
                nursery.cancel_scope.cancel()

        embedded: tuple[Floats | None, str] = None, ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_up)
            embedded = await self._embedded(question.text)  # takes longer, and so begins first
        if failed:
            raise failed[0]
        return *embedded, said[0]

    async def _words(
        self, question: Question, more: Sequence[str], now: int, *, strictly: bool = False
    ) -> _Words:
        self._forget()
        pieces = " ".join([*pieces_of(question.text), *more])

        known, allowed, limit = self._known, question.filter, _from_each(question)
        return await self._database.read(
            lambda db: _best(by_words(db, question.text, pieces, allowed, now, known, strictly), limit)
        )

    async def _embedded(self, text: str) -> tuple[Floats | None, str]:
        if self._meaning is None:
            return None, "no embedder"
        if self._near() is None:
            lacking = self._lacking()
            return None, f"did not run: {lacking}" if lacking else "no vectors yet"
        try:
            return (await self._meaning.embed([text]))[0], "ran"
        except MimoError as error:  # whatever it is, words answer
            return None, f"did not run: {error.message}"

    async def _nearest(self, vector: Floats, said: ByWords, wanted: int) -> tuple[list[int], str]:
        near = self._near()
        if near is None:
            return [], "no vectors yet"
        groups = None if said.groups is None else np.array(said.groups, np.int64)
        try:
            found = await near.nearest(vector, wanted, groups=groups, allowed=said.allowed)
        except Unavailable as error:
            return [], f"did not run: {error.message}"
        lacking = self._lacking()
        return [id_ for id_, _ in found], f"ran over a part: {lacking}" if lacking else "ran"

    def _now(self) -> int:
        return round(self._clock() * 1000)

    def _forget(self) -> None:
        """Rows are read again after any change, engrams counted again when the store has grown by some hundred."""
        last = self._database.changed.last
        if last == self._known_at:
            return
        if self._counted_at < 0 or abs(last - self._counted_at) > 200:
            self._known, self._counted_at = Known(), last
        else:
            self._known = self._known.counts()
        self._known_at = last


def _best(said: ByWords, limit: int) -> _Words:
    idf = ranking.inverse_frequency(said.found_in, said.total)
    return _Words(said, idf, best_by_words(said, idf, limit))


def _from_each(question: Question) -> int:
    return max(FROM_EACH, question.limit)


def _why(worth: Floats) -> dict[str, float]:
    """Each feature's part in the sum, of those that have one."""
    return {name: round(float(part), 4) for name, part in zip(ranking.FEATURES, worth, strict=True) if part}


def _hit(known: Shown, id_: int, score: float, why: Mapping[str, float] | None) -> Hit:
    one = known.rows[id_]
    return Hit(
        id=id_,
        content=one.content,
        kind=one.kind,
        namespace=one.namespace,
        score=round(score, 4),
        references=known.references.get(id_, ()),
        tags=known.tags.get(id_, ()),
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
