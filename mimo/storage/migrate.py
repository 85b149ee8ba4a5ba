"""Migrations: numbered SQL files, applied once, in order, each in one transaction and after a copy of the file.

A file says in its header whose it is (`application_id`) and how far it has come (`user_version`). Both
are part of the migration's transaction, so a file is at the old version or at the new one, never between.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeAlias, cast

import apsw

from mimo.errors import Unusable
from mimo.home import Home
from mimo.storage.connection import APPLICATION_ID
from mimo.storage.files import sync_file, touch_private
from mimo.storage.sql import rows, run, value
from mimo.storage.thread import LOOK_UP_EVERY
from mimo.storage.translate import strange

NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str


# A second is short beside any patience of a service manager, and a notice costs microseconds.
TELL_EVERY = 1.0

Progress: TypeAlias = Callable[[str], object]


def migrations_in(directory: str | Path | None = None) -> tuple[Migration, ...]:
    """The migrations of a directory, of mimo itself by default.

    Raises:
        ValueError: their numbers have a gap.
    """
    source = resources.files("mimo.storage") / "migrations" if directory is None else Path(directory)
    found = [
        Migration(int(named[1]), named[2], file.read_text(encoding="utf-8"))
        for file in source.iterdir()
        if (named := NAME.fullmatch(file.name))
    ]
    return in_order(found)


def in_order(migrations: Iterable[Migration]) -> tuple[Migration, ...]:
    """The same, sorted; raises `ValueError` unless they are numbered 1, 2, 3 and so on."""
    ordered = tuple(sorted(migrations, key=lambda migration: migration.number))
    if [migration.number for migration in ordered] != list(range(1, len(ordered) + 1)):
        raise ValueError(f"migrations are numbered from 1 without gaps, not {[m.number for m in ordered]}")
    return ordered


def migrate(
    db: apsw.Connection,
    home: Home,
    migrations: Sequence[Migration],
    on_progress: Progress = lambda told: None,
) -> int:
    """Brings the file to the newest version; how many steps it took. The connection is in no transaction.

    Before each step, and again and again while it works, `on_progress` is told its name: a service manager may then
    be asked for more time. One that hangs tells nothing.

    Raises:
        Unusable: the file is newer than we are, or not ours.
    """
    version = version_of(db, home.database, len(migrations))
    for migration in migrations[version:]:
        with _telling(db, on_progress, f"{migration.number:04d}_{migration.name}"):
            if version > 0:  # a file that is made in this very moment has nothing to keep
                copy_before(db, home, migration)
            apply(db, migration)
    return len(migrations) - version


@contextmanager
def _telling(db: apsw.Connection, on_progress: Progress, name: str) -> Generator[None]:
    on_progress(name)
    told = time.monotonic()

    def tell() -> bool:
        nonlocal told
        if (now := time.monotonic()) - told >= TELL_EVERY:
            told = now
            on_progress(name)
        return False  # go on

    db.set_progress_handler(tell, LOOK_UP_EVERY, id=tell)
    try:
        yield
    finally:
        db.set_progress_handler(None, id=tell)


def version_of(db: apsw.Connection, path: str, newest: int) -> int:
    """How far the file has come, 0 for a new one. Reads only.

    Raises:
        Unusable: the file is newer than `newest`, or not ours.
    """
    application = cast("int", value(db, "PRAGMA application_id"))
    version = cast("int", value(db, "PRAGMA user_version"))
    empty = value(db, "SELECT 1 FROM sqlite_schema LIMIT 1") is None
    if application != APPLICATION_ID and not (application == version == 0 and empty):
        raise strange(path, "it is no database of mimo")
    if version > newest:
        raise Unusable(
            f"{path} was written by a newer mimo (version {version} of the file; this one knows {newest}): "
            "install the newer mimo again, or restore a backup from before"
        )
    return version


def apply(db: apsw.Connection, migration: Migration) -> None:
    """One step, in one transaction with its number. Foreign keys are checked once, at its end."""
    run(db, "PRAGMA foreign_keys = OFF")  # a table may be rebuilt while others refer to it
    try:
        run(db, "BEGIN IMMEDIATE")
        try:
            for _ in rows(db, migration.sql):
                pass
            if broken := rows(db, "PRAGMA foreign_key_check"):
                raise ValueError(
                    f"migration {migration.number} leaves rows that refer to nothing: {broken[:3]}"
                )
            run(db, f"PRAGMA application_id = {APPLICATION_ID}")
            run(db, f"PRAGMA user_version = {migration.number:d}")
            run(db, "COMMIT")
        except BaseException:
            if db.in_transaction:
                run(db, "ROLLBACK")
            raise
    finally:
        run(db, "PRAGMA foreign_keys = ON")


def copy_before(db: apsw.Connection, home: Home, migration: Migration) -> str:
    """A whole copy of the file in the backups, from before `migration`; its path.

    A copy that an earlier try has left is replaced when the new one is complete: it shows the same state.
    """
    path = os.path.join(home.backups, f"before-{migration.number:04d}_{migration.name}.db")
    part = path + ".part"
    os.makedirs(home.backups, mode=0o700, exist_ok=True)
    if os.path.exists(part):
        os.unlink(part)
    touch_private(part)
    run(db, "VACUUM INTO ?", (part,))
    sync_file(part)
    os.replace(part, path)
    sync_file(path)
    return path
