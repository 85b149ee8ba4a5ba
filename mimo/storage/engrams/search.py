"""Finding engrams: rows for words, for filters, for an answer. SQL as functions of a connection.

No text of a question becomes a piece of SQL or of FTS5's query language: words are quoted, filters are bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import apsw
import numpy as np
import numpy.typing as npt

from mimo.storage.sql import rows, value

Integers: TypeAlias = npt.NDArray[np.int64]

# Rows that are read for one word, the newest first. A word in more rows than these says little about any of them.
MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """What may be found at all. None does not narrow. Times are milliseconds since 1970."""

    namespaces: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None  # each of them must be there
    clients: tuple[str, ...] | None = None
    trusts: tuple[str, ...] | None = None
    session: str | None = None
    since: int | None = None  # created at or after, or to hold only from then on
    until: int | None = None  # created before, or to hold from before then on
    as_of: int | None = None  # as it was known and valid then; None: as it is now

    @property
    def narrow(self) -> bool:
        """Whether it says more than which namespaces."""
        return self != Filter(self.namespaces)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row as an answer shows it."""

    id: int
    namespace: str
    state: str
    content: str
    kind: str
    importance: float
    session: str | None
    position: int | None
    client: str
    trust: str
    created_at: int
    valid_from: int | None
    valid_to: int | None
    superseded_by: int | None
    accessed_at: int
    access_count: int


@dataclass(frozen=True, slots=True)
class Shown:
    rows: dict[int, Candidate]
    references: dict[int, tuple[str, ...]]
    tags: dict[int, tuple[str, ...]]


# One text for every question: a filter that is not given is NULL. CROSS JOIN is SQLite's word for "in this order":
# the ids that are asked for come first, whatever the planner believes to know about the tables.
# What holds only from a later day on is not the answer to how things are, and until that day what it replaces is.
# Asked for a time, it is found by when it was said as well as by when it begins to hold.
ALLOWED = """
    (:namespaces IS NULL OR e.namespace IN (SELECT value FROM json_each(:namespaces)))
    AND (:kinds IS NULL OR e.kind IN (SELECT value FROM json_each(:kinds)))
    AND (:clients IS NULL OR e.client IN (SELECT value FROM json_each(:clients)))
    AND (:trusts IS NULL OR e.trust IN (SELECT value FROM json_each(:trusts)))
    AND (:session IS NULL OR e.session = :session)
    AND ((:since IS NULL OR e.created_at >= :since) AND (:until IS NULL OR e.created_at < :until)
        OR e.valid_from > :now AND (:since IS NULL OR e.valid_from >= :since)
            AND (:until IS NULL OR e.valid_from < :until))
    AND (:tags IS NULL OR NOT EXISTS (
        SELECT 1 FROM json_each(:tags) AS wanted
        WHERE NOT EXISTS (SELECT 1 FROM engram_tags t WHERE t.tag = wanted.value AND t.engram_id = e.id)))
    AND e.state IN ('live', 'working')
    AND (e.expires_at IS NULL OR e.expires_at > :now)
    AND CASE WHEN :as_of IS NULL
        THEN (e.valid_to IS NULL OR e.valid_to > :now)
            AND (e.valid_from IS NULL OR e.valid_from <= :now OR :since IS NOT NULL OR :until IS NOT NULL)
            AND (e.superseded_by IS NULL
                OR (SELECT newer.valid_from FROM engrams newer WHERE newer.id = e.superseded_by) > :now)
        ELSE e.created_at <= :as_of AND (e.valid_from IS NULL OR e.valid_from <= :as_of)
            AND (e.valid_to IS NULL OR e.valid_to > :as_of)
            AND (e.superseded_by IS NULL
                OR (SELECT max(newer.created_at, coalesce(newer.valid_from, newer.created_at))
                    FROM engrams newer WHERE newer.id = e.superseded_by) > :as_of)
        END
"""
CANDIDATES = f"""
    SELECT e.id, e.namespace, e.state, e.content, e.kind, e.importance, e.session, e.position, e.client, e.trust,
        e.created_at, e.valid_from, e.valid_to, e.superseded_by, e.accessed_at, e.access_count
    FROM json_each(:ids) AS wanted CROSS JOIN engrams e ON e.id = wanted.value WHERE {ALLOWED}
"""  # noqa: S608
# All in one value: a step for each of a thousand rows takes as long again as finding them, and so does JSON.
WITH_WORDS = """
    SELECT group_concat(rowid) FROM (
        SELECT rowid FROM engram_words WHERE engram_words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?)
"""
IN_ORDER = """
    SELECT group_concat(rowid)
    FROM (SELECT rowid FROM engram_words WHERE engram_words MATCH ? ORDER BY rowid)
"""


