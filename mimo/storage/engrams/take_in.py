"""What another home remembered, taken in: as it was, under its own ids where these are free."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import apsw

from mimo.storage.engrams.engram import Engram, link, require_namespace
from mimo.storage.engrams.history import Happened
from mimo.storage.engrams.traits import keep_traits
from mimo.storage.engrams.transfer import SUPERSEDED_BY, Carried, End, Place, Tie
from mimo.storage.sql import run, run_many, value


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of an export, and how many lines that has."""

    version: int
    lines: int


@dataclass(frozen=True, slots=True)
class Days:
    """The days on which the other home was used, in their order."""

    days: tuple[str, ...]


Thing: TypeAlias = Header | Days | Place | Carried | Tie
# content and tags -> what the index knows besides; content -> its hash
Told: TypeAlias = tuple[Callable[[str, Sequence[str]], str], Callable[[str], bytes]]

ADDED, KNOWN, NOT_COUNTED = "added", "known", ""


def take_in_all(db: apsw.Connection, things: Sequence[Thing], told: Told, dry_run: bool) -> list[str]:
    """Of each memory "added" or "known", of others nothing; or why it could not be taken in, which keeps no other out."""
    run(db, "SAVEPOINT all_things")
    outcomes: list[str] = []
    for thing in things:
        run(db, "SAVEPOINT thing")
        try:
            outcomes.append(_take_in(db, thing, told))
        except (apsw.ConstraintError, OverflowError, UnicodeEncodeError) as error:
            run(db, "ROLLBACK TO thing")
            outcomes.append(f"it cannot be kept: {error}")
        run(db, "RELEASE thing")
    if dry_run:
        run(db, "ROLLBACK TO all_things")
    run(db, "RELEASE all_things")
    return outcomes


def _take_in(db: apsw.Connection, thing: Thing, told: Told) -> str:
    match thing:
        case Header():
            return NOT_COUNTED
        case Days():
            if not value(db, "SELECT count(*) FROM active_days"):
                run_many(db, "INSERT INTO active_days (day) VALUES (?)", [(day,) for day in thing.days])
            return NOT_COUNTED
        case Place():
            require_namespace(db, thing.name, thing.created_at)
            return NOT_COUNTED
        case Tie():
            return _tie(db, thing)
        case Carried():
            return _engram(db, thing, told)


def _engram(db: apsw.Connection, it: Carried, told: Told) -> str:
    retell, hashed = told
    engram = it.engram
    hash_ = hashed(engram.content)
    is_free = engram.id > 0 and not value(db, "SELECT 1 FROM engrams WHERE id = ?", (engram.id,))
    # Several may be alike, as when one was forgotten and said again: what has its own place here is another one.
    if not is_free and value(
        db,
        "SELECT 1 FROM engrams WHERE content_hash = ? AND namespace = ? AND created_at = ? AND state = ?"
        " AND valid_from IS ? AND valid_to IS ?",
        (hash_, engram.namespace, engram.created_at, engram.state, engram.valid_from, engram.valid_to),
    ):
        return KNOWN
    require_namespace(db, engram.namespace, engram.stored_at)
    extra = retell(engram.content, engram.tags)
    day = cast(
        "int",
        value(db, "SELECT coalesce(max(number), 0) FROM active_days WHERE day <= ?", (it.day or "9999",)),
    )
    run(
        db,
        "INSERT INTO engrams (id, namespace, state, state_since, content, extra, content_hash, kind, importance,"
        " protected, session, position, client, tool, trust, created_at, stored_at, changed_at, valid_from, valid_to,"
        " expires_at, accessed_at, accessed_day, access_count, decay_rate)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            engram.id if is_free else None,
            engram.namespace,
            engram.state,
            engram.state_since,
            engram.content,
            extra,
            hash_,
            engram.kind,
            engram.importance,
            engram.protected,
            engram.session,
            engram.position,
            engram.client,
            engram.tool,
            engram.trust,
            engram.created_at,
            engram.stored_at,
            engram.changed_at,
            engram.valid_from,
            engram.valid_to,
            engram.expires_at,
            engram.accessed_at,
            day,
            engram.access_count,
            engram.decay_rate,
        ),
    )
    id_ = db.last_insert_rowid()
    keep_traits(db, [(id_, engram.content, extra)])
    run_many(
        db, "INSERT INTO engram_tags (tag, engram_id) VALUES (?, ?)", [(tag, id_) for tag in engram.tags]
    )
    _origins(db, id_, engram)
    run_many(
        db,
        "INSERT INTO engram_events (engram_id, action, op, at, actor, before, undone) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            # What names other engrams by their ids means nothing where these are others.
            (id_, each.action, each.op, each.at, each.actor, _before(each) if is_free else None, each.undone)
            for each in it.history
        ],
    )
    return ADDED


def _tie(db: apsw.Connection, tie: Tie) -> str:
    one, other = _find(db, tie.one), _find(db, tie.other)
    if one is None or other is None or one == other:
        return "one of its ends is not here"
    if tie.relation != SUPERSEDED_BY:
        link(db, one, tie.relation, other, tie.created_at)
    elif value(db, "SELECT superseded_by FROM engrams WHERE id = ?", (one,)) is None:
        run(db, "UPDATE engrams SET superseded_by = ? WHERE id = ?", (other, one))
    return NOT_COUNTED


def _find(db: apsw.Connection, end: End) -> int | None:
    return cast(
        "int | None",
        value(
            db,
            "SELECT id FROM engrams WHERE content_hash = ? AND namespace = ? ORDER BY id <> ?, id LIMIT 1",
            (end.content_hash, end.namespace, end.id),
        ),
    )


def _origins(db: apsw.Connection, id_: int, engram: Engram) -> None:
    run_many(
        db,
        "INSERT INTO engram_origins (engram_id, reference, client, tool, trust, session, position, created_at,"
        " stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (id_, o.reference, o.client, o.tool, o.trust, o.session, o.position, o.created_at, o.stored_at)
            for o in engram.origins
        ],
    )


def _before(happened: Happened) -> str | None:
    before: dict[str, Any] | None = happened.before
    return None if before is None else json.dumps(before)
