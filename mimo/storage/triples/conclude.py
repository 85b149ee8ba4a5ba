"""Conclusions written and taken back, none without a live premise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import apsw

from mimo.storage.sql import rows, run, run_many, value
from mimo.storage.triples.changes import unsupport


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What follows, from what, by which rule. A premise is the id of a row, or -1 - n for the n-th of this list."""

    id: int | None  # of the row that it replaces
    subject: str
    predicate: str
    object: str
    subject_type: str
    object_type: str
    confidence: float
    valid_from: int | None
    valid_to: int | None
    expires_at: int | None
    rule: str
    premises: tuple[int, ...]


def withdraw(db: apsw.Connection, ids: Sequence[int]) -> None:
    """These no longer follow, nor does what stands on them."""
    unsupport(db, ids)
    run_many(db, "DELETE FROM triple_supports WHERE triple_id = ?", [(id_,) for id_ in ids])
    run_many(db, "DELETE FROM semantic_triples WHERE id = ? AND origin = 'inferred'", [(id_,) for id_ in ids])


def conclude(
    db: apsw.Connection, graph: str, conclusions: Sequence[Conclusion], now: int
) -> list[int | None]:
    """Writes them, and gives the id of each; None where a premise has fallen since it was drawn."""
    outside = sorted({p for each in conclusions for p in each.premises if p > 0})
    live = {
        row[0]
        for row in rows(
            db,
            "SELECT id FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL",
            (json.dumps(outside),),
        )
    }
    there = _there(db, [each.id for each in conclusions if each.id is not None])
    next_id = cast(
        "int",
        value(db, "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'semantic_triples'"),
    )
    ids: list[int | None] = []
    fresh: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    supports: list[tuple[int, int, int]] = []
    for each in conclusions:
        premises = [p if p > 0 else ids[-1 - p] for p in each.premises]
        if any(
            p is None or (given > 0 and p not in live)
            for p, given in zip(premises, each.premises, strict=True)
        ):
            ids.append(None)
            continue
        if each.id is not None and each.id in there:
            id_ = each.id
            changed.append((each.confidence, each.expires_at, each.rule, id_))
        else:
            id_, next_id = next_id, next_id + 1
            fresh.append(
                (
                    id_, each.subject, each.subject_type, each.predicate, each.object, each.object_type, graph,
                    each.confidence, each.valid_from, each.valid_to, each.expires_at, each.rule, now,
                )
            )  # fmt: skip
        ids.append(id_)
        supports += [(id_, at, cast("int", premise)) for at, premise in enumerate(premises)]
    run_many(
        db,
        "INSERT INTO semantic_triples (id, subject, subject_type, predicate, object, object_type, graph_id,"
        " confidence, valid_from, valid_to, expires_at, origin, rule, recorded_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'inferred', ?, ?)",
        fresh,
    )
    run_many(
        db,
        "UPDATE semantic_triples SET confidence = ?, expires_at = ?, rule = ? WHERE id = ?",
        changed,
    )
    run_many(db, "DELETE FROM triple_supports WHERE triple_id = ?", [(row[-1],) for row in changed])
    run_many(db, "INSERT INTO triple_supports (triple_id, position, premise_id) VALUES (?, ?, ?)", supports)
    return ids


def settle(db: apsw.Connection, graph: str, version: int, bounded: bool) -> None:
    """All that follows from this version of the graph is written (or as much as is kept)."""
    run(db, "UPDATE graphs SET concluded = ?, bounded = ? WHERE name = ?", (version, bounded, graph))


def _there(db: apsw.Connection, ids: Sequence[int]) -> set[int]:
    found = rows(
        db,
        "SELECT id FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row[0] for row in found}
