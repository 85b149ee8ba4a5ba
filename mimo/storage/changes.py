"""The change log, which caches in memory follow.

Triggers write one row a change, in the change's own transaction. A consumer remembers the last `seq`
it has seen and asks for what came after. The log is bounded: a consumer that stayed away for too long
(or that remembers a file from before a restore) is told to rebuild from the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import apsw
import trio

from mimo.storage.sql import rows, run, value

KEPT_CHANGES = 100_000

Op: TypeAlias = Literal["add", "update", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    kind: str
    id: int
    op: Op


@dataclass(frozen=True, slots=True)
class Changes:
    """What came after a seq. `complete` is false when some of it is no longer, or never was, in the log."""

    rows: tuple[Change, ...]
    last: int  # the newest seq there is; ask again while rows are left
    complete: bool


def last_seq(db: apsw.Connection) -> int:
    """The newest seq that was ever given out, 0 at first."""
    return cast("int", value(db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'change'"))


def changes_after(db: apsw.Connection, seq: int, limit: int = 10_000) -> Changes:
    """Up to `limit` changes after `seq`, in the order of their commits."""
    last, floor = last_seq(db), floor_seq(db)
    found = rows(db, "SELECT seq, kind, id, op FROM change WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    return Changes(tuple(Change(*row) for row in found), last, floor <= seq <= last)


def floor_seq(db: apsw.Connection) -> int:
    """The seq of the newest change that was pruned: who has not seen it must rebuild."""
    oldest = cast("int | None", value(db, "SELECT min(seq) FROM change"))
    return last_seq(db) if oldest is None else oldest - 1


def prune_changes(db: apsw.Connection, *, keep: int = KEPT_CHANGES, limit: int = 10_000) -> int:
    """Removes up to `limit` rows that are older than the newest `keep`; how many it were."""
    run(
        db,
        "DELETE FROM change WHERE seq IN (SELECT seq FROM change WHERE seq <= ? ORDER BY seq LIMIT ?)",
        (last_seq(db) - keep, limit),
    )
    return db.changes()


class Changed:
    """Wakes those who follow the log. Belongs to the loop; a restart of the database does not disturb it."""

    def __init__(self) -> None:
        self.last = 0
        self._moved = trio.Event()

    async def wait(self, after: int) -> int:
        """Returns the newest seq, as soon as it is not `after` any more (after a restore it may be smaller)."""
        await trio.lowlevel.checkpoint()
        while self.last == after:
            await self._moved.wait()
        return self.last

    def tell(self, last: int) -> None:
        if last != self.last:
            self.last = last
            self._moved.set()
            self._moved = trio.Event()
