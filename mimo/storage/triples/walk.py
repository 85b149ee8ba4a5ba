"""Graphs read whole, followed by the change log, or walked in the file where they are too large for memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import apsw

from mimo.storage.changes import changes_after, last_seq
from mimo.storage.sql import rows, value
from mimo.storage.triples.changes import rules_of
from mimo.storage.triples.triple import LEAN, GraphRow, Lean, all_live, graph_row, live_of, supports_of

T = TypeVar("T")

# What hangs on one name is read up to here: a hub is not walked through to its last edge.
MOST_OF_A_HUB = 10_000

Side: TypeAlias = Literal["subject", "object"]
NOW = "t.retired_at IS NULL"
# What was said by then, and not yet taken back. What was concluded then is not kept.
THEN = "t.origin = 'asserted' AND t.recorded_at <= :known_at AND (t.retired_at IS NULL OR t.retired_at > :known_at)"
INDEX: Mapping[Side, str] = {"subject": "triples_spo", "object": "triples_osp"}


def _fields(known_at: int | None) -> str:
    """An end that we learned of later was none then."""
    then = "CASE WHEN t.closed_at > :known_at THEN t.held_to ELSE t.valid_to END"
    columns = [f"t.{name.strip()}" for name in LEAN.split(",")]
    return ", ".join(then if known_at is not None and name == "t.valid_to" else name for name in columns)


def around(
    db: apsw.Connection, graph: str, names: Sequence[str], side: Side, limit: int, known_at: int | None = None
) -> list[Lean]:
    """What is believed (or was, at that time) with one of these as its subject, or as its object."""
    found = rows(
        db,
        f"SELECT {_fields(known_at)} FROM json_each(:names) AS wanted"  # noqa: S608
        f" CROSS JOIN semantic_triples AS t INDEXED BY {INDEX[side]} ON t.{side} = wanted.value"
        f" WHERE t.graph_id = :graph AND {NOW if known_at is None else THEN} LIMIT :limit",
        {"names": json.dumps(list(names)), "graph": graph, "limit": limit, "known_at": known_at},
    )
    return list(map(Lean._make, found))


def fitting(
    db: apsw.Connection,
    graph: str,
    subject: str | None,
    predicate: str | None,
    object_: str | None,
    limit: int,
    known_at: int | None = None,
) -> list[Lean]:
    """What is believed (or was, at that time) and fits; None is anything."""
    given = [("subject", subject), ("predicate", predicate), ("object", object_)]
    narrow = "".join(f" AND t.{name} = :{name}" for name, each in given if each is not None)
    believed = NOW if known_at is None else THEN
    select = f"SELECT {_fields(known_at)} FROM semantic_triples AS t"  # noqa: S608
    if narrow:
        # The names are what is rare, not the graph; the planner does not know that of an unanalysed file.
        sql = f"{select} WHERE +t.graph_id = :graph AND {believed}{narrow}"
    else:
        sql = f"{select} INDEXED BY triples_confident WHERE t.graph_id = :graph AND t.retired_at IS NULL AND {believed}"
        if known_at is not None:
            sql += (
                f" UNION ALL {select} INDEXED BY triples_retired"
                f" WHERE t.graph_id = :graph AND t.retired_at > :known_at AND {THEN}"
            )
    found = rows(
        db,
        f"{sql} LIMIT :limit",
        {
            "subject": subject, "predicate": predicate, "object": object_, "graph": graph, "limit": limit,
            "known_at": known_at,
        },
    )  # fmt: skip
    return list(map(Lean._make, found))


def count_up_to(db: apsw.Connection, graph: str, most: int) -> int:
    """How many facts are believed in the graph; `most` stands for all numbers above it."""
    found: int = value(
        db,
        "SELECT count(*) FROM (SELECT 1 FROM semantic_triples INDEXED BY triples_confident"
        " WHERE graph_id = ? AND retired_at IS NULL LIMIT ?)",
        (graph, most),
    )
    return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is believed in a graph, as of the change `seq`."""

    seq: int
    row: GraphRow | None
    rules: Sequence[tuple[str, float]]
    triples: Sequence[Lean]
    supports: dict[int, list[int]]


@dataclass(frozen=True, slots=True)
class Since:
    """What has changed: the ids of all facts that did, in any graph, and those that are believed in this one."""

    seq: int
    row: GraphRow | None
    rules: Sequence[tuple[str, float]]
    ids: Sequence[int]
    triples: Sequence[Lean]


def snapshot(db: apsw.Connection, graph: str, most: int) -> Snapshot | None:
    """None when it has more than `most` facts."""
    if count_up_to(db, graph, most + 1) > most:
        return None
    triples = all_live(db, graph)
    supports = supports_of(db, [each.id for each in triples if each.origin == "inferred"])
    return Snapshot(last_seq(db), graph_row(db, graph), rules_of(db, graph), triples, supports)


def since(db: apsw.Connection, graph: str, seen: int, most: int) -> Since | None:
    """What has changed after `seen`; None when it is not in the log any more, or too much."""
    ids: dict[int, None] = {}
    while True:
        changes = changes_after(db, seen)
        if not changes.complete or len(ids) > most:
            return None
        ids.update((row.id, None) for row in changes.rows if row.kind == "triple")
        seen = changes.rows[-1].seq if changes.rows else changes.last
        if seen == changes.last:
            break
    listed = list(ids)
    found = live_of(db, graph, listed) if listed else []
    return Since(seen, graph_row(db, graph), rules_of(db, graph), listed, found)


class Reading:
    """A graph in the file, as long as one visit lasts."""

    def __init__(self, db: apsw.Connection, graph: str, known_at: int | None) -> None:
        self._db, self._graph, self._known_at = db, graph, known_at

    def around(self, names: Sequence[str], side: Side, limit: int) -> list[Lean]:
        return around(self._db, self._graph, names, side, limit, self._known_at)

    def fitting(
        self, subject: str | None, predicate: str | None, object_: str | None, limit: int
    ) -> list[Lean]:
        return fitting(self._db, self._graph, subject, predicate, object_, limit, self._known_at)


def visited(db: apsw.Connection, graph: str, work: Callable[[Reading], T], known_at: int | None = None) -> T:
    """What `work` finds out in the file, as we believe now, or as we believed at that time."""
    return work(Reading(db, graph, known_at))
