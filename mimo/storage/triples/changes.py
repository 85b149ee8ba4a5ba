"""What ends facts: retraction, expiry, and the fall of what was concluded from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import apsw

from mimo.storage.sql import rows, run, run_many

Why: TypeAlias = Literal["retracted", "expired", "merged"]

# SQLite walks the premises upward by itself; each conclusion falls once, also in a circle.
STANDS_ON = """
    WITH RECURSIVE fallen (id) AS (
        SELECT s.triple_id FROM json_each(?) AS gone CROSS JOIN triple_supports AS s ON s.premise_id = gone.value
        UNION
        SELECT s.triple_id FROM fallen CROSS JOIN triple_supports AS s ON s.premise_id = fallen.id
    )
    SELECT id FROM fallen
"""


def unsupport(db: apsw.Connection, ids: Sequence[int]) -> int:
    """Deletes the conclusions that stand on these facts, and those that stand on them; how many it were.

    What can be concluded in another way comes back with the next round of inference.
    """
    fallen = [row[0] for row in rows(db, STANDS_ON, (json.dumps(list(ids)),))]
    if fallen:
        run_many(db, "DELETE FROM triple_supports WHERE triple_id = ?", [(id_,) for id_ in fallen])
        run_many(db, "DELETE FROM semantic_triples WHERE id = ?", [(id_,) for id_ in fallen])
    return len(fallen)


def retire(db: apsw.Connection, ids: Sequence[int], why: Why, now: int) -> list[int]:
    """Those of the ids that were asserted and believed are so no more. What they had ended holds again."""
    found = rows(
        db,
        "SELECT id, graph_id FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?))"
        " AND retired_at IS NULL AND origin = 'asserted' ORDER BY id",
        (json.dumps(list(ids)),),
    )
    gone = [row[0] for row in found]
    run_many(
        db,
        "UPDATE semantic_triples SET retired_at = ?, retired_why = ? WHERE id = ?",
        [(now, why, id_) for id_ in gone],
    )
    unsupport(db, gone)
    if why == "retracted":
        _reopen(db, gone)
    for graph in sorted({row[1] for row in found}):
        run(db, "UPDATE graphs SET version = version + 1 WHERE name = ?", (graph,))
    return gone


def _reopen(db: apsw.Connection, ids: Sequence[int]) -> None:
    """What a retracted fact had ended never ended."""
    ended = [
        row[0]
        for row in rows(
            db,
            "SELECT id FROM semantic_triples WHERE superseded_by IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
    ]
    run_many(
        db,
        "UPDATE semantic_triples SET valid_to = held_to, held_to = NULL, closed_at = NULL, superseded_by = NULL"
        " WHERE id = ?",
        [(id_,) for id_ in ended],
    )
    unsupport(db, ended)


def matching(
    db: apsw.Connection,
    graph: str,
    subject: str | None,
    predicate: str | None,
    object_: str | None,
    limit: int,
) -> list[int]:
    """Asserted and believed facts that fit; at least a subject or an object is given."""
    given = [("subject", subject), ("predicate", predicate), ("object", object_)]
    narrow = " AND ".join(f"{name} = :{name}" for name, each in given if each is not None)
    found = rows(
        db,
        f"SELECT id FROM semantic_triples WHERE {narrow} AND +graph_id = :graph AND retired_at IS NULL"  # noqa: S608
        " AND origin = 'asserted' ORDER BY id LIMIT :limit",
        {"subject": subject, "predicate": predicate, "object": object_, "graph": graph, "limit": limit},
    )
    return [row[0] for row in found]


def expire(db: apsw.Connection, now: int, limit: int) -> list[int]:
    """Retires up to `limit` facts whose time is over."""
    due = [
        row[0]
        for row in rows(
            db,
            "SELECT id FROM semantic_triples INDEXED BY triples_expiring WHERE expires_at <= ?"
            " AND retired_at IS NULL AND expires_at IS NOT NULL AND origin = 'asserted' ORDER BY expires_at LIMIT ?",
            (now, limit),
        )
    ]
    return retire(db, due, "expired", now) if due else []


def next_expiry(db: apsw.Connection) -> int | None:
    """When the next fact expires."""
    found = rows(
        db,
        "SELECT expires_at FROM semantic_triples INDEXED BY triples_expiring WHERE expires_at IS NOT NULL"
        " AND retired_at IS NULL AND origin = 'asserted' ORDER BY expires_at LIMIT 1",
    )
    return found[0][0] if found else None


def graphs(db: apsw.Connection) -> list[str]:
    return [row[0] for row in rows(db, "SELECT name FROM graphs ORDER BY name")]


def unconcluded(db: apsw.Connection) -> list[str]:
    """Graphs that have changed since conclusions were drawn."""
    return [row[0] for row in rows(db, "SELECT name FROM graphs WHERE version <> concluded ORDER BY name")]


def touch(db: apsw.Connection, graph: str) -> None:
    """Conclusions of the graph are to be drawn anew."""
    run(db, "UPDATE graphs SET version = version + 1 WHERE name = ?", (graph,))


def add_rule(db: apsw.Connection, graph: str, text: str, confidence: float, speaker: str, now: int) -> bool:
    """Whether something is different now."""
    run(
        db,
        "INSERT INTO triple_rules (graph_id, text, confidence, speaker, created_at) VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (graph_id, text) DO UPDATE SET confidence = ?3 WHERE confidence <> ?3",
        (graph, text, confidence, speaker, now),
    )
    changed = bool(db.changes())
    if changed:
        touch(db, graph)
    return changed


def drop_rule(db: apsw.Connection, graph: str, text: str) -> bool:
    """Whether it was there. Its conclusions fall with it."""
    run(db, "DELETE FROM triple_rules WHERE graph_id = ? AND text = ?", (graph, text))
    if not db.changes():
        return False
    drawn = [
        row[0]
        for row in rows(
            db,
            "SELECT id FROM semantic_triples INDEXED BY triples_confident WHERE graph_id = ? AND retired_at IS NULL"
            " AND rule = ?",
            (graph, text),
        )
    ]
    unsupport(db, drawn)
    run_many(db, "DELETE FROM semantic_triples WHERE id = ?", [(id_,) for id_ in drawn])
    touch(db, graph)
    return True


def rules_of(db: apsw.Connection, graph: str) -> list[tuple[str, float]]:
    found: list[Any] = rows(
        db, "SELECT text, confidence FROM triple_rules WHERE graph_id = ? ORDER BY id", (graph,)
    )
    return found
