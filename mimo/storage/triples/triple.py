"""Facts as they stand in their table: read by id, by what they are about, and graph by graph."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw

from mimo.storage.sql import rows

COLUMNS = (
    "id, subject, subject_type, predicate, object, object_type, graph_id, confidence, source, valid_from, valid_to,"
    " expires_at, metadata, origin, rule, speaker, evidence, engram_id, recorded_at, retired_at, retired_why,"
    " closed_at, superseded_by, held_to"
)
# Walking needs no more of a fact.
LEAN = (
    "id, subject, predicate, object, subject_type, object_type, confidence, valid_from, valid_to, expires_at, origin,"
    " rule"
)


@dataclass(frozen=True, slots=True)
class Triple:
    """A row, whole."""

    id: int
    subject: str
    subject_type: str
    predicate: str
    object: str
    object_type: str
    graph_id: str
    confidence: float
    source: str
    valid_from: int | None
    valid_to: int | None
    expires_at: int | None
    metadata: str | None
    origin: str
    rule: str | None
    speaker: str
    evidence: str
    engram_id: int | None
    recorded_at: int
    retired_at: int | None
    retired_why: str | None
    closed_at: int | None
    superseded_by: int | None
    held_to: int | None


class Lean(NamedTuple):
    """What of a row is kept in memory."""

    id: int
    subject: str
    predicate: str
    object: str
    subject_type: str
    object_type: str
    confidence: float
    valid_from: int | None
    valid_to: int | None
    expires_at: int | None
    origin: str
    rule: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """One who said it, beside the first."""

    source: str
    speaker: str
    evidence: str
    engram_id: int | None
    said_at: int


@dataclass(frozen=True, slots=True)
class GraphRow:
    name: str
    version: int
    concluded: int
    bounded: bool


def graph_row(db: apsw.Connection, graph: str) -> GraphRow | None:
    found = rows(db, "SELECT name, version, concluded, bounded FROM graphs WHERE name = ?", (graph,))
    return GraphRow(found[0][0], found[0][1], found[0][2], bool(found[0][3])) if found else None


def load_triples(db: apsw.Connection, ids: Sequence[int]) -> dict[int, Triple]:
    """Those of the ids that are there."""
    found = rows(
        db,
        f"SELECT {COLUMNS} FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
        (json.dumps(list(ids)),),
    )
    return {row[0]: Triple(*row) for row in found}


def all_live(db: apsw.Connection, graph: str) -> list[Lean]:
    """What is believed in a graph, all of it, conclusions after what was said."""
    found = rows(
        db,
        f"SELECT {LEAN} FROM semantic_triples INDEXED BY triples_confident"  # noqa: S608
        " WHERE graph_id = ? AND retired_at IS NULL",
        (graph,),
    )
    return list(map(Lean._make, found))


def live_of(db: apsw.Connection, graph: str, ids: Sequence[int]) -> list[Lean]:
    """Those of the ids that are believed in the graph."""
    found = rows(
        db,
        f"SELECT {LEAN} FROM semantic_triples WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
        " AND +graph_id = ? AND retired_at IS NULL ORDER BY id",
        (json.dumps(list(ids)), graph),
    )
    return list(map(Lean._make, found))


def supports_of(db: apsw.Connection, ids: Sequence[int]) -> dict[int, list[int]]:
    """The premises of conclusions, in the order of their rules."""
    found: dict[int, list[int]] = {}
    for id_, premise in rows(
        db,
        "SELECT triple_id, premise_id FROM triple_supports WHERE triple_id IN (SELECT value FROM json_each(?))"
        " ORDER BY triple_id, position",
        (json.dumps(list(ids)),),
    ):
        found.setdefault(id_, []).append(premise)
    return found


def origins_of(db: apsw.Connection, ids: Sequence[int]) -> dict[int, list[Origin]]:
    """Who else said it."""
    found: dict[int, list[Origin]] = {}
    for id_, *rest in rows(
        db,
        "SELECT triple_id, source, speaker, evidence, engram_id, said_at FROM triple_origins"
        " WHERE triple_id IN (SELECT value FROM json_each(?)) ORDER BY triple_id, id",
        (json.dumps(list(ids)),),
    ):
        found.setdefault(id_, []).append(Origin(*rest))
    return found


def engrams_about(db: apsw.Connection, graph: str, names: Sequence[str], limit: int) -> list[int]:
    """Memories from which facts about these things were learned, the newest facts' first."""
    found = rows(
        db,
        "SELECT engram_id FROM (SELECT t.id, t.engram_id FROM json_each(?1) AS wanted"
        "  CROSS JOIN semantic_triples AS t INDEXED BY triples_spo ON t.subject = wanted.value"
        "  WHERE +t.graph_id = ?2 AND t.retired_at IS NULL AND t.engram_id IS NOT NULL"
        " UNION SELECT t.id, t.engram_id FROM json_each(?1) AS wanted"
        "  CROSS JOIN semantic_triples AS t INDEXED BY triples_osp ON t.object = wanted.value"
        "  WHERE +t.graph_id = ?2 AND t.retired_at IS NULL AND t.engram_id IS NOT NULL"
        " ORDER BY 1 DESC LIMIT ?3)",
        (json.dumps(list(names)), graph, limit),
    )
    return list(dict.fromkeys(row[0] for row in found))


def about(db: apsw.Connection, graph: str, name: str, limit: int) -> list[Triple]:
    """What was ever said of a thing, as subject and as object, the ended and the retracted too."""
    found: list[Triple] = []
    for column in ("subject", "object"):
        found += [
            Triple(*row)
            for row in rows(
                db,
                f"SELECT {COLUMNS} FROM semantic_triples WHERE {column} = ? AND +graph_id = ?"  # noqa: S608
                " ORDER BY id LIMIT ?",
                (name, graph, limit),
            )
        ]
    return list({each.id: each for each in found}.values())


def counted(db: apsw.Connection, graph: str) -> dict[str, Any]:
    """How much there is in a graph."""
    asserted, inferred, mean = rows(
        db,
        "SELECT count(*) FILTER (WHERE origin = 'asserted'), count(*) FILTER (WHERE origin = 'inferred'),"
        " avg(confidence) FROM semantic_triples INDEXED BY triples_confident"
        " WHERE graph_id = ? AND retired_at IS NULL",
        (graph,),
    )[0]
    predicates = rows(
        db,
        "SELECT predicate, count(*) FROM semantic_triples INDEXED BY triples_confident"
        " WHERE graph_id = ? AND retired_at IS NULL GROUP BY predicate ORDER BY 2 DESC, 1 LIMIT 50",
        (graph,),
    )
    entities = rows(db, "SELECT count(*) FROM entities WHERE graph_id = ?", (graph,))[0][0]
    retired = rows(
        db,
        "SELECT retired_why, count(*) FROM semantic_triples WHERE graph_id = ? AND retired_at IS NOT NULL"
        " GROUP BY retired_why",
        (graph,),
    )
    return {
        "asserted": asserted,
        "inferred": inferred,
        "entities": entities,
        "mean_confidence": None if mean is None else round(mean, 4),
        "predicates": dict(predicates),
        "retired": dict(retired),
    }
