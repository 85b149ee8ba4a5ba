"""Copies made while it serves, checked before they count, brought back whole."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from mimo.errors import Conflict, Unusable
from mimo.home import Home
from mimo.storage.backup import Copied, backup_now, backup_path, copying, prune_backups, restore
from mimo.storage.check import Finding, check
from mimo.storage.connection import open_connection, prepare_writer
from mimo.storage.database import Database
from mimo.storage.migrate import Migration, migrate


def add(db: apsw.Connection, number: int) -> int:
    db.execute(
        "INSERT INTO note (id, body) VALUES (?, ?)", (number, f"note {number} " + "long " * 400)
    ).fetchall()
    return number


def numbers(path: str) -> list[Any]:
    db = apsw.Connection(path)
    try:
        return [number for (number,) in db.execute("SELECT id FROM note ORDER BY id")]
    finally:
        db.close()


@pytest.fixture
def filled(home: Home, notes: list[Migration]) -> Home:
    os.mkdir(home, 0o700)
    db = open_connection(home.database)
    prepare_writer(db)
    migrate(db, home, notes)
    with db:
        for number in range(100):
            add(db, number)
    db.close()
    os.chmod(home.database, 0o600)
    return home


async def test_a_backup_is_one_moment_of_a_database_that_goes_on(
    database: Database, home: Home, tmp_path: Path
) -> None:
    for number in range(200):
        await database.write(add, number)
    steps: list[Copied] = []

    def step(copied: Copied) -> None:
        steps.append(copied)
        if len(steps) == 2:
            nursery.start_soon(database.write, add, 1_000)

    async with trio.open_nursery() as nursery:
        backup = await database.backup(str(tmp_path / "copy.db"), step)
    assert numbers(backup.path) == list(range(200))
    assert check(backup.path) == []
    assert steps[-1].done == steps[-1].all > 64
    assert len(steps) > 2
    assert backup.bytes == os.stat(backup.path).st_size
    assert stat.S_IMODE(os.stat(backup.path).st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "home"], "one file, with nothing beside it"
    assert 1_000 in await database.read(lambda db: [n for (n,) in db.execute("SELECT id FROM note")])


async def test_a_backup_that_is_cancelled_leaves_nothing(database: Database, tmp_path: Path) -> None:
    for number in range(200):
        await database.write(add, number)
    with trio.CancelScope() as scope:
        await database.backup(str(tmp_path / "copy.db"), lambda copied: scope.cancel())
    assert scope.cancelled_caught
    assert os.listdir(tmp_path) == ["home"]


def test_a_backup_has_the_name_of_its_time_and_the_newest_are_kept(filled: Home) -> None:
    for hour in range(5):
        backup_now(filled, backup_path(filled, datetime(2031, 5, 23, hour, tzinfo=UTC)))
    (Path(filled.backups) / "mine.db").touch()
    assert len(prune_backups(filled, keep=2)) == 3
    assert sorted(os.listdir(filled.backups)) == [
        "mimo-20310523T030000Z.db",
        "mimo-20310523T040000Z.db",
        "mine.db",
    ]
    assert prune_backups(Home(filled + "-other"), keep=2) == []


def test_a_backup_overwrites_nothing(filled: Home, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(Conflict, match="exists already"):
        backup_now(filled, str(target))
    assert target.read_text() == "mine"


def test_a_backup_that_cannot_be_written_says_so(filled: Home, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"cannot write the backup .*another place"):
        backup_now(filled, str(tmp_path / "no" / "where.db"))
    with pytest.raises(Unusable, match="no database at"):
        backup_now(Home(tmp_path / "nobody"))


def damage_index(home: Home) -> None:
    db = apsw.Connection(home.database)
    db.execute("INSERT INTO note_words (rowid, body) VALUES (5000, 'a word that no note has')").fetchall()
    db.close()


def test_a_backup_of_a_damaged_database_is_not_kept(filled: Home, tmp_path: Path) -> None:
    damage_index(filled)
    with pytest.raises(Unusable, match=r"was not kept.*note_words"):
        backup_now(filled, str(tmp_path / "copy.db"))
    assert os.listdir(tmp_path) == ["home"]


def test_a_backup_is_brought_back_and_the_old_database_is_kept(
    filled: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    db = open_connection(filled.database)
    prepare_writer(db)
    add(db, 5_000)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # as a killed daemon leaves it: the row is in the log
    db.close()
    assert os.path.getsize(filled.database + "-wal") > 0
    kept = restore(filled, copy, notes)
    assert numbers(filled.database) == list(range(100))
    assert kept is not None
    assert numbers(kept) == [*range(100), 5_000]
    assert stat.S_IMODE(os.stat(filled.database).st_mode) == 0o600
    assert not os.path.exists(filled.database + "-wal")


async def test_a_restored_database_serves(filled: Home, tmp_path: Path, notes: list[Migration]) -> None:
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    empty = Home(tmp_path / "other")
    assert restore(empty, copy, notes) is None
    database = Database(empty, migrations=notes)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        assert await database.write(add, 7_000) == 7_000
        nursery.cancel_scope.cancel()


def test_a_damaged_database_makes_way_for_a_backup(
    filled: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    Path(filled.database).write_bytes(b"garbage" * 1000)
    Path(filled.database + "-wal").write_bytes(b"garbage" * 1000)
    kept = restore(filled, copy, notes)
    assert kept is not None
    assert Path(kept).read_bytes().startswith(b"garbage")
    assert numbers(filled.database) == list(range(100))


def test_what_is_no_sound_backup_changes_nothing(
    filled: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    other = Home(tmp_path / "other")
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    (tmp_path / "garbage.db").write_bytes(b"garbage" * 1000)
    (tmp_path / "empty.db").touch()
    db = apsw.Connection(copy)
    db.execute("INSERT INTO note_words (rowid, body) VALUES (5000, 'a word that no note has')").fetchall()
    db.close()
    for source, why in {
        "copy.db": "is damaged",
        "garbage.db": "is damaged|not a mimo",
        "empty.db": "is empty",
        "nothing.db": "no database at",
        "home/backups/before-0002_notes.db": "",
    }.items():
        if why:
            with pytest.raises(Unusable, match=why):
                restore(other, str(tmp_path / source), notes)
            assert os.listdir(other) == []
    with pytest.raises(Unusable, match="newer mimo"):
        restore(other, filled.database, notes[:1])
    with pytest.raises(Unusable, match="the database itself"):
        restore(filled, filled.database, notes)
    assert numbers(filled.database) == list(range(100))


def test_the_check_finds_what_is_wrong_and_changes_nothing(filled: Home) -> None:
    assert check(filled.database) == []
    db = apsw.Connection(filled.database)
    db.execute("INSERT INTO reply (note) VALUES (777)").fetchall()
    db.close()
    damage_index(filled)
    before = Path(filled.database).read_bytes()
    found = check(filled.database)
    assert Finding("references", "row 1 of reply refers to nothing in note") in found
    assert [finding.where for finding in found] == ["references", "note_words"]
    assert Path(filled.database).read_bytes() == before


def test_the_check_finds_a_damaged_page(filled: Home) -> None:
    with open(filled.database, "r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    assert {finding.where for finding in check(filled.database)} == {"pages"}


def test_a_copy_can_be_given_up(filled: Home, tmp_path: Path) -> None:
    steps = copying(filled.database, str(tmp_path / "copy.db"))
    next(steps)
    steps.close()
    assert os.listdir(tmp_path) == ["home"]
