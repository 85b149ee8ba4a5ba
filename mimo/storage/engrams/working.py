"""Working memory: what a session keeps for a while, until it is promoted or gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from mimo.storage.sql import rows, run, run_many

MOST_IN_SESSION = 1_000


class Held(NamedTuple):
    """An item of working memory, as consolidation judges it."""

    id: int
    namespace_number: int
    importance: float
    uses: int
    stored_at: int
    expires_at: int


def held(db: apsw.Connection) -> list[Held]:
    """All of it, the first to expire first."""
    return [
        Held(*row)
        for row in rows(
            db,
            "SELECT e.id, n.id, e.importance, e.access_count, e.stored_at, e.expires_at FROM engrams e"
            " JOIN namespaces n ON n.name = e.namespace"
            " WHERE e.state = 'working' ORDER BY e.expires_at, e.id",
        )
    ]


def make_room(
    db: apsw.Connection, namespace: str, session: str | None, most: int = MOST_IN_SESSION
) -> list[int]:
    """The first to expire leave a session that holds more than so many; their ids."""
    found = rows(
        db,
        "SELECT id FROM engrams WHERE namespace = ? AND state = 'working' AND session IS ?"
        " ORDER BY expires_at DESC, id DESC LIMIT -1 OFFSET ?",
        (namespace, session, most),
    )
    ids = [row[0] for row in found]
    run_many(db, "DELETE FROM engrams WHERE id = ?", [(id_,) for id_ in ids])
    return ids


def drop_expired(db: apsw.Connection, ids: Sequence[int], now: int) -> list[int]:
    """Those of the ids that are still working memory and whose time is over: they are gone."""
    gone: list[int] = []
    for id_ in ids:
        run(db, "DELETE FROM engrams WHERE id = ? AND state = 'working' AND expires_at <= ?", (id_, now))
        if db.changes():
            gone.append(id_)
    return gone
