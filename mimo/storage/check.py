"""Is a database file sound: its pages, its references, its full-text indexes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from mimo.errors import Unusable
from mimo.storage.connection import open_connection
from mimo.storage.migrate import version_of
from mimo.storage.sql import rows, run
from mimo.storage.translate import translated

MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a file."""

    where: str  # "pages", "references", or the name of a full-text table
    what: str


def check(path: str, *, newest: int | None = None) -> list[Finding]:
    """Everything that is wrong with the file, nothing if it is sound. Changes nothing; takes a second per 200 MB.

    Raises:
        Unusable: there is no file, or it is not a database of ours (or is newer than version `newest`).
    """
    if not os.path.isfile(path):
        raise Unusable(f"there is no database at {path}")
    with translated(path):
        db = open_connection(path)
        try:
            version_of(db, path, newest if newest is not None else 1 << 31)
            run(db, "BEGIN IMMEDIATE")  # a full-text index is only looked at by who might write
            return findings(db)
        finally:
            db.close()


def findings(db: apsw.Connection) -> list[Finding]:
    """The same for an open connection."""
    found = [*_pages(db, "PRAGMA integrity_check(100)")]
    if found:
        return found  # what comes below would stumble over the same pages
    for table, rowid, parent, _ in rows(db, "PRAGMA foreign_key_check"):
        found.append(Finding("references", f"row {rowid} of {table} refers to nothing in {parent}"))
        if len(found) >= MOST_FINDINGS:
            break
    for table in fts_tables(db):
        quoted = '"' + table.replace('"', '""') + '"'
        try:
            # rank 1: compare with the content table too
            run(db, f"INSERT INTO {quoted} ({quoted}, rank) VALUES ('integrity-check', 1)")  # noqa: S608
        except apsw.CorruptError as error:
            found.append(Finding(table, f"the full-text index does not fit its table ({error})"))
    return found


def require_sound(db: apsw.Connection, path: str) -> None:
    """A quick look at every page; raises `Unusable` with the first thing that is wrong."""
    for finding in _pages(db, "PRAGMA quick_check(1)"):
        raise Unusable(
            f"{path} is damaged ({finding.what}); nothing was changed. `mimo check` says what is wrong, "
            "`mimo restore FILE` brings a backup back"
        )


def fts_tables(db: apsw.Connection) -> Sequence[str]:
    found = rows(
        db,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%USING fts5(%'",
    )
    return [name for (name,) in found]


def _pages(db: apsw.Connection, pragma: str) -> list[Finding]:
    try:
        return [Finding("pages", str(text)) for (text,) in rows(db, pragma) if text != "ok"]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [Finding("pages", str(error))]