def rows_with(
    db: apsw.Connection,
    match: str,
    limit: int = MOST_ROWS,
    *,
    low: int = 0,
    high: int = (1 << 63) - 1,
) -> Integers:
    """The ids of up to `limit` rows that have these words (see `match_of`), the newest first, from id to id."""
    return listed_ids(db, WITH_WORDS, (match, low, high, limit))


def few_rows_with(db: apsw.Connection, match: str, limit: int = MOST_ROWS) -> Integers:
    """The same, where few are expected: all of them are read in the order of the index, in two thirds of the time."""
    return listed_ids(db, IN_ORDER, (match,))[: -limit - 1 : -1]


def listed_ids(db: apsw.Connection, sql: str, bindings: Any) -> Integers:
    """What a statement gives that joins ids to one text."""
    listed = cast("str | None", value(db, sql, bindings))
    return np.fromstring(listed, np.int64, sep=",") if listed else np.zeros(0, np.int64)


def count_with(db: apsw.Connection, term: str) -> int:
    """How many rows of all namespaces have this word."""
    return cast("int | None", value(db, "SELECT doc FROM engram_word_counts WHERE term = ?", (term,))) or 0


def count_in(db: apsw.Connection, namespaces: Sequence[str] | None) -> int:
    """How many engrams a search of these namespaces looks at."""
    if namespaces is None:
        return cast("int", value(db, "SELECT count(*) FROM engrams WHERE state IN ('live', 'working')"))
    sql = "SELECT count(*) FROM engrams WHERE state IN ('live', 'working') AND namespace = ?"
    return sum(cast("int", value(db, sql, (name,))) for name in namespaces)


def namespace_numbers(db: apsw.Connection, names: Sequence[str]) -> dict[str, int]:
    """The numbers of those namespaces that exist."""
    sql = "SELECT name, id FROM namespaces WHERE name IN (SELECT value FROM json_each(?))"
    return dict(rows(db, sql, (json.dumps(list(names)),)))


def candidates(db: apsw.Connection, ids: Iterable[int], allowed: Filter, now: int) -> dict[int, Candidate]:
    """Those of the ids that the filter lets through, with what an answer shows of them."""
    bindings = {**bound(allowed, now), "ids": json.dumps(list(ids))}
    return {row[0]: Candidate(*row) for row in rows(db, CANDIDATES, bindings)}


def references_of(db: apsw.Connection, ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """All callers' references of each, the first first."""
    sql = """
        SELECT o.engram_id, o.reference FROM json_each(?) AS wanted
        CROSS JOIN engram_origins o ON o.engram_id = wanted.value
        WHERE o.reference IS NOT NULL ORDER BY o.id
    """
    found: dict[int, dict[str, None]] = {}
    for engram, reference in rows(db, sql, (json.dumps(list(ids)),)):
        found.setdefault(engram, {})[reference] = None
    return {engram: tuple(references) for engram, references in found.items()}


def tags_of(db: apsw.Connection, ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    sql = """
        SELECT t.engram_id, t.tag FROM json_each(?) AS wanted
        CROSS JOIN engram_tags t ON t.engram_id = wanted.value ORDER BY t.tag
    """
    found: dict[int, list[str]] = {}
    for engram, tag in rows(db, sql, (json.dumps(list(ids)),)):
        found.setdefault(engram, []).append(tag)
    return {engram: tuple(tags) for engram, tags in found.items()}


def shown(db: apsw.Connection, ids: Sequence[int], allowed: Filter, now: int) -> Shown:
    """What an answer shows of each."""
    return Shown(candidates(db, ids, allowed, now), references_of(db, ids), tags_of(db, ids))


def match_of(terms: Sequence[str], namespaces: Sequence[str] | None, *, together: bool = False) -> str:
    """An FTS5 query for any (or all) of the words, within the namespaces. Every word is quoted."""
    joined = (" AND " if together else " OR ").join(map(quoted, terms))
    wanted = f"{{content extra}} : ({joined})"
    if namespaces is None:
        return wanted
    return f"scope : ({' OR '.join(map(scope_of, namespaces))}) AND ({wanted})"


def quoted(term: str) -> str:
    """A string of FTS5: whatever is in it is text."""
    return '"' + term.replace("\0", " ").replace('"', '""') + '"'


def scope_of(namespace: str) -> str:
    """The one word by which the index knows a namespace (the column `scope`)."""
    return f'"n{namespace.encode().hex()}"'


def bound(allowed: Filter, now: int) -> dict[str, Any]:
    def listed(values: tuple[str, ...] | None) -> str | None:
        return None if values is None else json.dumps(values)

    return {
        "namespaces": listed(allowed.namespaces),
        "kinds": listed(allowed.kinds),
        "tags": listed(allowed.tags),
        "clients": listed(allowed.clients),
        "trusts": listed(allowed.trusts),
        "session": allowed.session,
        "since": allowed.since,
        "until": allowed.until,
        "as_of": allowed.as_of,
        "now": now,
    }
