"""The first visit of a search to the database, as one unit of work: the question's words, and what has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import apsw
import numpy as np
import numpy.typing as npt

from mimo.storage.engrams import search
from mimo.storage.engrams.search import Filter
from mimo.storage.engrams.through import Through, through
from mimo.storage.engrams.traits import BINDING, tokenizer

# A question's every word costs one look into the index. What is longer is not a question but a document.
MOST_WORDS = 32
# From this share of all engrams on, it takes longer to ask the index for a namespace than to drop the few others later.
ALMOST_ALL = 0.8
# Of words that are in too many rows each, so many are asked for together that by chance no more rows have them.
FEW = 250
# Frequent words whose rows are kept, 8 KB each.
MOST_KEPT = 128


class Term(NamedTuple):
    """A word of a question as it was written (folded), and its stem in the index."""

    word: str
    stem: str


@dataclass(slots=True, eq=False)
class Known:
    """What earlier searches have read. Who searches forgets counts when the store has grown, rows at every change."""

    engrams: dict[tuple[str, ...] | None, int] = field(default_factory=dict[tuple[str, ...] | None, int])
    words: dict[str, int] = field(default_factory=dict[str, int])
    newest: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict[str, npt.NDArray[np.int64]])

    def counts(self) -> Known:
        """Only what changes slowly. A search that is still under way keeps what it finds to itself."""
        return Known(self.engrams, self.words)

    def of(self, db: apsw.Connection, namespaces: tuple[str, ...] | None) -> int:
        """How many engrams a search of these namespaces looks at."""
        if (total := self.engrams.get(namespaces)) is None:
            total = self.engrams[namespaces] = search.count_in(db, namespaces)
        return total

    def rows_with(self, db: apsw.Connection, match: str) -> npt.NDArray[np.int64]:
        """The newest rows with a word. Those of a frequent word are kept: they take the longest, and it comes again."""
        if (found := self.newest.get(match)) is None:
            found = search.rows_with(db, match)
            if len(found) == search.MOST_ROWS and len(self.newest) < MOST_KEPT:
                self.newest[match] = found
        return found

    def having(self, db: apsw.Connection, stem: str) -> int:
        """How many rows of all namespaces have this word."""
        if (count := self.words.get(stem)) is None:
            count = search.count_with(db, stem)
            if count:  # the first row that has it is not to be missed
                self.words[stem] = count
        return count


class Together(NamedTuple):
    """Rows of whatever age that have the rarest of the terms, all of these."""

    terms: tuple[int, ...]  # by their numbers
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ByWords:
    """What the words of a question say."""

    terms: tuple[Term, ...]
    found_in: tuple[int, ...]  # how many rows have each term
    rows: tuple[npt.NDArray[np.int64], ...]  # which, for each term; the newest of them if there are too many
    together: Together | None  # where there are too many for several terms
    total: int  # rows that are looked at
    groups: tuple[int, ...] | None  # the numbers of the namespaces
    allowed: npt.NDArray[np.int64] | None  # every id that the filter lets through, if asked strictly


def cut(db: apsw.Connection, text: str, extra: str = "") -> list[Term]:
    """The words of a question that say something, each once; all of them if none does."""
    fold = db.fts5_tokenizer("unicode61", ["remove_diacritics", "2"])
    stem = tokenizer(db)

    def folded(text: str) -> list[str]:
        found = fold(text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False)
        return [word for place in cast("list[tuple[str, ...]]", found) for word in place]

    words = list(dict.fromkeys(folded(text)))
    telling = [word for word in words if word not in BINDING] or words
    telling += folded(extra)
    terms = {stem(word)[0]: word for word in telling[: 4 * MOST_WORDS]}
    return [Term(word, stem) for stem, word in terms.items()]


def by_words(
    db: apsw.Connection,
    text: str,
    extra: str,
    allowed: Filter,
    now: int,
    known: Known,
    strictly: bool = False,
) -> ByWords:
    """The first visit. What it finds of other namespaces, or of what may not be shown any more, the second leaves out.

    `strictly`: it finds nothing of the kind, which takes longer; a narrow filter is always held to strictly.
    """
    strictly = strictly or allowed.narrow
    terms = cut(db, text, extra)
    if len(terms) > MOST_WORDS:  # the rarest say the most
        terms = sorted(terms, key=lambda term: known.having(db, term.stem) or 1 << 62)[:MOST_WORDS]
    total = known.of(db, allowed.namespaces)
    within = None if total > ALMOST_ALL * known.of(db, None) else allowed.namespaces
    only = through(db, allowed, now) if strictly else None
    lists: list[npt.NDArray[np.int64]] = []
    counts: list[int] = []
    full: list[int] = []
    for number, term in enumerate(terms):
        match = search.match_of([term.word], within)
        ids = known.rows_with(db, match) if only is None else _of_those(db, match, only)
        lists.append(ids)
        if len(ids) < search.MOST_ROWS:
            counts.append(len(ids))
        else:
            counts.append(known.having(db, term.stem))
            full.append(number)
    together = None
    if len(full) > 1:
        rarest, expected = _enough(full, counts, known.of(db, None))
        match = search.match_of([terms[at].word for at in rarest], within, together=True)
        if only is not None:
            ids = _of_those(db, match, only)
        elif expected < search.MOST_ROWS:
            ids = search.few_rows_with(db, match)
        else:
            ids = search.rows_with(db, match)
        together = Together(rarest, ids)
    groups = None
    if allowed.namespaces is not None:
        groups = tuple(search.namespace_numbers(db, allowed.namespaces).values())
    every = None if only is None else only.ids
    return ByWords(tuple(terms), tuple(counts), tuple(lists), together, total, groups, every)


def _of_those(db: apsw.Connection, match: str, only: Through) -> npt.NDArray[np.int64]:
    """The newest rows with these words that may be named."""
    return only.newest(
        search.MOST_ROWS,
        lambda limit, low, high: search.rows_with(db, match, limit, low=low, high=high),
    )


def _enough(full: Sequence[int], counts: Sequence[int], total: int) -> tuple[tuple[int, ...], float]:
    """The rarest of these terms, as many as it takes for few rows to have them all by chance, and how many these are."""
    rarest, expected = list[int](), float(total)
    for at in sorted(full, key=counts.__getitem__):
        rarest.append(at)
        expected *= counts[at] / max(total, 1)
        if len(rarest) > 1 and expected < FEW:
            break
    return tuple(rarest), expected
