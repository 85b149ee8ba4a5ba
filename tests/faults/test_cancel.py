"""A write that is cancelled at any of its awaits leaves no transaction, no delay, and a key that tells the truth."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
import trio

from mimo.home import Home
from mimo.storage.database import Database
from mimo.storage.migrate import Migration

pytestmark = pytest.mark.faults

Add = Callable[[apsw.Connection, int], int]


async def test_a_write_may_be_cancelled_anywhere(
    tmp_path: Path,
    nursery: trio.Nursery,
    notes: list[Migration],
    add: Add,
    counts: Callable[[int, int], int],
) -> None:
    database = Database(Home(tmp_path / "home"), migrations=notes)
    await nursery.start(database.run)
    rng = random.Random(4)
    trials = counts(100, 500)
    cancelled = committed = 0
    slowest = 0.0
    for trial in range(trials):
        number = trial * 10
        steps = int(10 ** rng.uniform(0, 2.7)) - 1

        async def write(number: int, scope: trio.CancelScope) -> None:
            with scope:
                await database.write(add, number, key=f"n{number}")

        scope = trio.CancelScope()
        async with trio.open_nursery() as writers:
            for other in range(1, rng.randrange(1, 5)):  # so that it waits its turn, alone or in a group
                writers.start_soon(database.write, add, number + other)
            writers.start_soon(write, number, scope)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            if trial % 10:  # however slow the disk is, some are let through
                scope.cancel()
        cancelled += scope.cancelled_caught

        began = time.perf_counter()
        assert await database.write(add, number + 9) == number + 9
        slowest = max(slowest, time.perf_counter() - began)
        assert not await database.chore(lambda db: db.in_transaction)
        answer = await database.outcome(f"n{number}")
        there = await database.read(
            lambda db, n: db.execute("SELECT 1 FROM note WHERE id = ?", (n,)).get, number
        )
        assert (answer is not None) == (there == 1)
        committed += bool(scope.cancelled_caught and there)
        if not scope.cancelled_caught:
            assert there
    print(
        f"\ncancel: {trials} writes, {cancelled} cancelled, {committed} of these done all the same and known by key, "
        f"0 transactions left, next write after {slowest * 1000:.1f} ms at most"
    )
    assert 0 < committed < cancelled < trials
    nursery.cancel_scope.cancel()


async def test_who_is_cancelled_before_the_turn_has_changed_nothing(
    tmp_path: Path, nursery: trio.Nursery, notes: list[Migration], add: Add
) -> None:
    database = Database(Home(tmp_path / "home"), migrations=notes)
    await nursery.start(database.run)
    with trio.CancelScope() as scope:
        scope.cancel()
        await database.write(add, 1, key="one")
    assert await database.outcome("one") is None
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM note").get) == 0
    nursery.cancel_scope.cancel()


CRASH = """
import sys, trio
from mimo.home import Home
from mimo.storage.database import Database

async def main():
    database = Database(Home(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        WAY
trio.run(main)
"""
WAYS = {
    "an exception": "raise RuntimeError('crash')",
    "cancellation": "nursery.cancel_scope.cancel()",
    "exit": "sys.exit(1)",
    "a reader that runs for ever": (
        "nursery.start_soon(database.read, lambda db: db.execute("
        "'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n').get);"
        "await trio.sleep(0.1); nursery.cancel_scope.cancel()"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_process_hangs_at_its_end(way: str, tmp_path: Path) -> None:
    script = CRASH.replace("WAY", WAYS[way])
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "home")], capture_output=True, timeout=20)
    assert time.monotonic() - began < 5
    assert not (tmp_path / "home" / "mimo.db-wal").exists(), "it was closed properly"
