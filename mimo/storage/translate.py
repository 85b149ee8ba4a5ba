"""SQLite's errors as mimo's: whose fault, whether to try again, what to tell.

BUSY, LOCKED and I/O errors pass; only CORRUPT and NOTADB say that a file is damaged. What is not in
the table (an SQL error, a missing binding) is a bug of ours, and stays what it is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import apsw

from mimo.errors import (
    Busy,
    Conflict,
    InvalidArguments,
    MimoError,
    StorageFull,
    TooSlow,
    Unavailable,
    Unusable,
)
from mimo.storage.thread import TimeIsUp

MAGIC = b"SQLite format 3\0"
TAKEN = {apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID}


@contextmanager
def translated(what: str) -> Generator[None]:
    """Within it SQLite's errors become ours; `what` names the file in their texts."""
    try:
        yield
    except (apsw.Error, TimeIsUp) as error:
        ours = translation(error, what)
        if ours is None:
            raise
        raise ours from error


def translation(error: BaseException, what: str) -> MimoError | None:
    """What `error` means to a caller, or None if it is a bug or no error of SQLite."""
    match error:
        case apsw.FullError():
            return no_room(what)
        case apsw.BusyError() | apsw.LockedError():
            return Busy(f"{what} is in use by somebody else at the moment ({error}); try again", after=1)
        case apsw.NotADBError() if not _begins_as_a_database(what):
            return strange(what, "it is no database")
        case apsw.CorruptError() | apsw.NotADBError():
            return Unusable(
                f"{what} is damaged ({error}); nothing was changed. `mimo check` says what is wrong, "
                "`mimo restore FILE` brings a backup back"
            )
        case (
            apsw.IOError()
            | apsw.CantOpenError()
            | apsw.NoMemError()
            | apsw.ReadOnlyError()
            | apsw.PermissionsError()
            | apsw.ConnectionClosedError()
        ):
            return Unavailable(
                f"{what} cannot be read or written at the moment ({error}); try again", after=1
            )
        case apsw.ConstraintError() if getattr(error, "extendedresult", 0) in TAKEN:
            return Conflict(f"it exists already ({error})")
        case apsw.TooBigError():
            return InvalidArguments("a single value may have 64 MB at most")
        case TimeIsUp():
            return TooSlow("the database had no answer within its time; ask for less")
        case _:
            return None


def strange(path: str, why: str) -> Unusable:
    return Unusable(
        f"{path} belongs to another program: {why}. Choose another file, or another directory with --home or MIMO_HOME"
    )


def _begins_as_a_database(path: str) -> bool:
    """Opening it beside SQLite drops the locks on it (see `require_ours`), but SQLite has just given it up."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return True


def no_room(what: str) -> StorageFull:
    return StorageFull(
        f"no room is left for {what}; make some on its disk, or forget something. Reading and forgetting still work"
    )
