"""Runs of procedures: begun, saved turn by turn with what befell them, and found again after a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import apsw

from mimo.errors import Conflict
from mimo.storage.sql import rows, run, run_many, value

# Number, kind, state, step, attempt, and detail as JSON.
Line: TypeAlias = tuple[int, str, str, int, int, str | None]


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose child a run is: of which step of which run."""

    id: int
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Row:
    """A run as it was saved."""

    id: int
    definition_id: int
    status: str
    state: str
    run: str
    context: str
    turn: int
    wake_at: int | None
    parent: Parent | None
    client: str
    created_at: int
    changed_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Saved:
    """What is to be written of a run after a turn. `context` is None where it is as before."""

    status: str
    state: str
    run: str
    context: str | None
    wake_at: int | None
    ended: bool
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Told:
    """A line of a run's history."""

    number: int
    at: int
    kind: str
    state: str
    step: int
    attempt: int
    detail: str | None


_COLUMNS = (
    "id, definition_id, status, state, run, context, turn, wake_at, parent_id, parent_step, parent_attempt, client,"
    " created_at, changed_at, ended_at"
)
NEWEST = (1 << 62, 1 << 62)  # before all that there are
LIVE = ("pending", "running", "waiting", "compensating", "interrupted", "needs_attention")


def begin(
    db: apsw.Connection, definition_id: int, first: Saved, parent: Parent | None, client: str, now: int
) -> tuple[int, bool]:
    """The new run's id; or, for a child that its parent has already, that one's and False."""
    if parent is not None:
        there = value(
            db,
            "SELECT id FROM procedure_executions WHERE parent_id = ? AND parent_step = ? AND parent_attempt = ?",
            (parent.id, parent.step, parent.attempt),
        )
        if there is not None:
            return there, False
    run(
        db,
        "INSERT INTO procedure_executions (definition_id, status, state, run, context, wake_at, parent_id,"
        " parent_step, parent_attempt, client, created_at, changed_at, ended_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            definition_id, first.status, first.state, first.run, first.context or "{}", first.wake_at,
            None if parent is None else parent.id, None if parent is None else parent.step,
            None if parent is None else parent.attempt, client, now, now, now if first.ended else None,
        ),
    )  # fmt: skip
    id_ = db.last_insert_rowid()
    _tell(db, id_, first.lines, now)
    return id_, True


def begin_once(
    db: apsw.Connection,
    uid: str,
    definition_id: int,
    saved: Saved,
    parent: Parent | None,
    client: str,
    now: int,
) -> tuple[int, bool, str]:
    """`begin`, and whose it was: under a key another's answer may come back."""
    id_, new = begin(db, definition_id, saved, parent, client, now)
    return id_, new, uid


def save(db: apsw.Connection, id_: int, turn: int, saved: Saved, now: int) -> None:
    """The next turn of a run that was saved `turn` times before.

    Raises:
        Conflict: somebody else has saved it since; nothing is written.
    """
    if saved.context is None:
        run(
            db,
            "UPDATE procedure_executions SET status = ?, state = ?, run = ?, wake_at = ?, turn = turn + 1,"
            " changed_at = ?, ended_at = ? WHERE id = ? AND turn = ?",
            (
                saved.status,
                saved.state,
                saved.run,
                saved.wake_at,
                now,
                now if saved.ended else None,
                id_,
                turn,
            ),
        )
    else:
        run(
            db,
            "UPDATE procedure_executions SET status = ?, state = ?, run = ?, context = ?, wake_at = ?,"
            " turn = turn + 1, changed_at = ?, ended_at = ? WHERE id = ? AND turn = ?",
            (
                saved.status, saved.state, saved.run, saved.context, saved.wake_at, now,
                now if saved.ended else None, id_, turn,
            ),
        )  # fmt: skip
    if db.changes() != 1:
        raise Conflict(f"run {id_} has gone on meanwhile", id=id_)
    _tell(db, id_, saved.lines, now)


def set_aside(db: apsw.Connection, id_: int, message: str, now: int) -> None:
    """It cannot go on by itself; its history says why."""
    run(
        db,
        "UPDATE procedure_executions SET status = 'needs_attention', wake_at = NULL, turn = turn + 1, changed_at = ?,"
        " run = json_set(run, '$.entries', json_extract(run, '$.entries') + 1) WHERE id = ?",
        (now, id_),
    )
    run(
        db,
        "INSERT INTO procedure_steps (execution_id, number, at, kind, state, detail)"
        " SELECT id, json_extract(run, '$.entries'), ?, 'needs_attention', state, ? FROM procedure_executions"
        " WHERE id = ?",
        (now, json.dumps({"kind": "broken", "message": message}), id_),
    )


def found(db: apsw.Connection, id_: int) -> Row | None:
    rows_ = rows(db, f"SELECT {_COLUMNS} FROM procedure_executions WHERE id = ?", (id_,))  # noqa: S608
    return _row(rows_[0]) if rows_ else None


