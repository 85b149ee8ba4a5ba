"""Copies made while it serves, checked before they count, brought back whole."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from mimo.errors import Busy, Conflict, Unusable
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
    (tmp_path / "cut.db").write_bytes(Path(copy).read_bytes()[:9000])
    db = apsw.Connection(copy)
    db.execute("INSERT INTO note_words (rowid, body) VALUES (5000, 'a word that no note has')").fetchall()
    db.close()
    for source, why in {
        "copy.db": "is damaged",
        "cut.db": "is damaged .* choose another backup$",
        "garbage.db": "belongs to another program: it is no database",
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


def log_of(home: Home, number: int) -> apsw.Connection:
    """One more row, in the log alone, as a killed daemon leaves it. The connection is open still."""
    db = open_connection(home.database)
    prepare_writer(db)
    add(db, number)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


def test_a_database_that_somebody_else_reads_is_not_replaced(
    filled: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    other = log_of(filled, 5_000)
    reader = apsw.Connection(filled.database)
    reader.execute("BEGIN; SELECT count(*) FROM note").fetchall()
    add(other, 5_001)
    log, there = Path(filled.database + "-wal").read_bytes(), sorted(os.listdir(filled))
    with pytest.raises(Busy, match=r"in use by somebody else.*try again"):
        restore(filled, copy, notes)
    assert Path(filled.database + "-wal").read_bytes() == log
    assert sorted({*os.listdir(filled)} - {"backups"}) == there
    reader.close()
    other.close()
    assert numbers(filled.database) == [*range(100), 5_000, 5_001]


def test_a_damaged_database_is_kept_together_with_its_log(
    filled: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    copy = backup_now(filled, str(tmp_path / "copy.db")).path
    log_of(filled, 5_000).close()
    Path(filled.database).write_bytes(b"Dear diary, " * 1000)
    log = b"nor is this a log of it" + Path(filled.database + "-wal").read_bytes()
    Path(filled.database + "-wal").write_bytes(log)
    kept = restore(filled, copy, notes)
    assert kept is not None
    assert Path(kept).read_bytes() == b"Dear diary, " * 1000
    assert Path(kept + "-wal").read_bytes() == log
    assert not os.path.exists(filled.database + "-wal")
    assert numbers(filled.database) == list(range(100))


def test_a_newer_file_is_neither_sound_nor_copied(filled: Home, tmp_path: Path) -> None:
    db = apsw.Connection(filled.database)
    db.execute("PRAGMA user_version = 9999").fetchall()
    db.close()
    with pytest.raises(Unusable, match="was written by a newer mimo"):
        check(filled.database)
    with pytest.raises(Unusable, match="was written by a newer mimo"):
        backup_now(filled, str(tmp_path / "copy.db"))
    assert os.listdir(tmp_path) == ["home"]


def test_what_is_wrong_with_a_page_is_told_in_lines(filled: Home) -> None:
    db = apsw.Connection(filled.database)
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'note'").fetchall()[0]
    db.close()
    with open(filled.database, "r+b") as file:
        file.seek(4096 * (root - 1) + 8)
        file.write(b"\x00\x00\x00\x01")
    found = check(filled.database)
    assert found
    assert not [finding for finding in found if "\n" in finding.what or "***" in finding.what]


READ_ONLY = """
import ctypes, sys
if (libc := ctypes.CDLL(None)).getuid() == 0:  # root may do everything, until it gives that up
    class Sets(ctypes.Structure):
        _fields_ = [("it", ctypes.c_uint32 * 6)]
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, ctypes.byref(Sets())) == 0
from mimo.home import Home
from mimo.storage.backup import restore
from mimo.storage.check import check
from mimo.storage.migrate import migrations_in, Migration
from mimo.errors import MimoError
try:
    found = check(sys.argv[1])
    print(len(found), *(finding.where for finding in found))
    if not found:
        restore(Home(sys.argv[2]), sys.argv[1], [*migrations_in()[:1], Migration(2, "notes", "")])
except MimoError as error:
    print(error)
"""


@pytest.mark.parametrize(("file", "folder"), [(0o400, 0o700), (0o600, 0o500), (0o400, 0o500)])
@pytest.mark.parametrize("spoiled", ["", "words", "log", "wal mode"])
def test_a_backup_that_nobody_may_change_is_checked_and_brought_back(
    file: int, folder: int, spoiled: str, filled: Home, tmp_path: Path
) -> None:
    if spoiled == "words":
        damage_index(filled)
    place = tmp_path / "media"
    place.mkdir()
    copy = place / "copy.db"
    if spoiled == "log":
        log_of(filled, 5_000).close()
        shutil.copy(filled.database + "-wal", str(copy) + "-wal")
    shutil.copy(filled.database, copy)  # in WAL mode, as it lies
    if not spoiled:
        db = apsw.Connection(str(copy))
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
        db.close()
    before = sorted(os.listdir(place))
    copy.chmod(file)
    place.chmod(folder)
    ran = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(copy), str(tmp_path / "other")], capture_output=True, text=True
    )
    place.chmod(0o700)
    assert ran.returncode == 0, ran.stderr
    if spoiled == "log" and folder == 0o500:
        assert "copy both to one" in ran.stdout
    elif spoiled == "words":
        assert ran.stdout == "1 note_words\n"
    else:
        assert ran.stdout == "0\n"
        assert numbers(str(tmp_path / "other" / "mimo.db")) == [*range(100), *([5_000] * (spoiled == "log"))]
    if folder == 0o500:
        assert sorted(os.listdir(place)) == before
