"""Engrams as they stand in their tables: read by id, and the small steps of which every change consists.

All times are whole milliseconds since 1970, UTC. Whatever writes takes `now` from its caller, so that
one call has one time and tests have theirs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, cast, get_args

import apsw

from mimo.storage.sql import rows, run, value

State: TypeAlias = Literal["live", "working", "archived", "forgotten"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Origin:
    """One time that it was said."""

    reference: str | None
    client: str
    tool: str
    trust: str
    session: str | None
    position: int | None
    created_at: int
    stored_at: int


@dataclass(frozen=True, slots=True)
class Engram:
    """A memory as it stands."""

    id: int
    namespace: str
    state: State
    state_since: int
    content: str
    kind: str
    importance: float
    protected: bool
    session: str | None
    position: int | None
    client: str
    tool: str
    trust: str
    created_at: int
    stored_at: int
    changed_at: int
    valid_from: int | None
    valid_to: int | None
    superseded_by: int | None
    expires_at: int | None
    accessed_at: int
    accessed_day: int
    access_count: int
    decay_rate: float
    tags: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """The callers' own names of it, first said first, each once."""
        return tuple(dict.fromkeys(o.reference for o in self.origins if o.reference is not None))


@dataclass(frozen=True, slots=True)
class Link:
    from_id: int
    relation: str
    to_id: int


_SELECT = (
    "SELECT id, namespace, state, state_since, content, kind, importance, protected, session, position, client, tool, trust,"
    " created_at, stored_at, changed_at, valid_from, valid_to, superseded_by, expires_at, accessed_at, accessed_day,"
    " access_count, decay_rate FROM engrams WHERE id IN (SELECT value FROM json_each(?))"
)


