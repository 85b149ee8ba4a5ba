"""Many units of work, one COMMIT: the writer's thread.

One job's failure is its own: then the group is begun anew, with a savepoint for each. Not before, since below a
savepoint SQLite walks through all pages that were changed since, at the end of every statement that may fail in its
middle. All are durable with the one COMMIT, and answered after it. What a failed COMMIT has left is not guessed: see
`resolve`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import outcome
import trio

from mimo.storage.answers import Key, answer_to, keep_answer
from mimo.storage.sql import run
from mimo.storage.translate import translation


class Job:
    """One unit of work on its way through the writer."""

    __slots__ = ("args", "done", "frees", "kept", "key", "result", "withdrawn", "work")

    def __init__(
        self, work: Callable[..., Any], args: tuple[Any, ...], key: Key | None = None, frees: bool = False
    ) -> None:
        self.work = work
        self.args = args
        self.key = key
        self.frees = frees  # makes room, so it may use the last of it
        self.kept = False  # its answer is new, and part of this transaction
        self.withdrawn = False  # its caller left before it was accepted
        self.result: outcome.Outcome[Any] | None = None
        self.done = trio.Event()

    def reset(self) -> None:
        self.result, self.kept = None, False

    def fail(self, error: BaseException) -> None:
        self.result, self.kept = outcome.Error(error), False


class CommitFailed(Exception):
    """COMMIT said no, for the reason in `__cause__`. Whether `jobs` are durable is to be found out."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(f"COMMIT of {len(jobs)} jobs failed")
        self.jobs = jobs


def commit_group(db: apsw.Connection, jobs: Sequence[Job]) -> None:
    """Runs the jobs in one transaction and gives each its result, which counts only if this returns.

    Raises:
        CommitFailed: nothing is known of the group but by `resolve`.
        apsw.Error: the group could not begin, or the transaction was lost on the way. Nothing was written.
    """
    run(db, "BEGIN IMMEDIATE")
    try:
        if not _all_well(db, jobs):
            run(db, "ROLLBACK")
            if len(jobs) == 1:
                return
            run(db, "BEGIN IMMEDIATE")
            for job in jobs:
                job.reset()
                _run_apart(db, job)
        try:
            run(db, "COMMIT")
        except apsw.Error as error:
            raise CommitFailed(jobs) from error
    except BaseException:
        if db.in_transaction:
            run(db, "ROLLBACK")
        raise


def resolve(db: apsw.Connection, jobs: Sequence[Job], error: BaseException) -> bool:
    """Whether the group of a failed COMMIT is durable; gives its jobs `error` if not.

    One new key that is there proves the whole group. A group without any new key cannot be resolved and is
    told that it failed: what must never be done twice carries a key.
    """
    key = next((job.key for job in jobs if job.kept), None)
    if key is not None and answer_to(db, key) is not None:
        return True
    fail_all(jobs, error)
    return False


def fail_all(jobs: Sequence[Job], error: BaseException) -> None:
    """Gives `error` to every job that has not failed by itself."""
    for job in jobs:
        if not isinstance(job.result, outcome.Error):
            job.fail(error)


def _all_well(db: apsw.Connection, jobs: Sequence[Job]) -> bool:
    """Runs the jobs until one fails. Raises only what ends the whole group."""
    for job in jobs:
        _run(db, job)
        if isinstance(job.result, outcome.Error):
            return False
    return True


def _run_apart(db: apsw.Connection, job: Job) -> None:
    """In a savepoint of its own: what it did can be undone without what the others did."""
    run(db, "SAVEPOINT job")
    _run(db, job)
    if isinstance(job.result, outcome.Error):
        run(db, "ROLLBACK TO job")
    run(db, "RELEASE job")


def _run(db: apsw.Connection, job: Job) -> None:
    try:
        job.result = outcome.Value(_answer(db, job))
    except Exception as error:
        if not db.in_transaction:
            raise  # SQLite has rolled everything back: a full disk, an I/O error, no memory
        job.fail(translation(error, db.filename) or error)


def _answer(db: apsw.Connection, job: Job) -> Any:
    if job.key is None:
        return job.work(db, *job.args)
    if (before := answer_to(db, job.key)) is not None:
        return before.result
    answer = keep_answer(db, job.key, job.work(db, *job.args))
    job.kept = True
    return answer
