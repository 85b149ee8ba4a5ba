"""Procedures as they are defined: added, never changed, deactivated; each with the engram under which it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import apsw

from mimo.errors import Conflict, NotFound
from mimo.storage.engrams.add import Draft
from mimo.storage.engrams.add import add as add_engrams
from mimo.storage.engrams.changes import By, Changes, Retell, change
from mimo.storage.sql import rows, run, value


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of one procedure."""

    id: int
    name: str
    major: int
    minor: int
    body: str
    hash: bytes
    active: bool
    source: str
    engram_id: int | None
    created_at: int


_COLUMNS = "id, name, major, minor, body, hash, active, source, engram_id, created_at"


def define(
    db: apsw.Connection,
    name: str,
    version: tuple[int, int],
    body: str,
    hash_: bytes,
    source: str,
    namespace: str,
    draft: Draft,
    by: By,
    retell: Retell,
    revives: bool = True,
) -> tuple[int, bool]:
    """Its id, and whether it is new. The same again makes it active again, if it `revives` what was deactivated.

    `draft` is what memory finds it by; it takes the place of the older versions' when this is the latest.

    Raises:
        Conflict: this version is there, and says something else.
    """
    there = rows(
        db, "SELECT id, major, minor, hash, active FROM procedure_definitions WHERE name = ?", (name,)
    )
    known = next((row for row in there if row[1:3] == version), None)
    if known is not None and known[3] != hash_:
        raise Conflict(
            f"{name} {version[0]}.{version[1]} is defined already, and differs; give what you have a higher version"
        )
    if known is not None and (known[4] or not revives):
        return known[0], False
    engram = None
    if all(version >= row[1:3] for row in there if row[4]):  # the latest, and found as such
        if there:
            _forget_engrams(db, name, by, retell)
        engram = _remembered(db, namespace, draft, by)
    if known is not None:
        run(db, "UPDATE procedure_definitions SET active = 1, engram_id = ? WHERE id = ?", (engram, known[0]))
        return known[0], False
    run(
        db,
        "INSERT INTO procedure_definitions (name, major, minor, body, hash, source, engram_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (name, *version, body, hash_, source, engram, by.now),
    )
    return db.last_insert_rowid(), True


def deactivate(
    db: apsw.Connection,
    name: str,
    version: tuple[int, int] | None,
    following: tuple[int, str, Draft] | None,
    by: By,
    retell: Retell,
) -> list[tuple[int, int]]:
    """The versions that begin no more runs: this one, or all. Those that run finish.

    `following` is the version that will be the latest, with the namespace and the draft by which it is found then.

    Raises:
        NotFound: there is none.
    """
    found = rows(
        db, "SELECT major, minor, active FROM procedure_definitions WHERE name = ? ORDER BY major, minor", (name,)
    )  # fmt: skip
    wanted = [(major, minor) for major, minor, _ in found if version in (None, (major, minor))]
    if not wanted:
        raise NotFound(
            f"no procedure {name!r}" + (f" of version {version[0]}.{version[1]}" if version else "")
        )
    gone = [(major, minor) for major, minor, active in found if active and (major, minor) in wanted]
    for each in wanted:
        run(
            db, "UPDATE procedure_definitions SET active = 0 WHERE name = ? AND major = ? AND minor = ?",
            (name, *each),
        )  # fmt: skip
    latest = version_of(db, name, None)
    if latest is None:
        _forget_engrams(db, name, by, retell)
    elif following is not None and latest.id == following[0] and latest.engram_id is None:
        _forget_engrams(db, name, by, retell)
        engram = _remembered(db, following[1], following[2], by)
        run(db, "UPDATE procedure_definitions SET engram_id = ? WHERE id = ?", (engram, latest.id))
    return gone


def defined(db: apsw.Connection) -> list[Kept]:
    """Every version of every procedure; by name, the latest first."""
    found = rows(
        db, f"SELECT {_COLUMNS} FROM procedure_definitions ORDER BY name, major DESC, minor DESC"  # noqa: S608
    )  # fmt: skip
    return [_kept(row) for row in found]


def definition(db: apsw.Connection, id_: int) -> Kept | None:
    found = rows(db, f"SELECT {_COLUMNS} FROM procedure_definitions WHERE id = ?", (id_,))  # noqa: S608
    return _kept(found[0]) if found else None


def version_of(db: apsw.Connection, name: str, version: tuple[int, int] | None) -> Kept | None:
    """This version, or the highest that is active."""
    if version is None:
        found = rows(
            db,
            f"SELECT {_COLUMNS} FROM procedure_definitions WHERE name = ? AND active = 1"  # noqa: S608
            " ORDER BY major DESC, minor DESC LIMIT 1",
            (name,),
        )
    else:
        found = rows(
            db,
            f"SELECT {_COLUMNS} FROM procedure_definitions WHERE name = ? AND major = ? AND minor = ?",  # noqa: S608
            (name, *version),
        )
    return _kept(found[0]) if found else None


def any_defined(db: apsw.Connection) -> bool:
    return value(db, "SELECT 1 FROM procedure_definitions LIMIT 1") is not None


def names(db: apsw.Connection) -> list[str]:
    return [row[0] for row in rows(db, "SELECT DISTINCT name FROM procedure_definitions ORDER BY name")]


def _remembered(db: apsw.Connection, namespace: str, draft: Draft, by: By) -> int:
    return add_engrams(db, namespace, [draft], by.now, by.action)[0][0]


def _forget_engrams(db: apsw.Connection, name: str, by: By, retell: Retell) -> None:
    """Those of all versions: only the latest is found."""
    found = rows(
        db, "SELECT e.id FROM procedure_definitions AS d JOIN engrams AS e ON e.id = d.engram_id WHERE d.name = ?",
        (name,),
    )  # fmt: skip
    ids = list(dict.fromkeys(cast("int", row[0]) for row in found))
    change(db, ids, Changes(state="forgotten"), "forgotten", by, retell)
    run(db, "UPDATE procedure_definitions SET engram_id = NULL WHERE name = ?", (name,))


def _kept(row: tuple[object, ...]) -> Kept:
    id_, name, major, minor, body, hash_, active, source, engram_id, created_at = row
    return Kept(
        cast("int", id_),
        cast("str", name),
        cast("int", major),
        cast("int", minor),
        cast("str", body),
        cast("bytes", hash_),
        bool(active),
        cast("str", source),
        cast("int | None", engram_id),
        cast("int", created_at),
    )
