"""What befell engrams: read for their history, and taken back by `undo`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from mimo.storage.engrams.engram import Engram, Link, links_of, load
from mimo.storage.sql import rows


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of a history."""

    id: int
    engram_id: int
    action: str
    op: str
    at: int
    actor: str
    before: dict[str, Any] | None
    undone: bool


@dataclass(frozen=True, slots=True)
class LookedUp:
    """An engram with all that belongs to it."""

    engram: Engram
    links: tuple[Link, ...]
    history: tuple[Happened, ...] = ()


def looked_up(db: apsw.Connection, ids: Sequence[int], with_history: bool) -> list[LookedUp]:
    """Those of the ids that are there, in the order asked for."""
    return [
        LookedUp(
            engram,
            tuple(links_of(db, engram.id)),
            tuple(history_of(db, engram.id)) if with_history else (),
        )
        for engram in load(db, ids)
    ]


def history_of(db: apsw.Connection, id_: int) -> list[Happened]:
    """The oldest first."""
    found = rows(
        db,
        "SELECT id, engram_id, action, op, at, actor, before, undone FROM engram_events WHERE engram_id = ? ORDER BY id",
        (id_,),
    )
    return [_happened(row) for row in found]


def _happened(row: tuple[Any, ...]) -> Happened:
    id_, engram_id, action, op, at, actor, before, undone = row
    return Happened(
        id_, engram_id, action, op, at, actor, json.loads(before) if before else None, bool(undone)
    )