def require_namespace(db: apsw.Connection, name: str, now: int) -> None:
    run(db, "INSERT INTO namespaces (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, now))


def namespaces(db: apsw.Connection) -> list[str]:
    return [row[0] for row in rows(db, "SELECT name FROM namespaces ORDER BY name")]


def newest_ids(db: apsw.Connection, limit: int) -> list[int]:
    """The newest first."""
    return [row[0] for row in rows(db, "SELECT id FROM engrams ORDER BY id DESC LIMIT ?", (limit,))]


def active_day(db: apsw.Connection, now: int) -> int:
    """The number of the day, which from now on is one on which mimo was used."""
    day = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    number = cast("int | None", value(db, "SELECT number FROM active_days WHERE day = ?", (day,)))
    if number is None:
        run(db, "INSERT INTO active_days (day) VALUES (?)", (day,))
        number = db.last_insert_rowid()
    return number


def last_active_day(db: apsw.Connection) -> int:
    """The number of the newest day on which mimo was used; 0 before the first."""
    return cast("int", value(db, "SELECT coalesce(max(number), 0) FROM active_days"))


def load(db: apsw.Connection, ids: Iterable[int]) -> list[Engram]:
    """Those of the ids that are there, in the order in which they were asked for."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    listed = json.dumps(wanted)
    tags, origins = tags_of(db, wanted), _origins(db, listed)
    found = rows(db, _SELECT, (listed,))
    by_id = {row[0]: _engram(row, tags.get(row[0], ()), tuple(origins[row[0]])) for row in found}
    return [by_id[id_] for id_ in wanted if id_ in by_id]


def missing_of(db: apsw.Connection, ids: Sequence[int]) -> list[int]:
    """Those of the ids that stand nowhere."""
    if not ids:
        return []
    found = rows(
        db,
        "SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM engrams WHERE id = value)",
        (json.dumps(list(ids)),),
    )
    return [row[0] for row in found]


def spaces_of(db: apsw.Connection, ids: Sequence[int]) -> list[str]:
    """The namespaces in which they are."""
    found = rows(
        db,
        "SELECT DISTINCT namespace FROM engrams WHERE id IN (SELECT value FROM json_each(?)) ORDER BY 1",
        (json.dumps(list(ids)),),
    )
    return [row[0] for row in found]


def tags_of(db: apsw.Connection, ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for id_, tag in rows(
        db,
        "SELECT engram_id, tag FROM engram_tags WHERE engram_id IN (SELECT value FROM json_each(?))"
        " ORDER BY engram_id, tag",
        (json.dumps(list(ids)),),
    ):
        found[id_].append(tag)
    return {id_: tuple(tags) for id_, tags in found.items()}


def links_of(db: apsw.Connection, id_: int) -> list[Link]:
    """Those that lead from it and to it."""
    return [
        Link(*row)
        for row in rows(
            db,
            "SELECT from_id, relation, to_id FROM engram_links WHERE from_id = ?1"
            " UNION SELECT from_id, relation, to_id FROM engram_links WHERE to_id = ?1 ORDER BY 1, 2, 3",
            (id_,),
        )
    ]


def count_by_state(db: apsw.Connection) -> dict[State, int]:
    return {state: value(db, "SELECT count(*) FROM engrams WHERE state = ?", (state,)) for state in STATES}


def record(
    db: apsw.Connection,
    id_: int,
    action: str,
    op: str,
    now: int,
    actor: str,
    before: dict[str, Any] | None = None,
) -> None:
    """A line of its history. `before` holds what `undo` needs to know."""
    run(
        db,
        "INSERT INTO engram_events (engram_id, action, op, at, actor, before) VALUES (?, ?, ?, ?, ?, ?)",
        (id_, action, op, now, actor, None if before is None else json.dumps(before)),
    )


def link(db: apsw.Connection, from_id: int, relation: str, to_id: int, now: int) -> bool:
    """Whether the link is new."""
    run(
        db,
        "INSERT INTO engram_links (from_id, relation, to_id, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (from_id, relation, to_id, now),
    )
    return bool(db.changes())


def supersede(db: apsw.Connection, new: int, old: int, now: int, action: str, actor: str) -> bool:
    """`new` stands in the place of `old` from now on; false if it does already, or there is no `old`, or it is the same.

    The last word counts: where `old` had come to stand in the place of `new`, it no longer does, for else neither
    would be found.
    """
    found = rows(db, "SELECT superseded_by FROM engrams WHERE id = ?", (old,))
    if not found or old == new or found[0][0] == new:
        return False
    if old in _replacements(db, new):
        _stand_again(db, new, now, action, actor)
    is_new = link(db, new, "supersedes", old, now)
    run(db, "UPDATE engrams SET superseded_by = ?, changed_at = ? WHERE id = ?", (new, now, old))
    before: dict[str, Any] = {"superseded_by": found[0][0]}
    if is_new:
        before["linked"] = [[new, "supersedes", old]]
    record(db, old, action, "superseded", now, actor, before)
    return True


def _replacements(db: apsw.Connection, id_: int) -> list[int]:
    """What stands in its place, what stands in the place of that, and so on."""
    found: list[int] = []
    by = cast("int | None", value(db, "SELECT superseded_by FROM engrams WHERE id = ?", (id_,)))
    while by is not None and by not in found:
        found.append(by)
        by = cast("int | None", value(db, "SELECT superseded_by FROM engrams WHERE id = ?", (by,)))
    return found


def _stand_again(db: apsw.Connection, id_: int, now: int, action: str, actor: str) -> None:
    by = value(db, "SELECT superseded_by FROM engrams WHERE id = ?", (id_,))
    run(db, "UPDATE engrams SET superseded_by = NULL, changed_at = ? WHERE id = ?", (now, id_))
    before: dict[str, Any] = {"superseded_by": by}
    run(
        db,
        "DELETE FROM engram_links WHERE from_id = ? AND relation = 'supersedes' AND to_id = ?",
        (by, id_),
    )
    if db.changes():
        before["unlinked"] = [[by, "supersedes", id_]]
    record(db, id_, action, "reinstated", now, actor, before)


def _origins(db: apsw.Connection, listed: str) -> defaultdict[int, list[Origin]]:
    found: defaultdict[int, list[Origin]] = defaultdict(list)
    for id_, *rest in rows(
        db,
        "SELECT engram_id, reference, client, tool, trust, session, position, created_at, stored_at"
        " FROM engram_origins WHERE engram_id IN (SELECT value FROM json_each(?)) ORDER BY engram_id, id",
        (listed,),
    ):
        found[id_].append(Origin(*rest))
    return found


def _engram(row: tuple[Any, ...], tags: tuple[str, ...], origins: tuple[Origin, ...]) -> Engram:
    values = list(row)
    values[7] = bool(values[7])  # protected
    return Engram(*values, tags=tags, origins=origins)
