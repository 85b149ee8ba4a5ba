"""The n-th operation on the disk fails, once or from then on: nothing is damaged, nothing is silent, keys tell the truth."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
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
        left = rng.randrange(1, {"write": 60, "full": 60, "open": 3, "truncate": 2}.get(kind, 12))
        home = Home(tmp_path / f"home-{trial}")
        fired, failed, noticed = await one_run(disks(), home, notes, add, kind, left, sticky)
        failures += failed
        fired_in += fired
        # What is full once is found to have room again: that is no silence.
        silent += fired and not failed and not noticed and (sticky or kind != "full")
        shutil.rmtree(home)
    print(
        f"\n{kind}: {trials} runs, an error in {fired_in}, {failures} writes told so, 0 lost, 0 corrupt, {silent} silent"
    )
    assert fired_in
    assert silent == 0 or kind == "read", "a read that is not needed may be left"


async def one_run(
    disk: Any,
    home: Home,
    notes: list[Migration],
    add: Callable[[apsw.Connection, int], int],
    kind: str,
    left: int,
    sticky: bool,
) -> tuple[bool, int, int]:
    """Whether an error was raised, how many writes failed, how often the writer noticed by itself."""
    database = Database(home, migrations=notes, vfs=disk.vfs)
    fired = stumbled = False

    def fail(op: str, path: str) -> None:
        nonlocal left, fired, stumbled
        if kind == "open" and op == "sync" and not stumbled:
            stumbled = True  # only a writer that has failed is opened again
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        if op != ("write" if kind == "full" else kind):
            return
        left -= 1
        if left == 0 or (sticky and left < 0):
            fired = True
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
        with suppress(MimoError):
            await database.checkpoint()
        noticed = database.stats().reopened + database.stats().checkpoint_errors
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
    return fired, len(failed), noticed
