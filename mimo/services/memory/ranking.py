"""From what is known about some candidates to one number for each: calculations, no I/O.

What stands beside a thing helps to find it, so words and vectors count over a window of the session, the nearer
the more, and before more than after: what was asked before an answer often holds the words that the answer lacks.
Each feature is on a scale of its own that does not depend on the other candidates, so a score means the same in
every search, and one can say that nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

# How much of a neighbour's words and meaning is a candidate's own, by positions from it.
WORDS_AROUND = {0: 1.0, -1: 0.6, 1: 0.3, -2: 0.3, 2: 0.15, -3: 0.15, 3: 0.1}
MEANING_AROUND = {0: 1.0, -1: 0.7, 1: 0.5, -2: 0.5, 2: 0.3, -3: 0.3, 3: 0.2}
REACH = 3
# BM25 with little regard to length: turns of a talk and notes are short as they are, not padded.
SATURATION, LENGTH = 0.9, 0.4
# From the means of fewer texts than these one cannot tell how two speakers differ.
ENOUGH_SAID = 8
# A text of a few words that say something is as good a text as a longer one: only greetings and nods are less.
# At 12 talk gains 0.3 points of recall, and functions of code lose 1.4.
ENOUGH_TOLD = 4.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What a unit of each feature is worth. `Weights()` is the balanced strategy."""

    words: float = 7.0
    own_meaning: float = 1.0
    meaning: float = 10.0
    speaker: float = 2.7
    asks: float = -0.55
    when: float = 2.1
    time: float = 5.5
    told: float = 3.0
    recency: float = 0.0
    importance: float = 0.0
    use: float = 0.0


FEATURES = tuple(Weights.__dataclass_fields__)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The candidates and what stands beside them. Rows of a window lie together, in the order of positions.

    What is said of candidates only has one value for each of `candidates`, which are places among the rows.
    """

    candidates: Integers
    window: Integers
    positions: Integers
    counts: Floats  # how often each of the question's words is in each row
    lengths: Floats
    vectors: Floats | None  # a row of zeros where there is no vector
    told: Floats
    asks: Floats
    dated: Floats
    said_by_named: Floats  # by the one speaker that the question names
    time: Floats  # how well it fits the time that the question names
    recency: Floats
    importance: Floats
    use: Floats


class Beside(NamedTuple):
    """Some candidates (by their number), a row beside each, and how many positions further it stands."""

    candidates: Integers
    rows: Integers
    offsets: Integers


def inverse_frequency(rows: Sequence[int], total: int) -> Floats:
    """What a word says, by the number of rows that have it: much when few have."""
    found = np.asarray(rows, np.float32)
    return np.log1p((max(total, 1) - np.minimum(found, total) + 0.5) / (found + 0.5)).astype(np.float32)


def counted(texts: Sequence[bytes], terms: Integers) -> tuple[Floats, Floats]:
    """How often each (hashed) term is in each text, and how long each text is."""
    lengths = np.array([len(text) // 4 for text in texts], np.int64)
    words = np.frombuffer(b"".join(texts), "<u4").astype(np.int64)
    counts = np.zeros((len(texts), len(terms)), np.float32)
    if len(terms) and len(words):
        order = np.argsort(terms)
        sorted_terms = terms[order]
        at = np.minimum(np.searchsorted(sorted_terms, words), len(terms) - 1)
        hit = sorted_terms[at] == words
        row = np.repeat(np.arange(len(texts)), lengths)[hit]
        places = np.bincount(row * len(terms) + order[at[hit]], minlength=counts.size)
        counts = places.astype(np.float32).reshape(counts.shape)
    return counts, lengths.astype(np.float32)


def beside(field: Field) -> list[Beside]:
    """Whoever stands within reach of a candidate in its window; each list has a candidate once at most."""
    found: list[Beside] = []
    if field.window.max(initial=-1) < 0:  # nothing stands in a session
        return found
    for step in (*range(-REACH, 0), *range(1, REACH + 1)):
        rows = field.candidates + step
        inside = np.flatnonzero((rows >= 0) & (rows < len(field.window)))
        mine, theirs = field.candidates[inside], rows[inside]
        offset = field.positions[theirs] - field.positions[mine]
        near = (field.window[mine] == field.window[theirs]) & (np.abs(offset) <= REACH)
        if near.any():
            found.append(Beside(inside[near], theirs[near], offset[near]))
    return found


def around(field: Field, them: Sequence[Beside], values: Floats, weights: Mapping[int, float]) -> Floats:
    """The weighted sum of each candidate's neighbours' values, its own among them."""
    worth = np.array([weights.get(offset, 0.0) for offset in range(-REACH, REACH + 1)], np.float32)
    total = values[field.candidates] * worth[REACH]
    for one in them:
        total[one.candidates] += worth[one.offsets + REACH][:, None] * values[one.rows]
    return total


def matched(counts: Floats, lengths: Floats, idf: Floats, most: float) -> Floats:
    """BM25 as a share of the most that any text could have."""
    mean = max(float(lengths.mean()), 1.0) if len(lengths) else 1.0
    norm = SATURATION * (1 - LENGTH + LENGTH * lengths / mean)
    part = counts * (SATURATION + 1) / (counts + norm[:, None])
    return ((part @ idf) / max(most, 1.0)).astype(np.float32)


def cosines(vectors: Floats, question: Floats) -> Floats:
    """The cosine of each with the question. What has no vector gets what the others have in the mean."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    known = length > 1e-6
    found = (vectors @ question) / np.where(known, length, 1.0)
    if known.any() and not known.all():
        found[~known] = found[known].mean()
    return found.astype(np.float32)


