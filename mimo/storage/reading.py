"""A database file that is only looked at: a backup on a read-only disk, one that is kept in mode 0400."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import apsw

from mimo.errors import Unusable
from mimo.storage.connection import prepare
from mimo.storage.sql import value


def may_change(path: str) -> bool:
    """May we write the file, and beside it?"""
    return all(
        os.access(each, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
        for each in (path, os.path.dirname(os.path.abspath(path)))
    )


@contextmanager
def looked_at(path: str) -> Generator[apsw.Connection]:
    """A connection that changes nothing, where nothing can be changed too.

    Raises:
        Unusable: what belongs to the file still lies in a log, and where it lies the log cannot be read.
    """
    db = _opened(path)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def scratch_of(db: apsw.Connection) -> Generator[apsw.Connection]:
    """A copy in memory (in a file without a name, if it is large), to do with as one likes."""
    copy = apsw.Connection("")
    try:
        prepare(copy)
        with copy.backup("main", db, "main") as pages:
            pages.step()
        yield copy
    finally:
        copy.close()


def _opened(path: str) -> apsw.Connection:
    try:
        return _tried(path, "mode=ro")
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        # A file in WAL mode wants a log and shared memory beside it, and here none can be made.
        if _size(path + "-wal"):
            raise Unusable(
                f"{path} has a log beside it ({path}-wal), and reading it takes a directory that can be written; "
                "copy both to one"
            ) from error
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise Unusable(f"{path} cannot be read; run: chmod 600 {path}") from error
    return _tried(path, "immutable=1")


def _tried(path: str, how: str) -> apsw.Connection:
    uri = f"file:{quote(os.fsencode(os.path.abspath(path)))}?{how}"
    db = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        prepare(db)
        with suppress(apsw.CorruptError, apsw.NotADBError):  # for who reads on to meet
            value(db, "PRAGMA schema_version")  # the first touch
    except BaseException:
        db.close()
        raise
    return db


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
