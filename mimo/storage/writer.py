"""What the writer does in its thread: groups, checkpoints after the answers, and a disk that is full."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, cast

import apsw
import outcome

from mimo.errors import Unusable
from mimo.home import Home
from mimo.storage import ballast
from mimo.storage.changes import last_seq
from mimo.storage.connection import BUSY_MS, prepare_writer
from mimo.storage.group import CommitFailed, Job, commit_group, fail_all, resolve
from mimo.storage.sql import rows, run, value
from mimo.storage.translate import no_room, translation

# 4 MB of log: a checkpoint costs two fsyncs, so it is not for every group.
CHECKPOINT_PAGES = 1_000
# A reader that stays pins the log. Past this many pages the writer waits for it, but never long.
LONG_LOG_PAGES = 16_000
PATIENCE_MS = 250
# From so many free pages on (4 MB) an idle writer gives the disk back what was forgotten, a little at a time.
SPARE_PAGES = 1_000
SHRINK_PAGES = 512

CHECKPOINTS = {
    "passive": "PRAGMA wal_checkpoint(PASSIVE)",
    "truncate": "PRAGMA wal_checkpoint(TRUNCATE)",
}


@dataclass(frozen=True, slots=True)
class Committed:
    """One group, as metrics see it."""

    jobs: int
    failed: int
    seconds: float
    wal_pages: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """One copying of the log into the file, as metrics see it."""

    outcome: Literal["whole", "partly", "failed"]
    seconds: float


class Writer:
    """What is known from group to group. For the writer's thread; others may read its counts."""

    def __init__(
        self, home: Home, on_checkpoint: Callable[[Checkpointed], object] = lambda told: None
    ) -> None:
        """`on_checkpoint` is called in the writer's thread."""
        self._home = home
        self._on_checkpoint = on_checkpoint
        self.full = False  # only what frees something is admitted
        self.wal_pages = 0
        self.checkpoint_errors = 0
        self._last_seq = 0
        self._file: tuple[int, int] | None = None  # device and inode of what we opened

    def remember_file(self) -> None:
        """From here on, what lies at the database's path has to be this very file."""
        self._file = _identity(self._home.database)

    def open(self, db: apsw.Connection) -> None:
        """The writer's settings, on a file that is known as ours."""
        prepare_writer(db)
        db.set_wal_hook(self._told_of_pages)

    def serve(self, db: apsw.Connection, jobs: Sequence[Job]) -> Committed:
        """Gives every job its result.

        Raises:
            CommitFailed: the fate of its jobs is unknown; `resolve` it on another connection.
            Unusable: the file is gone from its place; all jobs have failed.
        """
        began = time.perf_counter()
        if self._file is not None and _identity(self._home.database) != self._file:
            # SQLite would go on writing to a file that nobody can find any more.
            lost = Unusable(
                f"{self._home.database} was removed or replaced while mimo was using it, and nothing more is written; "
                "put it back, or bring a backup back with `mimo restore FILE`, and start mimo again"
            )
            fail_all(jobs, lost)
            raise lost
        if self.full and ballast.stow(self._home):
            self.full = False  # somebody has made room
        admitted = [job for job in jobs if job.frees or not self.full]
        if admitted:
            self._commit(db, admitted)
        fail_all([job for job in jobs if job.result is None], no_room(self._home.database))
        if self.full:
            self._make_room(db)
        failed = sum(isinstance(job.result, outcome.Error) for job in jobs)
        with suppress(apsw.Error):  # a disk that fails now does not undo the commit: the next group will tell
            self._last_seq = last_seq(db)
        return Committed(len(jobs), failed, time.perf_counter() - began, self.wal_pages, self._last_seq)

    @property
    def untidy(self) -> bool:
        return self.wal_pages >= CHECKPOINT_PAGES

    def tidy(self, db: apsw.Connection) -> None:
        """After the answers: keeps the log short."""
        if self.wal_pages >= LONG_LOG_PAGES:
            self.checkpoint(db, "truncate")
        else:
            self.checkpoint(db, "passive")
            if self.full:  # the file could not grow, and now has the ballast's room for it
                self._emptied_log(db)

    def rest(self, db: apsw.Connection) -> None:
        """When nobody has written for a while: an empty log, and free pages back to the disk."""
        if cast("int", value(db, "PRAGMA freelist_count")) >= SPARE_PAGES:
            shrink(db)
        self.checkpoint(db, "truncate")

    def checkpoint(self, db: apsw.Connection, mode: Literal["passive", "truncate"]) -> bool:
        """Copies the log into the file; whether all of it.

        A checkpoint that fails has lost nothing, the log has it still: it is counted, and tried again later.
        """
        db.set_busy_timeout(PATIENCE_MS)
        began = time.perf_counter()
        try:
            busy, pages, copied = cast("tuple[int, int, int]", rows(db, CHECKPOINTS[mode])[0])
        except apsw.Error as error:
            self.checkpoint_errors += 1
            if isinstance(error, apsw.FullError):
                self._give_up_ballast()
            self._on_checkpoint(Checkpointed("failed", time.perf_counter() - began))
            return False
        finally:
            db.set_busy_timeout(BUSY_MS)
        self.wal_pages = max(pages, 0) if mode == "truncate" else self.wal_pages
        if pages == copied:
            self.wal_pages = 0  # the next write begins the log anew
        whole = not busy and pages == copied
        self._on_checkpoint(Checkpointed("whole" if whole else "partly", time.perf_counter() - began))
        return whole

    def _commit(self, db: apsw.Connection, jobs: Sequence[Job]) -> None:
        """Often it is the log that has taken the last room: emptied, it makes place for all.

        If not, what frees something tries again, alone, in the room of the ballast.
        """
        if self._found_room(db, jobs):
            return
        if self.wal_pages and self._emptied_log(db) and self._found_room(db, jobs):
            return
        self._give_up_ballast()
        for job in jobs:
            if not job.frees or not self._found_room(db, [job]):
                job.fail(no_room(self._home.database))

    def _found_room(self, db: apsw.Connection, jobs: Sequence[Job]) -> bool:
        """Gives the jobs their results; false if nothing of them was written, for lack of room."""
        for job in jobs:
            job.reset()
        try:
            commit_group(db, jobs)
        except apsw.FullError:
            return False
        except CommitFailed as failure:
            if isinstance(failure.__cause__, apsw.FullError):
                return resolve(db, jobs, no_room(self._home.database))
            raise
        except apsw.Error as error:  # it could not begin, or was lost before COMMIT: nothing was written
            fail_all(jobs, translation(error, self._home.database) or error)
        return True

    def _emptied_log(self, db: apsw.Connection) -> bool:
        """Whether emptying the log has made room enough. The file grows by it, so it may need the ballast first."""
        if not self.checkpoint(db, "truncate") and not (self.full and self.checkpoint(db, "truncate")):
            return False
        if self.full and ballast.stow(self._home):
            self.full = False
        return not self.full

    def _give_up_ballast(self) -> None:
        if ballast.room(self._home) < ballast.ENOUGH:  # else it is no full disk, but a limit of SQLite's own
            self.full = True
            ballast.release(self._home)

    def _make_room(self, db: apsw.Connection) -> None:
        with suppress(apsw.FullError):  # not even room to make room: it is the disk's owner's turn
            shrink(db)
        self.checkpoint(db, "truncate")

    def _told_of_pages(self, db: apsw.Connection, name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK


def shrink(db: apsw.Connection, pages: int = SHRINK_PAGES) -> None:
    """Takes up to so many free pages off the end of the file, which gives them back with the next checkpoint."""
    run(db, f"PRAGMA incremental_vacuum({pages:d})")


def optimize(db: apsw.Connection, *, opened: bool = False) -> None:
    """Brings the query planner's figures up to date; `opened` for the first time on a connection."""
    run(db, "PRAGMA optimize = 0x10002" if opened else "PRAGMA optimize")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
