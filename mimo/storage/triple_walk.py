"""Graphs read whole, followed by the change log, or walked in the file where they are too large for memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import apsw

from mimo.storage.changes import changes_after, last_seq
from mimo.storage.sql import rows, value
from mimo.storage.triple_changes import rules_of
from mimo.storage.triples import LEAN, GraphRow, Lean, all_live, graph_row, live_of, supports_of

T = TypeVar("T")

# What hangs on one name is read up to here: a hub is not walked through to its last edge.
MOST_OF_A_HUB = 10_000

_FIELDS = ", ".join(f"t.{name.strip()}" for name in LEAN.split(","))
_FROM_SUBJECT = f"""
    SELECT {_FIELDS} FROM json_each(?) AS wanted
    CROSS JOIN semantic_triples AS t INDEXED BY triples_spo ON t.subject = wanted.value
    WHERE t.graph_id = ? AND t.retired_at IS NULL LIMIT ?
"""  # noqa: S608
_FROM_OBJECT = f"""
    SELECT {_FIELDS} FROM json_each(?) AS wanted
    CROSS JOIN semantic_triples AS t INDEXED BY triples_osp ON t.object = wanted.value
    WHERE t.graph_id = ? AND t.retired_at IS NULL LIMIT ?
"""  # noqa: S608


def around(
    db: apsw.Connection, graph: str, names: Sequence[str], side: Literal["subject", "object"], limit: int
) -> list[Lean]:
    """What is believed with one of these as its subject, or as its object."""
    sql = _FROM_SUBJECT if side == "subject" else _FROM_OBJECT
    return [Lean(*row) for row in rows(db, sql, (json.dumps(list(names)), graph, limit))]


def fitting(
    db: apsw.Connection,
    graph: str,
    subject: str | None,
    predicate: str | None,
    object_: str | None,
    limit: int,
) -> list[Lean]:
    """What is believed and fits; None is anything."""
    given = [("subject", subject), ("predicate", predicate), ("object", object_)]
    narrow = "".join(f" AND {name} = :{name}" for name, each in given if each is not None)
    # The names are what is rare, not the graph; the planner does not know that of an unanalysed file.
    index, home = (" INDEXED BY triples_confident", "graph_id") if not narrow else ("", "+graph_id")
    found = rows(
        db,
        f"SELECT {LEAN} FROM semantic_triples{index}"  # noqa: S608
        f" WHERE {home} = :graph AND retired_at IS NULL{narrow} LIMIT :limit",
        {"subject": subject, "predicate": predicate, "object": object_, "graph": graph, "limit": limit},
    )
    return [Lean(*row) for row in found]


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

    def __init__(self, db: apsw.Connection, graph: str) -> None:
        self._db, self._graph = db, graph

    def around(self, names: Sequence[str], side: Literal["subject", "object"], limit: int) -> list[Lean]:
        return around(self._db, self._graph, names, side, limit)

    def fitting(
        self, subject: str | None, predicate: str | None, object_: str | None, limit: int
    ) -> list[Lean]:
        return fitting(self._db, self._graph, subject, predicate, object_, limit)


def visited(db: apsw.Connection, graph: str, work: Callable[[Reading], T]) -> T:
    """What `work` finds out in the file."""
    return work(Reading(db, graph))
