"""The first visit of a search to the database, as one unit of work: the question's words, and what has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import apsw
import numpy as np
import numpy.typing as npt

from mimo.storage import engram_search
from mimo.storage.engram_search import Filter
from mimo.storage.engram_traits import BINDING, tokenizer

# A question's every word costs one look into the index. What is longer is not a question but a document.
MOST_WORDS = 32


class Term(NamedTuple):
    """A word of a question as it was written (folded), and its stem in the index."""

    word: str
    stem: str


@dataclass(frozen=True, slots=True, eq=False)
class ByWords:
    """What the words of a question say."""

    terms: tuple[Term, ...]
    found_in: tuple[int, ...]  # how many rows have each term
    rows: tuple[npt.NDArray[np.int64], ...]  # which, for each term; the newest of them if there are too many
    total: int  # rows that are looked at
    groups: tuple[int, ...] | None  # the numbers of the namespaces
    allowed: npt.NDArray[np.int64] | None  # every id that a narrow filter lets through


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
    sizes: dict[tuple[str, ...] | None, int],
) -> ByWords:
    """The first visit. `sizes` remembers how many engrams there are, which takes longest to find out."""
    terms = cut(db, text, extra)
    if len(terms) > MOST_WORDS:  # the rarest say the most
        terms = sorted(terms, key=lambda term: engram_search.count_with(db, term.stem) or 1 << 62)[
            :MOST_WORDS
        ]
    lists: list[npt.NDArray[np.int64]] = []
    counts: list[int] = []
    for term in terms:
        ids = engram_search.rows_with(db, term.word, allowed, now)
        lists.append(np.array(ids, np.int64))
        full = len(ids) >= engram_search.MOST_ROWS
        counts.append(engram_search.count_with(db, term.stem) if full else len(ids))
    if terms and all(len(ids) >= engram_search.MOST_ROWS for ids in lists) and not allowed.narrow:
        words = [term.word for term in terms]
        lists[0] = np.union1d(
            lists[0], np.array(engram_search.rows_with_all(db, words, allowed.namespaces, 200), np.int64)
        )
    total = sizes.get(allowed.namespaces)
    if total is None:
        total = sizes[allowed.namespaces] = engram_search.count_in(db, allowed.namespaces)
    groups = None
    if allowed.namespaces is not None:
        groups = tuple(engram_search.namespace_numbers(db, allowed.namespaces).values())
    narrow = np.array(engram_search.allowed_ids(db, allowed, now), np.int64) if allowed.narrow else None
    return ByWords(tuple(terms), tuple(counts), tuple(lists), total, groups, narrow)
