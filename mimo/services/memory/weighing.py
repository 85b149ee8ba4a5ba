"""From what the database knows of some candidates to their order: arrays are made of rows, then weighed.

Pure: no I/O, about a millisecond for some hundred candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from mimo.services.memory import ranking
from mimo.services.memory.chance import USUAL, steadied
from mimo.services.memory.found import Question
from mimo.services.memory.ranking import Floats, Integers
from mimo.services.memory.relevance import Bools, relevance, scores
from mimo.services.memory.times import spans_in
from mimo.storage.engrams.gather import ByWords
from mimo.storage.engrams.traits import hashed
from mimo.storage.engrams.windows import Windows

ASKS_WHEN = (
    "when ",
    "how long",
    "what year",
    "what month",
    "what date",
    "what day",
    "since when",
    "which year",
)
WORKING_BONUS = 0.2
MEANINGS = [ranking.FEATURES.index(name) for name in ("own_meaning", "meaning")]
DAY_MS = 86_400_000
# From the first id to the last: 1.6 MB of counters, which take as long as to sort what is found by eight words.
MOST_COUNTED = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """The candidates, best first, with what each feature gives."""

    ids: tuple[int, ...]
    features: Floats
    scores: Floats  # 0..1, the best first
    relevance: Floats  # how likely each bears on the question, 0..1


def weighed(
    question: Question,
    said: ByWords,
    around: Windows | None,
    vector: Floats | None,
    vectors: Floats | None,
    idf: Floats,
    weights: ranking.Weights,
    now: int,
    chance: float = USUAL,
) -> Weighed:
    """Each of the candidates in `around`, in order. Without the question's `vector` words alone count; with it,
    `vectors` are those of all rows in `around`, zeros where there is none.

    `chance` is the cosine that says nothing (see chance.py).
    """
    if around is None or not len(around.candidates):
        none = np.zeros((0, len(ranking.FEATURES)), np.float32)
        return Weighed((), none, none[:, 0], none[:, 0])
    at = around.candidates
    words = {term.word for term in said.terms}
    speakers = {speaker: tuple(speaker.split()) for speaker in set(around.speakers) if speaker}
    named = {speaker for speaker, names in speakers.items() if words.issuperset(names)}
    # A speaker's name is in all that they say, and their turns are known by it already.
    names = {name for parts in speakers.values() for name in parts}
    telling = np.array([term.word not in names for term in said.terms], bool)
    if not telling.any():
        telling[:] = True
    terms = np.array(hashed(term.stem for term in said.terms), np.int64)[telling]
    counts, lengths = ranking.counted(around.terms, terms)
    spans = list(spans_in(question.text, datetime.fromtimestamp(now / 1000, UTC)))
    by_named = np.zeros(len(at), np.float32)
    if len(named) == 1:
        by_named[:] = [around.speakers[row] in named for row in at.tolist()]
    time = np.zeros(len(at), np.float32)
    if spans:
        time[:] = [max(span.nearness(moment) for span in spans) for moment in around.created[at].tolist()]
    idf = idf[telling]
    if vector is not None and vectors is not None and named:
        by = np.array(around.speakers)
        said_by = [by == name for name in sorted(named)]
        vector = ranking.less_names(vector, vectors, around.window, said_by, by != "")
    field = ranking.Field(
        candidates=at,
        window=around.window,
        positions=around.positions,
        counts=counts,
        lengths=lengths,
        vectors=vectors,
        told=around.told[at],
        asks=around.asks[at],
        dated=around.dated[at],
        said_by_named=by_named,
        time=time,
        recency=np.exp(-np.maximum(0, now - around.created[at]) / (30 * DAY_MS)).astype(np.float32),
        importance=around.importance[at],
        use=np.log1p(around.uses[at]),
    )
    asks_when = question.text.lower().lstrip().startswith(ASKS_WHEN)
    table = ranking.features(field, vector, idf, float(idf.sum()), asks_when)
    if vector is not None:
        table[:, MEANINGS] = steadied(table[:, MEANINGS], chance)
    found = scores(table, ranking.vector_of(weights)) + WORKING_BONUS * around.working[at].astype(np.float32)
    order = np.lexsort((around.ids[at], -found))
    relevant = relevance(table, _without_vector(field), _said(counts[at]))
    ids: list[int] = around.ids[at][order].tolist()
    return Weighed(tuple(ids), table[order], np.minimum(found[order], 1.0), relevant[order])


def _said(counts: Floats) -> Floats:
    """How many of the question's words each says, as a share."""
    return (counts > 0).sum(axis=1, dtype=np.float32) / np.float32(max(counts.shape[1], 1))


def _without_vector(field: ranking.Field) -> Bools:
    """Which candidates have none, or none to compare with the question's."""
    if field.vectors is None:
        return np.ones(len(field.candidates), np.bool_)
    return np.abs(field.vectors[field.candidates]).max(axis=1, initial=0) == 0


def best_by_words(said: ByWords, idf: Floats, limit: int) -> list[int]:
    """The rows that share the most of the question's information with it."""
    if not said.rows or not any(len(ids) for ids in said.rows):
        return []
    lists, worths = list(said.rows), idf
    if said.together is not None:  # the newest of these are counted twice, and are the first of their like
        lists.append(said.together.rows)
        worths = np.append(idf, idf[list(said.together.terms)].sum())
    distinct, total = _summed(np.concatenate(lists), np.repeat(worths, [len(rows) for rows in lists]))
    if len(total) > limit:
        promising = total >= np.partition(total, -limit)[-limit]
        distinct, total = distinct[promising], total[promising]
    best = np.lexsort((-distinct, -total))[:limit]
    return distinct[best].tolist()


def _summed(ids: Integers, worth: Floats) -> tuple[Integers, npt.NDArray[np.float64]]:
    """Each id once, in order, and the sum of what it is worth, which is more than nothing."""
    first, last = int(ids.min()), int(ids.max())
    if last - first < MOST_COUNTED:  # a place for each that might be is filled faster than they are sorted
        total = np.bincount(ids - first, worth)
        there = np.flatnonzero(total)
        return there + first, total[there].astype(np.float64)
    distinct, at = np.unique(ids, return_inverse=True)
    return distinct, np.bincount(at, worth).astype(np.float64)
