"""What is done every hour: old keys and changes go, a copy is made when one is due."""

import os
import time
from typing import Any

import trio
import trio.testing

from mimo.home import Home
from mimo.storage.answers import Key, answer_to
from mimo.storage.backup import Backup, backup_path, named_by_time
from mimo.storage.database import Database
from mimo.storage.sql import run, value
from mimo.storage.upkeep import HOUR, Upkeep


def noted(db: Any) -> str:
    run(db, "INSERT INTO change (kind, id, op) VALUES ('test', 1, 'add')")
    return "kept"


async def test_old_keys_are_swept_and_new_ones_stay(home: Home) -> None:
    database = Database(home)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await database.write(noted, key="old")
        await database.write(noted, key="new")
        long_ago = int((time.time() - 400 * 86_400) * 1000)
        await database.write(run, "UPDATE answer SET at = ? WHERE key = 'old'", (long_ago,))
        await Upkeep(database).tidy()
        assert await database.read(answer_to, Key("old")) is None
        assert await database.read(answer_to, Key("new")) is not None
        assert await database.read(value, "SELECT count(*) FROM change") == 2
        nursery.cancel_scope.cancel()


async def test_a_copy_is_made_when_one_is_due_and_only_then(home: Home) -> None:
    made: list[Backup | None] = []
    database = Database(home)
    upkeep = Upkeep(database, backups_kept=2, on_backup=made.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await upkeep.copy_when_due()
        await upkeep.copy_when_due()
        assert len(made) == len(named_by_time(home)) == 1
        yesterday = time.time() - 25 * HOUR
        for path in named_by_time(home):
            os.utime(path, (yesterday, yesterday))
        os.replace(named_by_time(home)[0], os.path.join(home.backups, "mimo-20200101T000000Z.db"))
        await upkeep.copy_when_due()
        assert len(made) == len(named_by_time(home)) == 2
        await Upkeep(database, backup_hours=0, on_backup=made.append).copy_when_due()
        assert len(made) == 2
        nursery.cancel_scope.cancel()


async def test_a_copy_that_cannot_be_made_is_told_and_ends_nothing(home: Home) -> None:
    told = trio.Event()
    database = Database(home)
    upkeep = Upkeep(database, on_backup=lambda made: told.set() if made is None else None, every=0.001)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        os.symlink("nowhere/at/all", home.backups)  # in the way
        await nursery.start(upkeep.run)
        await told.wait()
        os.unlink(home.backups)
        while not named_by_time(home):
            await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    assert backup_path(home).startswith(home.backups)
