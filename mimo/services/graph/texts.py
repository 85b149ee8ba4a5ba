"""Facts as agents read them: a line each, and the same as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mimo.services.graph.facts import Fact
from mimo.services.graph.names import name_of
from mimo.services.graph.resolution import Resolved
from mimo.services.graph.walking import Step
from mimo.services.memory.moments import day_of, shown
from mimo.storage.triples.triple import Triple
from mimo.tool import Answer

LONGEST_SHOWN = 120


def short(name: str) -> str:
    """A name in one line, and not a page of it."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 3]}..."


def fact_text(fact: Fact) -> str:
    """`Ann manages Bob (t17; 0.9; since 2031-05-23)`, and by which rule if it was concluded."""
    notes = [name_of(fact.id)] if fact.id is not None else []
    if fact.confidence < 1:
        notes.append(f"{fact.confidence:.2g}")
    notes += times_text(fact.since, fact.until, fact.expires)
    if fact.rule:
        notes.append(f"concluded: {fact.rule}")
    return f"{short(fact.subject)} {fact.predicate} {short(fact.object)} ({'; '.join(notes)})"


def times_text(since: int | None, until: int | None, expires: int | None) -> list[str]:
    notes: list[str] = []
    if since is not None:
        notes.append(f"since {day_of(since)}")
    if until is not None:
        notes.append(f"until {day_of(until)}")
    if expires is not None:
        notes.append(f"expires {shown(expires)}")
    return notes


def fact_json(fact: Fact, types: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": None if fact.id is None else name_of(fact.id),
        "subject": fact.subject,
        "subject_type": types.get(fact.subject, ""),
        "predicate": fact.predicate,
        "object": fact.object,
        "object_type": types.get(fact.object, ""),
        "confidence": round(fact.confidence, 6),
        "inferred": bool(fact.rule),
    }
    for name, at in (("valid_from", fact.since), ("valid_to", fact.until), ("expires_at", fact.expires)):
        if at is not None:
            told[name] = shown(at)
    if fact.rule:
        told["rule"] = fact.rule
    return told


def row_text(row: Triple) -> str:
    notes = [name_of(row.id)]
    if row.confidence < 1:
        notes.append(f"{row.confidence:.2g}")
    notes += times_text(row.valid_from, row.valid_to, row.expires_at)
    if row.retired_at is not None:
        notes.append(f"{row.retired_why} {day_of(row.retired_at)}")
    if row.superseded_by is not None:
        notes.append(f"ended by {name_of(row.superseded_by)}")
    if row.rule:
        notes.append(f"concluded: {row.rule}")
    return f"{short(row.subject)} {row.predicate} {short(row.object)} ({'; '.join(notes)})"


def row_json(row: Triple) -> dict[str, Any]:
    """All that is known of a row."""
    told: dict[str, Any] = {
        "id": name_of(row.id),
        "subject": row.subject,
        "subject_type": row.subject_type,
        "predicate": row.predicate,
        "object": row.object,
        "object_type": row.object_type,
        "graph": row.graph_id,
        "confidence": row.confidence,
        "inferred": row.origin == "inferred",
        "source": row.source,
        "speaker": row.speaker,
        "evidence": row.evidence,
        "recorded_at": shown(row.recorded_at),
    }
    for name in ("valid_from", "valid_to", "expires_at", "retired_at", "closed_at"):
        if (at := getattr(row, name)) is not None:
            told[name] = shown(at)
    if row.metadata is not None:
        told["metadata"] = json.loads(row.metadata)
    if row.superseded_by is not None:
        told["superseded_by"] = name_of(row.superseded_by)
    for name in ("rule", "retired_why"):
        if getattr(row, name) is not None:
            told[name] = getattr(row, name)
    return told


def path_text(path: Sequence[Step]) -> str:
    """`Ann -manages-> Bob <-reports_to- Cid`"""
    if not path:
        return "(it is the same thing)"
    parts = [short(path[0].start)]
    for step in path:
        with_it = step.fact.subject == step.start and step.fact.object == step.end
        parts.append(f"-{step.fact.predicate}->" if with_it else f"<-{step.fact.predicate}-")
        parts.append(short(step.end))
    return " ".join(parts)


def path_json(path: Sequence[Step], types: Mapping[str, str]) -> dict[str, Any]:
    return {
        "length": len(path),
        "names": [path[0].start, *(step.end for step in path)] if path else [],
        "facts": [fact_json(step.fact, types) for step in path],
    }


def unresolved_text(found: Resolved) -> str:
    """Why a mention has no answer: an answer, not an error."""
    if found.how == "several":
        return f"{short(found.mention)!r} could be {_listed(found.candidates)}; say which"
    near = f"; the nearest names are {_listed(found.candidates)}" if found.candidates else ""
    return f"nothing here is called {short(found.mention)!r}{near}"


def unresolved_json(found: Resolved) -> dict[str, Any]:
    return {
        "results": [],
        "unresolved": found.mention,
        "ambiguous": found.how == "several",
        "candidates": list(found.candidates),
    }


def answer(format_: str, text: str, data: Mapping[str, Any]) -> Answer:
    if format_ == "json":
        return Answer.text(json.dumps(data, ensure_ascii=False), data=dict(data))
    return Answer.text(text)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(short(name)) for name in names)
