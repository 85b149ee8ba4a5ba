"""From version to version, each step whole, after a copy; what is newer or somebody else's is left alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from mimo.errors import Unusable
from mimo.home import Home
from mimo.storage import migrate as migrate_module
from mimo.storage.check import check
from mimo.storage.connection import APPLICATION_ID, open_connection, prepare_writer
from mimo.storage.database import Database
from mimo.storage.migrate import Migration, in_order, migrate, migrations_in

BROKEN = Migration(3, "broken", "CREATE TABLE good (a) STRICT; CREATE TABLE note (twice)")
LOOSE = Migration(
    3, "loose", "INSERT INTO note (id, body) VALUES (1, 'x'); INSERT INTO reply (note) VALUES (99)"
)


@pytest.fixture
def db(home: Home) -> Any:
    os.mkdir(home, 0o700)
    it = open_connection(home.database)
    prepare_writer(it)
    yield it
    it.close()


def test_a_new_file_comes_to_the_newest_version(
    db: apsw.Connection, home: Home, notes: list[Migration]
) -> None:
    told: list[str] = []
    assert migrate(db, home, notes, told.append) == 2
    assert told == ["0001_ground", "0002_notes"]
    assert db.execute("PRAGMA user_version").get == 2
    assert db.execute("PRAGMA application_id").get == APPLICATION_ID
    assert migrate(db, home, notes) == 0


def test_a_file_that_is_just_made_needs_no_copy(
    db: apsw.Connection, home: Home, notes: list[Migration]
) -> None:
    migrate(db, home, notes)
    assert not os.path.exists(home.backups)


def test_there_is_a_copy_from_before_each_step_of_a_file_that_was_there(
    db: apsw.Connection, home: Home, notes: list[Migration]
) -> None:
    migrate(db, home, notes[:1])
    migrate(db, home, notes)
    assert os.listdir(home.backups) == ["before-0002_notes.db"]
    copy = os.path.join(home.backups, "before-0002_notes.db")
    assert check(copy, newest=1) == []
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(home.backups).st_mode) == 0o700


def test_a_copy_from_an_earlier_try_is_replaced(
    db: apsw.Connection, home: Home, notes: list[Migration]
) -> None:
    os.mkdir(home.backups)
    for name in ("before-0002_notes.db", "before-0002_notes.db.part"):
        Path(home.backups, name).write_text("half a copy")
    migrate(db, home, notes[:1])
    migrate(db, home, notes)
    assert check(os.path.join(home.backups, "before-0002_notes.db")) == []
    assert os.listdir(home.backups) == ["before-0002_notes.db"]


@pytest.mark.parametrize(("step", "error"), [(BROKEN, apsw.SQLError), (LOOSE, ValueError)])
def test_a_step_that_fails_leaves_the_version_before_it(
    db: apsw.Connection, home: Home, notes: list[Migration], step: Migration, error: type[Exception]
) -> None:
    with pytest.raises(error):
        migrate(db, home, [*notes, step])
    assert db.execute("PRAGMA user_version").get == 2
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'good'").get == 0
    assert db.execute("SELECT count(*) FROM note").get == 0
    assert db.execute("PRAGMA foreign_keys").get == 1
    assert not db.in_transaction


async def test_a_newer_file_is_refused_and_not_changed(home: Home, notes: list[Migration]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Database(home, migrations=notes).run)
        nursery.cancel_scope.cancel()
    before = await trio.Path(home.database).read_bytes()
    with pytest.raises(Unusable, match=r"newer mimo \(version 2 of the file; this one knows 1\)"):
        await Database(home, migrations=notes[:1]).run()
    assert await trio.Path(home.database).read_bytes() == before


async def test_the_steps_are_told_while_they_are_made(home: Home, notes: list[Migration]) -> None:
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(Database(home, migrations=notes, on_progress=told.append).run)
        nursery.cancel_scope.cancel()
    assert told == ["0001_ground", "0002_notes"]


def test_a_slow_step_is_told_again_and_again(
    db: apsw.Connection, home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_module, "TELL_EVERY", 0.01)
    slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT max(i) FROM n"
    told: list[str] = []
    migrate(db, home, [*notes, Migration(3, "slow", slow)], told.append)
    assert told.count("0003_slow") > 2
    told.clear()
    db.execute(slow).fetchall()
    assert told == [], "and no more when it is done"


def test_migrations_are_numbered_without_a_gap(tmp_path: Path, notes: list[Migration]) -> None:
    assert in_order(reversed(notes)) == tuple(notes)
    with pytest.raises(ValueError, match="without gaps"):
        in_order([notes[1]])
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b) STRICT")
    (tmp_path / "notes.txt").write_text("no migration")
    assert [(m.number, m.name) for m in migrations_in(tmp_path)] == [(1, "first")]


def test_the_migrations_of_mimo_apply(db: apsw.Connection, home: Home) -> None:
    assert migrate(db, home, migrations_in()) == len(migrations_in())
    db.close()
    assert check(home.database) == []
