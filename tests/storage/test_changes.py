"""The change log keeps a cache exact, or says that it cannot; keys and ballast have their bounds too."""

from __future__ import annotations

import os
import time
from typing import Any

import apsw
import pytest
import trio

from mimo.errors import MimoError, StorageFull
from mimo.home import Home
from mimo.storage import ballast
from mimo.storage.answers import sweep_answers
from mimo.storage.changes import Change, changes_after, prune_changes
from mimo.storage.database import Database
from mimo.storage.thread import TimeIsUp
from mimo.storage.translate import translated, translation


def add(db: apsw.Connection, number: int) -> int:
    db.execute("INSERT INTO note (id, body) VALUES (?, ?)", (number, f"note {number}")).fetchall()
    return number


def remove(db: apsw.Connection, number: int) -> None:
    db.execute("DELETE FROM note WHERE id = ?", (number,)).fetchall()


async def test_a_cache_that_follows_the_log_equals_the_table(database: Database) -> None:
    cache: set[int] = set()
    seen = 0
    for n in range(1, 30):
        await database.write(add, n)
        if n % 3 == 0:
            await database.write(remove, n - 1)
        if n % 7 == 0:
            while seen < database.changed.last:
                changes = await database.read(changes_after, seen, 5)
                assert changes.complete
                for change in changes.rows:
                    (cache.add if change.op == "add" else cache.discard)(change.id)
                seen = changes.rows[-1].seq
            assert cache == set(
                await database.read(lambda db: [n for (n,) in db.execute("SELECT id FROM note")])
            )
    assert seen > 30


async def test_who_stayed_away_too_long_must_rebuild(database: Database) -> None:
    for n in range(1, 21):
        await database.write(add, n)
    assert (await database.read(changes_after, 0)).complete

    def prune(db: apsw.Connection) -> int:
        return prune_changes(db, keep=5)

    assert await database.write(prune) == 15
    assert not (await database.read(changes_after, 14)).complete
    changes = await database.read(changes_after, 15)
    assert changes.complete
    assert changes.rows[0] == Change(16, "note", 16, "add")
    assert changes.last == 20
    assert not (await database.read(changes_after, 21)).complete, "it remembers another file"


async def test_a_log_without_rows_still_knows_where_it_is(database: Database) -> None:
    for n in range(3):
        await database.write(add, n)

    def prune(db: apsw.Connection) -> int:
        return prune_changes(db, keep=0)

    assert await database.write(prune) == 3
    changes = await database.read(changes_after, 3)
    assert (changes.rows, changes.last, changes.complete) == ((), 3, True)
    assert not (await database.read(changes_after, 2)).complete
    await database.write(add, 9)
    assert (await database.read(changes_after, 3)).rows[0].seq == 4


async def test_old_keys_are_swept_a_few_at_a_time(database: Database) -> None:
    for n in range(10):
        await database.write(add, n, key=f"k{n}")

    def sweep(db: apsw.Connection, days_later: float, limit: int) -> int:
        return sweep_answers(db, days=7, limit=limit, now=time.time() + days_later * 86_400)

    assert await database.write(sweep, 6, 100) == 0
    assert await database.write(sweep, 8, 4) == 4
    assert await database.write(sweep, 8, 100) == 6
    assert await database.outcome("k1") is None


def test_the_ballast_is_real_and_is_given_up_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(home)
    assert ballast.stow(home)
    assert os.stat(home.ballast).st_blocks * 512 >= ballast.BALLAST_BYTES
    assert ballast.stow(home)
    assert ballast.release(home)
    assert not ballast.release(home)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not ballast.stow(home)
    assert os.listdir(home) == []
    monkeypatch.setattr(ballast, "room", lambda home: 1)
    assert not ballast.stow(home)


CASES: list[tuple[Any, str | None]] = [
    (apsw.SQLITE_FULL, "storage_full"),
    (apsw.SQLITE_BUSY, "busy"),
    (apsw.SQLITE_LOCKED, "busy"),
    (apsw.SQLITE_IOERR, "unavailable"),
    (apsw.SQLITE_IOERR_FSYNC, "unavailable"),
    (apsw.SQLITE_CANTOPEN, "unavailable"),
    (apsw.SQLITE_READONLY, "unavailable"),
    (apsw.SQLITE_CORRUPT, "unusable"),
    (apsw.SQLITE_NOTADB, "unusable"),
    (apsw.SQLITE_CONSTRAINT_UNIQUE, "conflict"),
    (apsw.SQLITE_CONSTRAINT_NOTNULL, None),
    (apsw.SQLITE_TOOBIG, "invalid_arguments"),
    (apsw.SQLITE_ERROR, None),
]


@pytest.mark.parametrize(("code", "kind"), CASES)
def test_only_damage_is_called_damage(code: int, kind: str | None) -> None:
    ours = translation(apsw.exception_for(code), "x.db")
    assert (None if ours is None else ours.kind) == kind
    assert ours is None or ("damaged" in ours.message) == (kind == "unusable")


def test_errors_become_ours_where_they_arise() -> None:
    with pytest.raises(StorageFull) as told, translated("x.db"):
        raise apsw.FullError("full")
    assert isinstance(told.value.__cause__, apsw.FullError)
    with pytest.raises(apsw.SQLError), translated("x.db"):
        raise apsw.SQLError("a bug of ours")
    with pytest.raises(MimoError), translated("x.db"):
        raise TimeIsUp
    assert translation(LookupError(), "x.db") is None


async def test_a_connection_that_was_closed_says_so_to_whoever_comes_late(database: Database) -> None:
    it = database._open
    assert it is not None
    reader = await it.borrowed()
    assert await reader.close()
    with pytest.raises(apsw.ConnectionClosedError):
        with trio.fail_after(2):
            await reader.run(lambda db: db.execute("SELECT 1").get)
    assert await database.read(lambda db: db.execute("SELECT 1").get) == 1
