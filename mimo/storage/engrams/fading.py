"""What decides which engrams fade, and the ends of those that did."""

from __future__ import annotations

from typing import NamedTuple, cast

import apsw

from mimo.storage.sql import rows, run, value


class Idle(NamedTuple):
    """A live engram that was not used on the newest active day."""

    id: int
    importance: float
    uses: int
    day: int  # the active day of its last use
    rate: float
    protected: int  # 0 or 1


def idle_after(db: apsw.Connection, after: int, today: int, limit: int) -> list[Idle]:
    """A portion, in the order of ids."""
    found = rows(
        db,
        "SELECT id, importance, access_count, accessed_day, decay_rate, protected FROM engrams"
        " WHERE id > ? AND state = 'live' AND accessed_day < ? ORDER BY id LIMIT ?",
        (after, today, limit),
    )
    return [Idle(*row) for row in found]


def erase_old(db: apsw.Connection, before: int, limit: int) -> int:
    """Erases up to `limit` of what was archived or forgotten before then; how many."""
    run(
        db,
        "DELETE FROM engrams WHERE id IN (SELECT id FROM engrams WHERE state IN ('archived', 'forgotten')"
        " AND state_since < ? LIMIT ?)",
        (before, limit),
    )
    return db.changes()


def last_swept(db: apsw.Connection) -> int | None:
    """When what fades was looked at last."""
    return cast("int | None", value(db, "SELECT at FROM rounds WHERE name = 'sweep'"))


def note_sweep(db: apsw.Connection, at: int) -> None:
    run(
        db,
        "INSERT INTO rounds (name, at) VALUES ('sweep', ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
        (at,),
    )
