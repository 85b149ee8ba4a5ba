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
    " e.state = 'live' AND e.superseded_by IS NULL AND e.trust <> 'web'"
    " AND (e.valid_to IS NULL OR e.valid_to > :now) AND (e.valid_from IS NULL OR e.valid_from <= :now)"
)
_FROM = "SELECT e.id FROM json_each(:spaces) AS home JOIN engrams e ON e.namespace = home.value WHERE"
_QUERIES: dict[Section, str] = {
    "pinned": f"{_FROM} e.protected = 1 AND {_SHOWN} ORDER BY e.importance DESC, e.id DESC LIMIT :most",
    "preferences": f"{_FROM} e.kind = 'preference' AND e.importance >= 0.4 AND {_SHOWN}"
    " ORDER BY e.importance DESC, e.id DESC LIMIT :most",
    "unfinished": f"{_FROM} e.kind = 'plan' AND {_SHOWN} ORDER BY e.created_at DESC, e.id DESC LIMIT :most",
    "decisions": f"{_FROM} e.kind = 'decision' AND {_SHOWN} ORDER BY e.created_at DESC, e.id DESC LIMIT :most",
    "recent": f"{_FROM} e.kind = 'episode' AND e.importance >= 0.6 AND {_SHOWN}"
    " ORDER BY e.created_at DESC, e.id DESC LIMIT :most",
}

_OF_ONE = "SELECT e.created_at, e.id FROM engrams e WHERE e.namespace = :space AND"
_NEWEST = f"{_OF_ONE} {_SHOWN} ORDER BY e.created_at DESC LIMIT :most"


@dataclass(frozen=True, slots=True)
class Told:
    """An engram, and why it is told."""

    section: Section
    engram: Engram


def matters(db: apsw.Connection, namespaces: Sequence[str], now: int, most: int) -> list[Told]:
    """Up to `most` of each section, the first first; each engram once."""
    bindings: dict[str, Any] = {"spaces": json.dumps(list(namespaces)), "now": now, "most": most}
    told: dict[int, Section] = {}
    for section, query in _QUERIES.items():
        for (id_,) in rows(db, query, bindings):
            told.setdefault(id_, section)
    return [Told(told[engram.id], engram) for engram in load(db, told)]


def newest(db: apsw.Connection, namespaces: Sequence[str], now: int, most: int) -> list[Engram]:
    """Whatever may speak unasked, the newest first."""
    found: list[tuple[int, int]] = []
    for space in dict.fromkeys(
        namespaces
    ):  # one by one: each in the order of its index, and no further than asked for
        found += rows(
            db,
            _NEWEST,
            {"space": space, "now": now, "most": most},
        )
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
