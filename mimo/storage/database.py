"""One SQLite file: one writer that commits in groups, a few readers that never wait for it.

The contract: what `write` has answered survives kill -9, a kernel crash and a power cut, on a disk that
honours fsync. What it has not answered is there or not there as a whole, and its key says which.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple, cast

import apsw
import trio

from mimo.errors import MimoError, Unavailable
from mimo.home import Home
from mimo.storage import ballast
from mimo.storage.answers import Answered, Key, answer_to, check_key
from mimo.storage.backup import Backup, Copied, backup_path, copying
from mimo.storage.changes import Changed, last_seq
from mimo.storage.check import require_sound
from mimo.storage.connection import Threaded, open_threaded, require_sound_sqlite
from mimo.storage.files import prepare_home, touch_private
from mimo.storage.group import CommitFailed, Job, fail_all, resolve
from mimo.storage.migrate import Migration, Progress, migrate, migrations_in, version_of
from mimo.storage.opened import Opened
from mimo.storage.sql import run
from mimo.storage.thread import Abandoned, TimeIsUp
from mimo.storage.translate import translated, translation
from mimo.storage.writer import Checkpointed, Committed, Writer, optimize

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

READERS = 3
# A read transaction pins the write-ahead log.
READ_SECONDS = 5.0
# The others, who help out, and the writer have a quarter: pages come back quickly from the system's own cache.
FIRST_CACHE_KB = 32_768
IDLE_SECONDS = 2.0
# At start a file of up to this size is looked through (60 ms); larger ones by `check`, and in their backups.
QUICK_LOOK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Stats:
    """How the database is doing. Counts are since the object was made."""

    open: bool
    full: bool
    waiting: int  # writes not yet accepted
    idle_readers: int
    groups: int
    writes: int
    failed_writes: int
    reads: int
    reopened: int  # times that a COMMIT failed and its outcome was looked up
    checkpoint_errors: int
    wal_bytes: int
    file_bytes: int
    last_seq: int
    last_commit_seconds: float


class Database:
    """The one way to the data. May be run again after it has ended; meanwhile it answers `Unavailable`."""

    def __init__(
        self,
        home: Home,
        *,
        readers: int = READERS,
        migrations: Sequence[Migration] | None = None,
        on_progress: Progress = lambda told: None,
        on_commit: Callable[[Committed], object] = lambda told: None,
        on_checkpoint: Callable[[Checkpointed], object] = lambda told: None,
        on_read: Callable[[float], object] = lambda seconds: None,
        vfs: str | None = None,
    ) -> None:
        """`on_progress` is called in a thread before each migration, `on_commit` and `on_read` in the loop after each
        group and each unit of reading, and `on_checkpoint` in the writer's thread."""
        self.home = home
        self.changed = Changed()
        self._readers = readers
        self._migrations = migrations
        self._on_progress = on_progress
        self._on_commit = on_commit
        self._on_read = on_read
        self._vfs = vfs
        self._writer = Writer(home, on_checkpoint)
        self._open: Opened | None = None
        self._groups = self._writes = self._failed = self._reads = self._reopened = 0
        self._last_commit_seconds = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Opens, migrates, serves until cancelled, closes. Accepted writes are committed and answered first.

        Raises:
            Unusable: the directory or the file cannot serve; nothing was changed.
            Unavailable: the disk has failed in a way that may pass; run again.
        """
        if self._open is not None:
            raise RuntimeError("the database is running already")
        opened: list[Threaded] = []
        it = None
        try:
            with translated(self.home.database):
                writer = await self._open_writer(opened)
                await writer.run(self._prepare)
                readers = [await self._open_reader(n, opened) for n in range(self._readers)]
                self.changed.tell(await writer.run(last_seq))
            self._open = it = Opened(writer, readers)
            task_status.started()
            await self._serve(it, opened)
        finally:
            if it is not None:
                self._open = None
                it.shut(self._absent())
            with trio.CancelScope(shield=True):  # each close has its limit of real time
                await self._close(opened, None if it is None else it.writer)

    async def read(self, work: Callable[[apsw.Connection, *Ts], T], *args: *Ts) -> T:
        """`work(db, *args)` in a reader's thread, in one snapshot that has every answered write.

        Cancellation leaves at once, and ends a running query soon after.

        Raises:
            TooSlow: it took longer than READ_SECONDS.
            Unavailable: the database is not open.
        """
        it = self._opened()
        self._reads += 1
        reader = await it.borrowed()
        began = time.perf_counter()
        try:
            return await reader.run(_in_snapshot, work, args)
        except (apsw.Error, TimeIsUp) as error:
            ours = translation(error, self.home.database)
            if ours is None:
                raise
            raise ours from error
        finally:
            it.give_back(reader)
            self._on_read(time.perf_counter() - began)

    async def write(
        self,
        work: Callable[[apsw.Connection, *Ts], T],
        *args: *Ts,
        key: str | Key | None = None,
        frees: bool = False,
    ) -> T:
        """`work(db, *args)` in the writer's thread, answered when it is durable.

        The same `key` gives the first answer again and does nothing; such an answer is JSON. A `Key` says what it
        is used for, too, and is refused if it was used for something else. Who is
        cancelled while waiting for a turn has changed nothing; from then on the work is done in any case,
        and `outcome(key)` tells. `work` raises to undo what it did. It may be run twice, so it has no
        effect outside `db`. `frees` marks what makes room: it is still admitted on a full disk.

        Raises:
            Conflict: something else was done under the key.
            StorageFull: no room; nothing was written.
            Unavailable: the database is not open, or the disk failed; without a key the outcome is not known.
        """
        if isinstance(key, str):
            key = Key(key)
        if key is not None:
            check_key(key.text)
        it = self._opened()
        job = Job(work, args, key, frees)
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            try:
                it.inbox.send_nowait(job)  # not another checkpoint: the answer is one
            except trio.WouldBlock:
                await it.inbox.send(job)
        except trio.BrokenResourceError:
            raise self._absent() from None
        try:
            await job.done.wait()
        except trio.Cancelled:
            job.withdrawn = True
            raise
        assert job.result is not None
        return cast("T", job.result.unwrap())

    async def outcome(self, key: str | Key) -> Answered | None:
        """What `key` was answered, or None if nothing was done under it, by any write accepted before.

        Raises:
            Conflict: something else was done under it.
        """
        key = Key(key) if isinstance(key, str) else key
        return await self.write(answer_to, key, frees=True)  # it needs no room

    async def chore(self, work: Callable[[apsw.Connection, *Ts], T], *args: *Ts) -> T:
        """`work(db, *args)` in the writer's thread, between two groups and in no transaction (see writer.py)."""
        with translated(self.home.database):
            return await self._opened().writer.run(work, *args)

    async def pulse(self) -> None:
        """Comes back when the writer's thread has come round: it lives."""
        await self.chore(_nothing)

    async def checkpoint(self) -> bool:
        """Empties the write-ahead log, so that what was deleted is gone from it too; false if readers are in the way."""
        return await self.chore(self._writer.checkpoint, "truncate")

    async def backup(
        self, target: str | None = None, on_step: Callable[[Copied], object] | None = None
    ) -> Backup:
        """`backup_now` while the database serves, in small steps; being cancelled leaves nothing behind."""
        target = target or backup_path(self.home)
        steps = copying(self.home.database, target, self._migrations)
        limiter = trio.CapacityLimiter(1)
        try:
            while (copied := await trio.to_thread.run_sync(next, steps, None, limiter=limiter)) is not None:
                if on_step is not None:
                    on_step(copied)
        finally:
            with trio.CancelScope(shield=True):  # closes two files and removes one
                await trio.to_thread.run_sync(steps.close, limiter=limiter)
        return Backup(target, _size(target))

    def stats(self) -> Stats:
        it = self._open
        return Stats(
            open=it is not None,
            full=self._writer.full,
            waiting=0 if it is None else it.inbox.statistics().current_buffer_used,
            idle_readers=0 if it is None else len(it.idle),
            groups=self._groups,
            writes=self._writes,
            failed_writes=self._failed,
            reads=self._reads,
            reopened=self._reopened,
            checkpoint_errors=self._writer.checkpoint_errors,
            wal_bytes=_size(self.home.database + "-wal"),
            file_bytes=_size(self.home.database),
            last_seq=self.changed.last,
            last_commit_seconds=self._last_commit_seconds,
        )

    def _opened(self) -> Opened:
        if self._open is None:
            raise self._absent()
        return self._open

    def _absent(self) -> Unavailable:
        return Unavailable(
            f"{self.home.database} is not open: mimo is starting or stopping; try again", after=1
        )

    async def _open_writer(self, opened: list[Threaded]) -> Threaded:
        await trio.to_thread.run_sync(_make_file, self.home, limiter=trio.CapacityLimiter(1))
        writer = await open_threaded(self.home.database, "mimo-writer", vfs=self._vfs)
        opened.insert(0, writer)
        return writer

    async def _open_reader(self, number: int, opened: list[Threaded]) -> Threaded:
        name = f"mimo-reader-{number}"
        reader = await open_threaded(
            self.home.database, name, readonly=True, seconds=READ_SECONDS, vfs=self._vfs
        )
        opened.append(reader)
        if number == 0:  # it is asked whenever it is free, so it alone is worth a large cache
            await reader.run(run, f"PRAGMA cache_size = -{FIRST_CACHE_KB}")
        return reader

    def _prepare(self, db: apsw.Connection) -> None:
        """Everything between a connection and a database, in the writer's thread. Reads before it changes."""
        migrations = migrations_in() if self._migrations is None else self._migrations
        version_of(db, self.home.database, len(migrations))
        if _size(self.home.database) <= QUICK_LOOK_BYTES:
            require_sound(db, self.home.database)
        self._writer.open(db)
        self._writer.remember_file()
        migrate(db, self.home, migrations, self._on_progress)
        optimize(db, opened=True)
        ballast.stow(self.home)

    async def _serve(self, it: Opened, opened: list[Threaded]) -> None:
        while True:
            group = it.take(await self._next(it))
            if not group:
                continue
            # No deadline: a commit is not to be left halfway. A disk that hangs is for the watchdog to notice.
            with trio.CancelScope(shield=True):
                try:
                    await self._commit(it, opened, group)
                finally:
                    for job in group:
                        if job.result is None:
                            job.fail(self._absent())
                        job.done.set()
                if self._writer.untidy:
                    await it.writer.run(self._writer.tidy)

    async def _next(self, it: Opened) -> Job:
        with trio.move_on_after(IDLE_SECONDS):
            return await it.outbox.receive()
        with trio.CancelScope(shield=True):  # half a second at most: the writer's patience
            await it.writer.run(self._writer.rest)
        return await it.outbox.receive()

    async def _commit(self, it: Opened, opened: list[Threaded], group: Sequence[Job]) -> None:
        try:
            told = await it.writer.run(self._writer.serve, group)
        except CommitFailed as failure:
            try:
                await self._find_out(it, opened, failure)
            except MimoError as error:
                fail_all(group, error)
                raise
            return
        self._groups += 1
        self._writes += told.jobs
        self._failed += told.failed
        self._last_commit_seconds = told.seconds
        self.changed.tell(told.last_seq)
        self._on_commit(told)

    async def _find_out(self, it: Opened, opened: list[Threaded], failure: CommitFailed) -> None:
        """Reopens the writer, because a connection whose COMMIT has failed is not to be believed, and looks."""
        self._reopened += 1
        cause = failure.__cause__ or failure
        error = translation(cause, self.home.database) or cause
        opened.remove(it.writer)
        await it.writer.close()
        with translated(self.home.database):
            it.writer = await self._open_writer(opened)
            await it.writer.run(self._writer.open)
            await it.writer.run(resolve, failure.jobs, error)
            self.changed.tell(await it.writer.run(last_seq))

    async def _close(self, opened: list[Threaded], writer: Threaded | None) -> None:
        """The writer last, because who closes last empties the log, and with its chores if it ever served."""
        for each in reversed(opened):
            chores = (optimize, self._writer.rest) if each is writer else ()
            if not await each.close(*chores):
                logger.warning("%s did not close in time", each.controller.thread.name)


def _in_snapshot(db: apsw.Connection, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    run(db, "BEGIN")
    try:
        return work(db, *args)
    finally:
        try:
            run(db, "ROLLBACK")
        except (Abandoned, TimeIsUp):  # the look-up came in the middle of it; the next is 5,000 steps away
            run(db, "ROLLBACK")


def _make_file(home: Home) -> None:
    require_sound_sqlite()
    prepare_home(home)
    touch_private(home.database)


def _nothing(db: apsw.Connection) -> None:
    """A unit of work to come round with."""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
