"""What matters in some namespaces without a question being asked: pinned, weighty, recent, unfinished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import apsw

from mimo.storage.engrams.engram import Engram, load
from mimo.storage.sql import rows, value

Section: TypeAlias = Literal["pinned", "preferences", "unfinished", "decisions", "recent", "newest"]

# Who speaks in an agent's prompt without having been asked must be trusted: nothing from the web.
_SHOWN = (
    " e.state = 'live' AND e.trust <> 'web'"
    " AND (e.valid_to IS NULL OR e.valid_to > :now) AND (e.valid_from IS NULL OR e.valid_from <= :now)"
)
# Of which sections, what comes first in each, and by which index: the planner would now and then look through all.
_SECTIONS: dict[Section, tuple[str, str, str]] = {
    "pinned": ("e.protected = 1", "e.importance", "engrams_pinned"),
    "preferences": ("e.kind = 'preference' AND e.importance >= 0.4", "e.importance", "engrams_by_weight"),
    "unfinished": ("e.kind = 'plan'", "e.created_at", "engrams_by_kind"),
    "decisions": ("e.kind = 'decision'", "e.created_at", "engrams_by_kind"),
    "recent": ("e.kind = 'episode' AND e.importance >= 0.6", "e.created_at", "engrams_by_kind"),
}
# Those that nothing replaces.
_OF_SPACES = (
    "FROM json_each(:spaces) AS home CROSS JOIN engrams e INDEXED BY {index} ON e.namespace = home.value"
    " WHERE e.superseded_by IS NULL AND"
)
# Those few whose replacement holds only later.
_STILL = (
    "FROM engrams newer INDEXED BY engrams_to_come"
    " CROSS JOIN engrams e INDEXED BY engrams_superseded ON e.superseded_by = newer.id"
    " WHERE newer.valid_from > :now AND e.namespace IN (SELECT value FROM json_each(:spaces)) AND"
)
_QUERIES: dict[Section, tuple[str, ...]] = {
    section: tuple(
        f"SELECT {by}, e.id {source} {which} AND {_SHOWN} ORDER BY {by} DESC, e.id DESC LIMIT :most"
        for source in (_OF_SPACES.format(index=index), _STILL)
    )
    for section, (which, by, index) in _SECTIONS.items()
}

_NEWEST = f"""
    SELECT e.created_at, e.id FROM engrams e INDEXED BY engrams_by_namespace
    WHERE e.namespace = :space AND e.superseded_by IS NULL AND {_SHOWN}
    ORDER BY e.created_at DESC LIMIT :most
"""  # noqa: S608
_NEWEST_STILL = f"SELECT e.created_at, e.id {_STILL} {_SHOWN} ORDER BY e.created_at DESC LIMIT :most"


@dataclass(frozen=True, slots=True)
class Told:
    """An engram, and why it is told."""

    section: Section
    engram: Engram


def matters(db: apsw.Connection, namespaces: Sequence[str], now: int, most: int) -> list[Told]:
    """Up to `most` of each section, the first first; each engram once."""
    bindings: dict[str, Any] = {"spaces": json.dumps(list(namespaces)), "now": now, "most": most}
    told: dict[int, Section] = {}
    for section, queries in _QUERIES.items():
        found = sorted((row for query in queries for row in rows(db, query, bindings)), reverse=True)
        for _, id_ in found[:most]:
            told.setdefault(id_, section)
    return [Told(told[engram.id], engram) for engram in load(db, told)]


def newest(db: apsw.Connection, namespaces: Sequence[str], now: int, most: int) -> list[Engram]:
    """Whatever may speak unasked, the newest first."""
    spaces = list(dict.fromkeys(namespaces))
    found = rows(db, _NEWEST_STILL, {"spaces": json.dumps(spaces), "now": now, "most": most})
    for space in spaces:  # one by one: each in the order of its index, and no further than asked for
        found += rows(db, _NEWEST, {"space": space, "now": now, "most": most})
    return load(db, [id_ for _, id_ in sorted(found, reverse=True)[:most]])


def count(db: apsw.Connection, namespaces: Sequence[str]) -> int:
    """How many a search there could find."""
    return cast(
        "int",
        value(
            db,
            "SELECT count(*) FROM json_each(?) AS home JOIN engrams e ON e.namespace = home.value"
            " WHERE e.state IN ('live', 'working')",
            (json.dumps(list(dict.fromkeys(namespaces))),),
        ),
    )
