"""Facts of a graph that is too large for memory: looked up from either end, as a walk needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import apsw

from mimo.storage.sql import rows, value
from mimo.storage.triples import LEAN, Lean

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
    index = " INDEXED BY triples_confident" if not narrow else ""
    found = rows(
        db,
        f"SELECT {LEAN} FROM semantic_triples{index}"  # noqa: S608
        f" WHERE graph_id = :graph AND retired_at IS NULL{narrow} LIMIT :limit",
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
