"""What was acknowledged is there after a power cut, and after an fsync that failed once."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from mimo.errors import MimoError
from mimo.home import Home
from mimo.storage import writer as writer_module
from mimo.storage.check import findings
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.migrate import Migration

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Add = Callable[[apsw.Connection, int], int]


async def write_many(database: Database, disk: Any, add: Add, numbers: range) -> None:
    """Eight writers at once; each acknowledged number is told to the disk."""

    async def writer(mine: range) -> None:
        for number in mine:
            try:
                await database.write(add, number, key=f"n{number}")
            except MimoError:
                continue
            disk.ack(number)

    async with trio.open_nursery() as nursery:
        for first in range(8):
            nursery.start_soon(writer, numbers[first::8])


def judge(path: Path, acked: set[int]) -> tuple[int, int]:
    """How many acknowledged notes are lost, and how much is damaged."""
    db = open_connection(str(path))
    try:
        damaged = len(findings(db))
        there = {n for (n,) in db.execute("SELECT id FROM note")} if not damaged and acked else set[int]()
        keys = {k for (k,) in db.execute("SELECT key FROM answer")} if not damaged and acked else set[str]()
        assert damaged or keys == {f"n{number}" for number in there}, (
            "a key is there exactly when its effect is"
        )
        return len(acked - there) if not damaged else 0, damaged
    except apsw.Error as error:
        return 0, 1 if acked or not isinstance(error, apsw.SQLError) else 0
    finally:
        db.close()
        shutil.rmtree(path.parent)


@pytest.mark.holds_up_the_loop
async def test_no_power_cut_loses_what_was_acknowledged(
    tmp_path: Path,
    disks: Callable[[], Any],
    notes: list[Migration],
    add: Add,
    lay_out: Callable[[dict[str, bytes], str], Path],
    counts: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_PAGES", 40)  # so that cuts fall into checkpoints too
    rng = random.Random(1)
    images = lost = damaged = acknowledged = 0
    for _ in range(counts(1, 4)):
        disk = disks()
        home = Home(tmp_path / f"home-{rng.random()}")
        database = Database(home, migrations=notes, vfs=disk.vfs)
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            await write_many(database, disk, add, range(1, 400))
            length = len(disk.log)
            nursery.cancel_scope.cancel()
        cuts = [rng.randrange(length) for _ in range(counts(60, 300))]
        for image, acked in disk.images(cuts, rng):
            path = lay_out(image, home.database)
            if path.exists():
                gone, bad = judge(path, acked)
                lost, damaged = lost + gone, damaged + bad
            else:
                lost += len(acked)
            images += 1
            acknowledged += len(acked)
    print(
        f"\npower loss: {images} images, {acknowledged} acknowledged rows looked for, {lost} lost, {damaged} corrupt"
    )
    assert acknowledged > images
    assert (lost, damaged) == (0, 0)


async def test_one_failed_fsync_and_then_a_power_cut_lose_nothing(
    tmp_path: Path,
    disks: Callable[[], Any],
    notes: list[Migration],
    add: Add,
    lay_out: Callable[[dict[str, bytes], str], Path],
    counts: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_PAGES", 40)
    rng = random.Random(2)
    trials, lost, damaged, fired = counts(12, 100), 0, 0, 0
    for trial in range(trials):
        disk = disks()
        home = Home(tmp_path / f"home-{trial}")
        database = Database(home, migrations=notes, vfs=disk.vfs)
        left = rng.randrange(1, 12)

        def fail(op: str, path: str) -> None:
            nonlocal left, fired
            left -= op == "sync"
            if op == "sync" and left == 0:
                fired += 1
                raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)

        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            disk.fail = fail
            await write_many(database, disk, add, range(1, 120))
            length = len(disk.log)
            nursery.cancel_scope.cancel()
        for image, acked in disk.images([length], rng):
            gone, bad = judge(lay_out(image, home.database), acked)
            lost, damaged = lost + gone, damaged + bad
        shutil.rmtree(home)
    print(
        f"\nfsync: {trials} trials, {fired} fsyncs failed, {lost} acknowledged rows lost, {damaged} corrupt"
    )
    assert fired == trials
    assert (lost, damaged) == (0, 0)
