"""Copies of the database: made while it serves, checked before they count, brought back under the lock.

A copy is made of one snapshot, in steps small enough to stop between two of them. It gets its name only
when it is whole, on the disk and found sound; it is one file, with no log beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import apsw

from mimo.errors import Busy, Conflict, Unusable
from mimo.home import Home
from mimo.storage.check import check, findings
from mimo.storage.connection import open_connection
from mimo.storage.files import prepare_home, sync_file, touch_private
from mimo.storage.migrate import Migration, migrations_in, version_of
from mimo.storage.reading import looked_at
from mimo.storage.sql import rows, run, value
from mimo.storage.translate import translated

# 128 kB: a step of 256 pages was seen to take a quarter of a second on a busy disk.
STEP_PAGES = 32
# Who has the old database open for longer than this is at work with it.
PATIENCE_MS = 500
# What may lie beside a database and belongs to its content.
LOGS = ("-wal", "-journal")
NAMED_BY_TIME = re.compile(r"mimo-\d{8}T\d{6}Z\.db")


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy has come, in pages."""

    done: int
    all: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that is whole and sound."""

    path: str
    bytes: int


def backup_now(home: Home, target: str | None = None) -> Backup:
    """Copies the database to the file `target`, by default one named by the time, in the backups.

    Raises:
        Conflict: `target` is there already.
        Unusable: there is no database, `target` cannot be made, or the copy is not sound (and was removed).
    """
    target = target or backup_path(home)
    for _ in copying(home.database, target):
        pass
    return Backup(target, os.stat(target).st_size)


def copying(source: str, target: str, migrations: Sequence[Migration] | None = None) -> Generator[Copied]:
    """`backup_now` step by step. Closing it before its end leaves nothing behind."""
    newest = len(migrations_in() if migrations is None else migrations)
    if not os.path.isfile(source):
        raise Unusable(f"there is no database at {source}")
    if os.path.lexists(target):
        raise Conflict(f"{target} exists already; choose another name")
    part = target + ".part"
    try:
        if os.path.basename(os.path.dirname(target)) == "backups":
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(part)
        touch_private(part)
    except OSError as error:
        raise Unusable(
            f"cannot write the backup {target} ({error.strerror}); choose another place"
        ) from error
    try:
        with translated(source):
            yield from _pages(source, part, newest)
        with translated(part):
            _finish(part)
        sync_file(part)
        os.replace(part, target)
        sync_file(target)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(part + suffix)


def backup_path(home: Home, now: datetime | None = None) -> str:
    return os.path.join(home.backups, f"mimo-{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}.db")


def named_by_time(home: Home) -> list[str]:
    """The backups that nobody has named, the oldest first."""
    names = sorted(name for name in _listed(home.backups) if NAMED_BY_TIME.fullmatch(name))
    return [os.path.join(home.backups, name) for name in names]


def prune_backups(home: Home, keep: int) -> list[str]:
    """Removes all but the newest `keep` of the backups that were named by the time; which ones it were."""
    named = named_by_time(home)
    old = named[: max(len(named) - keep, 0)]
    for path in old:
        os.unlink(path)
    return old


def restore(home: Home, source: str, migrations: Sequence[Migration] | None = None) -> str | None:
    """Puts a checked copy of `source` in the database's place; where the old one lies now. Hold the lock.

    A power cut at any moment leaves the old database or the new one in its place.

    Raises:
        Unusable: `source` is not sound, newer than we are, or no database of ours. Nothing was changed.
    """
    newest = len(migrations_in() if migrations is None else migrations)
    prepare_home(home)
    if os.path.isfile(home.database) and os.path.isfile(source) and os.path.samefile(source, home.database):
        raise Unusable(f"{source} is the database itself; name one of the files in {home.backups}")
    try:
        for finding in check(source, newest=newest):
            raise _damaged(source, f"{finding.where}: {finding.what}")
        with translated(source):
            _require_content(source, newest)
    except Unusable as error:
        if isinstance(error.__cause__, apsw.CorruptError):
            raise _damaged(source, str(error.__cause__)) from error
        raise
    fresh = home.database + ".restored"
    with suppress(FileNotFoundError):
        os.unlink(fresh)
    for _ in copying(source, fresh, migrations):
        pass
    try:
        kept = _set_aside(home)
    except BaseException:
        os.unlink(fresh)
        raise
    os.replace(fresh, home.database)
    sync_file(home.database)
    return kept


def _pages(source: str, part: str, newest: int) -> Generator[Copied]:
    """One snapshot of `source`, page by page. Another's commit would start a copy without a snapshot anew."""
    with looked_at(source) as db:
        run(db, "BEGIN")
        version_of(db, source, newest)
        into = apsw.Connection(part)
        try:
            run(into, "PRAGMA synchronous = OFF")  # it is synced once, when it is whole
            with into.backup("main", db, "main") as copy:
                while not copy.done:
                    copy.step(STEP_PAGES)
                    yield Copied(copy.page_count - copy.remaining, copy.page_count)
        finally:
            into.close()


def _finish(part: str) -> None:
    db = open_connection(part)
    try:
        run(db, "PRAGMA journal_mode = DELETE")
        for finding in findings(db):
            raise Unusable(
                f"the backup was not kept: the database is damaged ({finding.where}: {finding.what}); "
                "`mimo check` says more, `mimo restore FILE` brings an older backup back"
            )
    finally:
        db.close()


def _damaged(source: str, why: str) -> Unusable:
    return Unusable(f"{source} is damaged ({why}); nothing was changed; choose another backup")


def _require_content(path: str, newest: int) -> None:
    with looked_at(path) as db:
        if version_of(db, path, newest) == 0:
            raise Unusable(f"{path} is empty; choose another backup")


def _set_aside(home: Home) -> str | None:
    """Gives the old database a second name among the backups, with its log if it cannot be emptied.

    A log that stayed at the first name would be played into the new file. So it goes: because what it had is in the
    old file now; or because the old file is damaged, and then both have their second names before.

    Raises:
        Busy: somebody else has the old database open.
        Unavailable: the disk failed. Nothing was changed.
    """
    if not os.path.lexists(home.database):
        return None
    os.makedirs(home.backups, mode=0o700, exist_ok=True)
    kept = os.path.join(home.backups, f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db")
    with suppress(Unusable), translated(home.database):  # damaged, or a stranger's: it is kept as it is
        _empty_log(home.database)
    logs = [suffix for suffix in LOGS if os.path.lexists(home.database + suffix)]
    for suffix in ("", *logs):
        os.link(home.database + suffix, kept + suffix)
        sync_file(kept + suffix)
    for suffix in (*logs, "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(home.database + suffix)
    return kept


def _empty_log(path: str) -> None:
    """All that the log has is in the file itself, and the log is gone."""
    db = open_connection(path)
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # closing removes the log
        db.set_busy_timeout(PATIENCE_MS)
        value(
            db, "SELECT count(*) FROM sqlite_schema"
        )  # the log has been looked at, or it could not be emptied
        ((busy, _, _),) = rows(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    if busy or _has_content(path + "-wal"):
        raise Busy(f"{path} is in use by somebody else; close what has it open, then try again", after=1)


def _has_content(path: str) -> bool:
    return os.path.lexists(path) and os.stat(path).st_size > 0


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