def less_names(
    question: Floats, vectors: Floats, window: Integers, said_by: Sequence[Bools], said: Bools
) -> Floats:
    """The question's vector without what the names in it add: who says something is a feature of its own.

    `said_by` holds the rows of each speaker who is named, `said` those of anybody. Out of the question goes its part
    along the way from what the others say, in the mean, to what that speaker says: in windows where both speak, so
    about the same things. Elsewhere one would also lose what sets this talk apart from other talks.
    """
    there = vectors[:, 0] != 0  # a vector that begins with nothing by chance is not missed in a mean
    for theirs in said_by:
        mine, others = there & theirs, there & said & ~theirs
        together = np.stack([mine & np.isin(window, window[others]), others & np.isin(window, window[mine])])
        count = together.sum(axis=1, dtype=np.float32)
        if count.min() < ENOUGH_SAID:
            continue
        means = (together.astype(np.float32) @ vectors) / count[:, None]
        way = means[0] - means[1]
        question = question - way * ((question @ way) / max(float(way @ way), 1e-6))
    return (question / max(float(np.linalg.norm(question)), 1e-6)).astype(np.float32)


def features(field: Field, question: Floats | None, idf: Floats, most: float, asks_when: bool) -> Floats:
    """A row for each candidate, a column for each of FEATURES."""
    them = beside(field)
    window = around(field, them, field.counts, WORDS_AROUND)
    length = around(field, them, field.lengths[:, None], WORDS_AROUND)[:, 0]
    found = {
        "words": matched(window, length, idf, most),
        "speaker": field.said_by_named,
        "asks": field.asks,
        "when": field.dated * np.float32(asks_when),
        "time": field.time,
        "told": 1 - np.exp(-field.told / np.float32(ENOUGH_TOLD)),
        "recency": field.recency,
        "importance": field.importance,
        "use": field.use,
    }
    if question is not None and field.vectors is not None:
        found["own_meaning"] = cosines(field.vectors[field.candidates], question)
        found["meaning"] = found["own_meaning"]
        if them:
            found["meaning"] = cosines(around(field, them, field.vectors, MEANING_AROUND), question)
    nothing = np.zeros(len(field.candidates), np.float32)
    return np.stack([found.get(name, nothing) for name in FEATURES], axis=1)


def vector_of(weights: Weights) -> Floats:
    return np.array([getattr(weights, name) for name in FEATURES], np.float32)
