"""Forks children that do what they are killed at: imports are paid once. Reads one JSON command a line on stdin.

A child tells what it has done by lines on stdout; when it is dead, so says its parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import trio

from mimo.home import Home
from mimo.storage.connection import open_connection, prepare_writer
from mimo.storage.database import Database
from mimo.storage.migrate import Migration, migrate


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # one write, so that a kill leaves no half of it


def add_note(db: apsw.Connection, number: int) -> int:
    body = f"note {number} " + "lorem ipsum dolor " * (number % 20)
    db.execute("INSERT INTO note (id, body) VALUES (?, ?)", (number, body)).fetchall()
    return number


def write(home: Home, migrations: list[Migration], first: int) -> None:
    """Sixteen writers without an end."""

    async def writer(database: Database, number: int) -> None:
        while True:
            await database.write(add_note, number, key=f"n{number}")
            say(f"ack {number}")
            number += 16

    async def main() -> None:
        database = Database(home, migrations=migrations)
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            for offset in range(16):
                nursery.start_soon(writer, database, first + offset)

    trio.run(main)


def upgrade(home: Home, migrations: list[Migration], die_at: int, where: str) -> None:
    """Migrates, and dies at the `die_at`-th statement, or the `die_at`-th operation on the disk."""
    left = die_at

    def count(*_: object) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    if where == "disk":
        db = open_connection(home.database, vfs=_dying_vfs(count))
    else:
        db = open_connection(home.database)
        db.exec_trace = lambda cursor, sql, bindings: count()
    prepare_writer(db)
    migrate(db, home, migrations)
    db.close()
    say("finished")


def _dying_vfs(count: Callable[..., object]) -> str:
    class File(apsw.VFSFile):
        def xWrite(self, data: bytes, offset: int) -> None:
            count()
            super().xWrite(data, offset)

        def xSync(self, flags: int) -> None:
            count()

        def xTruncate(self, size: int) -> None:
            count()
            super().xTruncate(size)

    class Vfs(apsw.VFS):
        def xOpen(self, name: Any, flags: list[int]) -> File:
            return File("", name, flags)

    KEPT.append(Vfs("dying", ""))
    return "dying"


KEPT: list[apsw.VFS] = []


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        migrations = [Migration(**each) for each in command["migrations"]]
        home = Home(command["home"])
        child = os.fork()
        if child == 0:
            try:
                if command["do"] == "write":
                    write(home, migrations, command["first"])
                else:
                    upgrade(home, migrations, command["die_at"], command["where"])
                code = 0
            except Exception as error:
                say(f"error {error!r}")
                code = 1
            os._exit(code)
        say(f"born {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        os.chdir(Path(sys.argv[1]))
    main()
