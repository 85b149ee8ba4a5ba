"""On a full disk reading goes on, forgetting works, adding says why not; room brings it back without a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
import trio

from mimo.errors import StorageFull
from mimo.home import Home
from mimo.storage.ballast import BALLAST_BYTES
from mimo.storage.check import check
from mimo.storage.database import Database
from mimo.storage.migrate import Migration

pytestmark = pytest.mark.faults


def add_long(db: apsw.Connection, number: int) -> int:
    body = f"note {number} " + "mnemosyne keeps what was said " * 500
    db.execute("INSERT INTO note (id, body) VALUES (?, ?)", (number, body)).fetchall()
    return number


def forget(db: apsw.Connection, first: int, last: int) -> int:
    db.execute("DELETE FROM note WHERE id BETWEEN ? AND ?", (first, last)).fetchall()
    return db.changes()


def count(db: apsw.Connection) -> int:
    return db.execute("SELECT count(*) FROM note").get


def total(db: apsw.Connection) -> int:
    return db.execute("SELECT sum(length(body)) FROM note").get


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        pytest.skip(f"cannot mount a small tmpfs here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def fill(database: Database, first: int) -> int:
    """Adds until the storage is full; how many were added.

    One refusal is not yet a full disk: the log may have been in the way, and be gone for the next.
    """
    number, refused = first, 0
    with trio.fail_after(60):
        while refused < 5:
            try:
                await database.write(add_long, number, key=f"n{number}")
            except StorageFull:
                assert await database.outcome(f"n{number}") is None
                refused += 1
            else:
                number, refused = number + 1, 0
    return number - first


async def test_a_full_disk(small_disk: Path, nursery: trio.Nursery, notes: list[Migration]) -> None:
    home = Home(small_disk / "home")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6 << 20))
    database = Database(home, migrations=notes)
    await nursery.start(database.run)
    assert os.stat(home.ballast).st_size == BALLAST_BYTES

    added = await fill(database, 1)
    assert database.stats().full
    assert not await trio.Path(home.ballast).exists()
    for number in range(90_000, 90_050):  # a caller who does not give in does not eat the ballast
        with pytest.raises(StorageFull):
            await database.write(add_long, number)
    assert await database.read(count) == added
    assert await database.read(total) > 0

    forgotten = await database.write(forget, 1, 20, key="forget", frees=True)
    assert forgotten == 20
    assert await database.read(count) == added - 20
    assert await database.outcome("forget") is not None

    filler.unlink()  # the disk's owner makes room: no restart
    assert await database.write(add_long, 99_999) == 99_999
    assert not database.stats().full
    assert await trio.Path(home.ballast).exists()
    nursery.cancel_scope.cancel()
    print(
        f"\nfull disk: {added} rows, 50 refusals, reads went on, 20 forgotten, writable again without a restart"
    )


async def test_forgetting_enough_brings_a_full_disk_back(
    small_disk: Path, nursery: trio.Nursery, notes: list[Migration]
) -> None:
    database = Database(Home(small_disk / "home"), migrations=notes)
    await nursery.start(database.run)
    added = await fill(database, 1)
    for first in range(1, added + 1, 20):
        await database.write(forget, first, first + 19, frees=True)
    assert await database.write(add_long, 99_999) == 99_999
    assert await database.read(count) == 1
    nursery.cancel_scope.cancel()
    print(f"\nfull disk: {added} rows forgotten in twenties, writable again")


async def test_the_largest_allowed_file(
    tmp_path: Path, nursery: trio.Nursery, notes: list[Migration]
) -> None:
    home = Home(tmp_path / "home")
    database = Database(home, migrations=notes)
    await nursery.start(database.run)
    await database.chore(lambda db: db.execute("PRAGMA max_page_count = 600").get)
    added = await fill(database, 1)
    assert await database.read(count) == added
    assert not database.stats().full, "the disk has room: the limit is another one"
    assert await trio.Path(home.ballast).exists()
    await database.write(forget, 1, 20, frees=True)
    assert await database.write(add_long, 99_999) == 99_999
    await database.chore(lambda db: db.execute("PRAGMA max_page_count = 1000000").get)
    assert await fill_some(database, 100_000, 50) == 50
    nursery.cancel_scope.cancel()
    print(f"\nmax_page_count: {added} rows, reads and forgetting went on, writable again after relief")


async def fill_some(database: Database, first: int, many: int) -> int:
    return len([await database.write(add_long, number) for number in range(first, first + many)])


@pytest.mark.holds_up_the_loop
async def test_a_full_disk_damages_nothing(
    small_disk: Path, notes: list[Migration], counts: Callable[[int, int], int]
) -> None:
    home = Home(small_disk / "home")
    for _ in range(counts(2, 10)):
        async with trio.open_nursery() as nursery:
            database = Database(home, migrations=notes)
            await nursery.start(database.run)
            added = await fill(database, 1)
            assert await database.read(count) == added
            nursery.cancel_scope.cancel()
        assert check(home.database) == []
        shutil.rmtree(home)
