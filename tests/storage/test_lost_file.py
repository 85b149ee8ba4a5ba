"""A database that is taken away while it serves: nothing is acknowledged that nobody could find again."""

import os
from collections.abc import Callable

import pytest
import trio

from mimo.errors import Unusable
from mimo.home import Home
from mimo.storage.database import Database
from mimo.storage.migrate import Migration
from mimo.storage.sql import run


def remove(path: str) -> None:
    os.unlink(path)


def replace(path: str) -> None:
    os.rename(path, path + ".away")
    with open(path, "wb") as file:
        file.write(b"")


@pytest.mark.parametrize("take", [remove, replace])
async def test_nothing_is_acknowledged_when_the_file_is_gone(
    take: Callable[[str], None], home: Home, notes: list[Migration]
) -> None:
    database = Database(home, migrations=notes)
    told: list[Unusable] = []

    async def keep(*, task_status: trio.TaskStatus[None]) -> None:
        try:
            await database.run(task_status=task_status)
        except Unusable as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        await nursery.start(keep)
        await database.write(run, "INSERT INTO note (body) VALUES ('kept')")
        take(home.database)
        with pytest.raises(Unusable, match="removed or replaced"):
            await database.write(run, "INSERT INTO note (body) VALUES ('lost')")
    assert len(told) == 1  # and the database has stopped, so that somebody is told