def child_of(db: apsw.Connection, parent: Parent) -> int | None:
    return value(
        db,
        "SELECT id FROM procedure_executions WHERE parent_id = ? AND parent_step = ? AND parent_attempt = ?",
        (parent.id, parent.step, parent.attempt),
    )


def children_of(db: apsw.Connection, parent_id: int) -> list[tuple[int, int, int]]:
    """Of each the step and the attempt of its parent's that it belongs to, and its id."""
    return rows(
        db,
        "SELECT parent_step, parent_attempt, id FROM procedure_executions WHERE parent_id = ?"
        " ORDER BY parent_step, parent_attempt",
        (parent_id,),
    )


def unfinished(db: apsw.Connection) -> list[Row]:
    """Those that something was under way for when they were saved, and those that wait."""
    found_ = rows(
        db,
        f"SELECT {_COLUMNS} FROM procedure_executions"  # noqa: S608
        " WHERE status IN ('pending', 'running', 'compensating', 'waiting', 'needs_attention')",
    )
    return [_row(each) for each in found_]


def last_change(db: apsw.Connection) -> int:
    """When a live run was saved last."""
    return max(
        (
            value(
                db,
                "SELECT coalesce(max(changed_at), 0) FROM procedure_executions WHERE status = ?",
                (status,),
            )
            for status in LIVE
        ),
        default=0,
    )


def listed(
    db: apsw.Connection,
    status: str | None,
    definition_ids: Sequence[int],
    limit: int,
    behind: tuple[int, int] = NEWEST,
) -> list[Row]:
    """The newest runs; of these definitions, if any are named. Of a status alone: those that changed last.

    `behind` is the run after which they begin: when it had changed, and its id.
    """
    _, id_ = behind
    if definition_ids:
        each_of = [
            row
            for definition_id in definition_ids
            for row in (
                rows(
                    db,
                    f"SELECT {_COLUMNS} FROM procedure_executions WHERE definition_id = ? AND id < ?"  # noqa: S608
                    " ORDER BY id DESC LIMIT ?",
                    (definition_id, id_, limit),
                )
                if status is None
                else rows(
                    db,
                    # The + keeps it on the index that has them in order.
                    f"SELECT {_COLUMNS} FROM procedure_executions WHERE definition_id = ? AND id < ?"  # noqa: S608
                    " AND +status = ? ORDER BY id DESC LIMIT ?",
                    (definition_id, id_, status, limit),
                )
            )
        ]
        chosen = sorted(each_of, reverse=True, key=lambda row: row[0])[:limit]
    elif status is not None:
        chosen = rows(
            db,
            f"SELECT {_COLUMNS} FROM procedure_executions WHERE status = ? AND (changed_at, id) < (?, ?)"  # noqa: S608
            " ORDER BY changed_at DESC, id DESC LIMIT ?",
            (status, *behind, limit),
        )
    else:
        chosen = rows(
            db,
            f"SELECT {_COLUMNS} FROM procedure_executions WHERE id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608
            (id_, limit),
        )
    return [_row(row) for row in chosen]


def counts(db: apsw.Connection) -> dict[str, int]:
    """How many live runs there are, by status."""
    return {
        status: value(db, "SELECT count(*) FROM procedure_executions WHERE status = ?", (status,)) for status in LIVE
    }  # fmt: skip


def history(db: apsw.Connection, id_: int, after: int = 0, limit: int = 1_000) -> list[Told]:
    """What befell a run, in order, after this line."""
    return [
        Told(*row)
        for row in rows(
            db,
            "SELECT number, at, kind, state, step, attempt, detail FROM procedure_steps"
            " WHERE execution_id = ? AND number > ? ORDER BY number LIMIT ?",
            (id_, after, limit),
        )
    ]


def sweep(db: apsw.Connection, before: int, limit: int) -> int:
    """Erases up to so many runs that ended before this, with their history; how many. Children go with their parents."""
    run(
        db,
        "DELETE FROM procedure_executions WHERE id IN (SELECT id FROM procedure_executions WHERE ended_at < ?"
        " AND parent_id IS NULL ORDER BY ended_at LIMIT ?)",
        (before, limit),
    )
    return db.changes()


def _tell(db: apsw.Connection, id_: int, lines: Sequence[Line], now: int) -> None:
    if lines:
        run_many(
            db,
            "INSERT INTO procedure_steps (execution_id, number, at, kind, state, step, attempt, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(id_, line[0], now, *line[1:]) for line in lines],
        )


def _row(row: tuple[Any, ...]) -> Row:
    parent = None if row[8] is None else Parent(row[8], row[9], row[10])
    values: list[Any] = [*row[:8], parent, *row[11:]]
    return Row(*values)
