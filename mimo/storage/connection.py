"""How every connection to the database is set, whoever opens it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar, cast

import apsw
import trio

from mimo.errors import Unusable
from mimo.storage.sql import run
from mimo.storage.thread import ConnectionThread

P = ParamSpec("P")
T = TypeVar("T")

# "mimo" in ASCII. file(1), and we, know our files by it.
APPLICATION_ID = 0x6D696D6F
# Before it, a checkpoint that meets a writer in the wrong moment can corrupt the file (the WAL-reset bug).
OLDEST_SQLITE = (3, 51, 3)
CACHE_KIB = 8_192
BUSY_MS = 5_000  # 100 ms refuses 3 % of the writes when another process is at the file
LARGEST_VALUE = 64 << 20
LARGEST_SQL = 1 << 20
CLOSING_SECONDS = 10.0

EVERY = f"""
PRAGMA busy_timeout = {BUSY_MS};
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -{CACHE_KIB};
"""
# auto_vacuum counts for a new file only, before its first table; it lets a file that forgot much become smaller.
WRITER = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA journal_size_limit = {LARGEST_VALUE};
"""


def require_sound_sqlite(version: str | None = None) -> None:
    """Raises `Unusable` for a SQLite with the WAL-reset bug."""
    found = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < OLDEST_SQLITE:
        raise Unusable(
            f"SQLite {found} can damage a database; {'.'.join(map(str, OLDEST_SQLITE))} or newer is needed: "
            "pip install --upgrade apsw"
        )


def open_connection(path: str, *, readonly: bool = False, vfs: str | None = None) -> apsw.Connection:
    """A synchronous connection, set as every connection is. It has not touched the file's content yet."""
    db = apsw.Connection(path, flags=_flags(readonly), vfs=vfs)
    prepare(db)
    return db


def prepare(db: apsw.Connection) -> None:
    """What every connection has. Changes nothing in the file."""
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    db.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    # Who closes last would empty the log into the file, even into one that turned out to be a stranger's.
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.limit(apsw.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    db.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, LARGEST_SQL)
    # An auto-checkpoint runs inside COMMIT, and its failure would look like the COMMIT's.
    db.wal_autocheckpoint(0)
    run(db, EVERY)


def prepare_writer(db: apsw.Connection) -> None:
    """What the writer has besides. It may change the file, so the file must be known as ours before."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    run(db, WRITER)


@dataclass(frozen=True, slots=True, eq=False)
class Threaded:
    """A connection in its own thread."""

    connection: apsw.AsyncConnection
    controller: ConnectionThread

    async def run(
        self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work(db, ...)` in the connection's thread. Cancellation leaves at once, and the work stops soon after."""
        run = cast("Callable[..., Awaitable[T]]", self.connection.async_run)  # pyright: ignore[reportUnknownMemberType]
        return await run(work, self.connection, *args, **kwargs)

    async def close(self, *chores: Callable[[apsw.Connection], object]) -> bool:
        """Does the chores, closes the connection, ends its thread; false if that takes too long. Call it shielded.

        A chore that fails does not matter. The limit is real time, which is the time that threads know.
        """
        db = cast("apsw.Connection", self.connection)
        with suppress(apsw.ConnectionClosedError):
            for chore in chores:
                self.controller.post(partial(chore, db))
            self.controller.post(db.close)
        limiter = trio.CapacityLimiter(1)
        await trio.to_thread.run_sync(self.controller.thread.join, CLOSING_SECONDS, limiter=limiter)
        return not self.controller.thread.is_alive()


async def open_threaded(
    path: str, name: str, *, readonly: bool = False, seconds: float = math.inf, vfs: str | None = None
) -> Threaded:
    """A connection in a thread called `name`; see `ConnectionThread` for `seconds`."""
    controller = ConnectionThread(name, seconds=seconds)
    token = apsw.async_controller.set(lambda: controller)  # pyright: ignore[reportArgumentType]
    opened: Threaded | None = None
    try:
        opened = Threaded(await apsw.Connection.as_async(path, flags=_flags(readonly), vfs=vfs), controller)
        await opened.run(prepare)
    except BaseException:
        if opened is None:
            controller.close()
        else:  # one that is left to the collector looks for its thread when both are half gone
            with trio.CancelScope(shield=True):  # `close` has its limit of real time
                await opened.close()
        raise
    finally:
        apsw.async_controller.reset(token)
    return opened


def _flags(readonly: bool) -> int:
    return apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
