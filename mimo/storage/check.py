"""Is a database file sound: its pages, its references, its full-text indexes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import apsw

from mimo.errors import Unusable
from mimo.storage.connection import open_connection
from mimo.storage.migrate import migrations_in, version_of
from mimo.storage.reading import looked_at, may_change, scratch_of
from mimo.storage.sql import rows, run
from mimo.storage.translate import translated

MOST_FINDINGS = 100
WHOLE = f"PRAGMA integrity_check({MOST_FINDINGS})"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a file."""

    where: str  # "pages", "references", or the name of a full-text table
    what: str


def check(path: str, *, newest: int | None = None) -> list[Finding]:
    """Everything that is wrong with the file, nothing if it is sound. Changes nothing; takes a second per 200 MB.

    Raises:
        Unusable: there is no file, or it is not a database of ours, or newer than version `newest`: by default
            the newest that we know.
    """
    if not os.path.isfile(path):
        raise Unusable(f"there is no database at {path}")
    newest = len(migrations_in()) if newest is None else newest
    with translated(path):
        if may_change(path):
            with closing(open_connection(path)) as db:
                version_of(db, path, newest)
                run(db, "BEGIN IMMEDIATE")  # a full-text index is only looked at by who might write
                return findings(db)
        with looked_at(path) as db:
            version_of(db, path, newest)
            if found := _pages(db, WHOLE):
                return found
            with scratch_of(db) as copy:
                return findings(copy)


def findings(db: apsw.Connection) -> list[Finding]:
    """The same for an open connection that might write."""
    found = _pages(db, WHOLE)
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
        told = "\n".join(str(text) for (text,) in rows(db, pragma)).splitlines()
        # Findings of the pages come as one text of many lines, below a heading.
        return [Finding("pages", line) for line in told if line not in {"ok", "*** in database main ***"}]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [Finding("pages", str(error))]
