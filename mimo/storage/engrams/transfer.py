"""All that is remembered, as values, in an order in which they can be taken in again.

Vectors do not travel: they are made anew from the text by whoever takes it in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import apsw

from mimo.storage.engrams.engram import Engram, load
from mimo.storage.engrams.history import Happened, history_of
from mimo.storage.sql import rows, value


@dataclass(frozen=True, slots=True)
class Carried:
    """An engram with all that befell it. `day` is the date of its last use; `redacted` is what was not taken in."""

    engram: Engram
    day: str | None
    history: tuple[Happened, ...] = ()
    redacted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace and when it began."""

    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tie: its id where it came from, and by what it is known where that id is another's."""

    id: int
    namespace: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Tie:
    """A link, or that one engram stands in another's place (`superseded_by`)."""

    one: End
    relation: str
    other: End
    created_at: int


@dataclass(frozen=True, slots=True)
class Counts:
    places: int
    engrams: int
    ties: int


SUPERSEDED_BY = "superseded_by"


def counts(db: apsw.Connection, namespace: str | None) -> Counts:
    """How much there is to carry."""
    places = cast(
        "int", value(db, "SELECT count(*) FROM namespaces WHERE ?1 IS NULL OR name = ?1", (namespace,))
    )
    engrams = cast(
        "int", value(db, "SELECT count(*) FROM engrams WHERE ?1 IS NULL OR namespace = ?1", (namespace,))
    )
    return Counts(places, engrams, len(ties(db, namespace)))


def places(db: apsw.Connection, namespace: str | None) -> list[Place]:
    found = rows(
        db,
        "SELECT name, created_at FROM namespaces WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
        (namespace,),
    )
    return [Place(*row) for row in found]


def days(db: apsw.Connection) -> list[str]:
    """The days on which mimo was used, in their order."""
    return [row[0] for row in rows(db, "SELECT day FROM active_days ORDER BY number")]


def carried(db: apsw.Connection, namespace: str | None, after: int, limit: int) -> list[Carried]:
    """A portion, in the order of ids."""
    found = rows(
        db,
        "SELECT id FROM engrams WHERE id > ?2 AND (?1 IS NULL OR namespace = ?1) ORDER BY id LIMIT ?3",
        (namespace, after, limit),
    )
    named = dict(rows(db, "SELECT number, day FROM active_days"))
    return [
        Carried(engram, named.get(engram.accessed_day), tuple(history_of(db, engram.id)))
        for engram in load(db, [row[0] for row in found])
    ]


def ties(db: apsw.Connection, namespace: str | None) -> list[Tie]:
    """All links, and what stands in the place of what."""
    found = rows(
        db,
        "SELECT f.id, f.namespace, f.content_hash, l.relation, t.id, t.namespace, t.content_hash, l.created_at"
        " FROM engram_links l JOIN engrams f ON f.id = l.from_id JOIN engrams t ON t.id = l.to_id"
        " WHERE ?1 IS NULL OR f.namespace = ?1"
        " UNION ALL SELECT f.id, f.namespace, f.content_hash, 'superseded_by', t.id, t.namespace, t.content_hash, 0"
        " FROM engrams f JOIN engrams t ON t.id = f.superseded_by"
        " WHERE f.superseded_by IS NOT NULL AND (?1 IS NULL OR f.namespace = ?1) ORDER BY 1, 4, 5",
        (namespace,),
    )
    return [Tie(End(*row[:3]), row[3], End(*row[4:7]), row[7]) for row in found]
