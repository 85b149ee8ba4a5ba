"""From what the database knows of some candidates to their order: arrays are made of rows, then weighed.

Pure: no I/O, about a millisecond for some hundred candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mimo.services.memory import ranking
from mimo.services.memory.found import Question
from mimo.services.memory.ranking import Floats
from mimo.services.memory.relevance import relevance, scores
from mimo.services.memory.times import spans_in
from mimo.storage.engram_gather import Around, ByWords
from mimo.storage.engram_search import Candidate
from mimo.storage.engram_traits import hashed

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
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """The candidates, best first, with what each feature gives."""

    candidates: tuple[Candidate, ...]
    features: Floats
    scores: Floats  # 0..1, the best first
    relevance: Floats  # how likely each bears on the question, 0..1


def weighed(
    question: Question,
    said: ByWords,
    around: Around,
    vector: Floats | None,
    idf: Floats,
    weights: ranking.Weights,
    now: int,
) -> Weighed:
    known = [one for id_, one in around.candidates.items() if id_ in around.beside]
    if not known:
        none = np.zeros((0, len(ranking.FEATURES)), np.float32)
        return Weighed((), none, none[:, 0], none[:, 0])
    rows = {one.id: at for at, one in enumerate(known)}
    for _, row, _ in around.neighbours:
        if row in around.beside:
            rows.setdefault(row, len(rows))
    beside = [around.beside[id_] for id_ in rows]
    n = len(known)
    links = [(at, at, 0) for at in range(n)]
    links += [
        (rows[owner], rows[row], offset)
        for owner, row, offset in around.neighbours
        if owner != row and owner in rows and row in rows
    ]
    owner, row, offset = np.array(links, np.int64).T
    words = {term.word for term in said.terms}
    speakers = {one.speaker for one in beside if one.speaker}
    named = {speaker for speaker in speakers if words.issuperset(speaker.split())}
    # A speaker's name is in all that they say, and their turns are known by it already.
    names = {word for speaker in speakers for word in speaker.split()}
    telling = np.array([term.word not in names for term in said.terms], bool)
    if not telling.any():
        telling[:] = True
    terms = np.array(hashed(term.stem for term in said.terms), np.int64)[telling]
    counts, lengths = ranking.counted([one.terms for one in beside], terms)
    vectors = None
    if vector is not None:
        blank = bytes(2 * len(vector))
        stored = b"".join(
            one.vector if one.vector is not None and len(one.vector) == len(blank) else blank
            for one in beside
        )
        vectors = np.frombuffer(stored, "<f2").reshape(len(beside), len(vector)).astype(np.float32)
    spans = list(spans_in(question.text, datetime.fromtimestamp(now / 1000, UTC)))
    idf = idf[telling]
    most = float(idf.sum())
    field = ranking.Field(
        owner=owner,
        row=row,
        offset=offset,
        counts=counts,
        lengths=lengths,
        vectors=vectors,
        told=np.array([one.told for one in beside[:n]], np.float32),
        asks=np.array([one.asks for one in beside[:n]], np.float32),
        dated=np.array([one.dated for one in beside[:n]], np.float32),
        said_by_named=np.array([len(named) == 1 and one.speaker in named for one in beside[:n]], np.float32),
        time=np.array(
            [max((span.nearness(one.created_at) for span in spans), default=0.0) for one in known], np.float32
        ),
        recency=np.array(
            [math.exp(-max(0, now - one.created_at) / (30 * DAY_MS)) for one in known], np.float32
        ),
        importance=np.array([one.importance for one in known], np.float32),
        use=np.array([math.log1p(one.access_count) for one in known], np.float32),
    )
    asks_when = question.text.lower().lstrip().startswith(ASKS_WHEN)
    table = ranking.features(field, vector, idf, most, asks_when)
    found = scores(table, ranking.vector_of(weights))
    found += np.array([WORKING_BONUS * (one.state == "working") for one in known], np.float32)
    order: list[int] = np.lexsort((np.array([one.id for one in known], np.int64), -found)).tolist()
    relevant = relevance(table, by_words_alone=vectors is None)
    return Weighed(
        tuple(known[at] for at in order), table[order], np.minimum(found[order], 1.0), relevant[order]
    )


def best_by_words(said: ByWords, idf: Floats, limit: int) -> list[int]:
    """The rows that share the most of the question's information with it."""
    if not said.rows or not any(len(ids) for ids in said.rows):
        return []
    ids = np.concatenate(said.rows)
    worth = np.repeat(idf, [len(rows) for rows in said.rows])
    distinct, at = np.unique(ids, return_inverse=True)
    total = np.bincount(at, worth)
    best = np.lexsort((-distinct, -total))[:limit]
    return distinct[best].tolist()
