"""Use: which engrams were read, and when. Written in batches, for it must never hold up who reads."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from mimo.storage.engrams.engram import active_day
from mimo.storage.sql import run_many


def note_use(db: apsw.Connection, times: Mapping[int, int], now: int) -> None:
    """Each of these was used so many times."""
    day = active_day(db, now)
    run_many(
        db,
        "UPDATE engrams SET access_count = access_count + ?, accessed_at = max(accessed_at, ?),"
        " accessed_day = max(accessed_day, ?) WHERE id = ?",
        [(count, now, day, id_) for id_, count in times.items()],
    )
