"""The n-th operation on the disk fails, once or from then on: nothing is damaged, nothing is silent, keys tell the truth."""

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
from mimo.storage.check import check
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.migrate import Migration

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CODES = {
    "write": apsw.SQLITE_IOERR_WRITE,
    "full": apsw.SQLITE_FULL,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "read": apsw.SQLITE_IOERR_READ,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "open": apsw.SQLITE_CANTOPEN,
}


async def restarted(
    database: Database, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """What a supervisor does: runs it again when it ends with an error."""
    for _ in range(50):
        try:
            await database.run(task_status=task_status)
        except MimoError:
            task_status = trio.TASK_STATUS_IGNORED
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", sorted(CODES))
async def test_an_error_of_the_disk_is_told_and_damages_nothing(
    kind: str,
    tmp_path: Path,
    disks: Callable[[], Any],
    notes: list[Migration],
    add: Callable[[apsw.Connection, int], int],
    counts: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_PAGES", 40)
    rng = random.Random(kind)
    trials = counts(6, 120)
    failures = fired_in = silent = 0
    for trial in range(trials):
        sticky = trial % 2 == 1
        disk, home = disks(), Home(tmp_path / f"home-{trial}")
        database = Database(home, migrations=notes, vfs=disk.vfs)
        left, fired = rng.randrange(1, 60 if kind in {"write", "full"} else 12), 0

        def fail(op: str, path: str) -> None:
            nonlocal left, fired
            if op != ("write" if kind == "full" else kind):
                return
            left -= 1
            if left == 0 or (sticky and left < 0):
                fired += 1
                raise apsw.exception_for(CODES[kind])

        acked: set[int] = set()
        failed: set[int] = set()

        async def writer(numbers: range) -> None:
            for number in numbers:
                try:
                    await database.write(add, number, key=f"n{number}")
                    acked.add(number)
                except MimoError:
                    failed.add(number)

        async with trio.open_nursery() as nursery:
            await nursery.start(restarted, database)
            disk.fail = fail
            async with trio.open_nursery() as writers:
                for first in range(4):
                    writers.start_soon(writer, range(first, 48, 4))
            reopened = database.stats().reopened + database.stats().checkpoint_errors
            disk.fail = lambda op, path: None
            with trio.fail_after(5):
                while not database.stats().open:
                    await trio.lowlevel.checkpoint()
                told = {number: await database.outcome(f"n{number}") for number in sorted(failed)}
            nursery.cancel_scope.cancel()
        assert check(home.database) == []
        db = open_connection(home.database)
        there = {number for (number,) in db.execute("SELECT id FROM note")}
        db.close()
        assert acked <= there, "an acknowledged row is lost"
        assert {number for number, answer in told.items() if answer is not None} == there & failed
        failures += len(failed)
        fired_in += bool(fired)
        # A disk that is full once is found to have room again, which is no silence.
        silent += bool(fired) and not failed and not reopened and (sticky or kind != "full")
        shutil.rmtree(home)
    print(
        f"\n{kind}: {trials} runs, an error in {fired_in}, {failures} writes told so, 0 lost, 0 corrupt, {silent} silent"
    )
    if kind in {"write", "full", "sync"}:
        assert fired_in
        assert silent == 0
