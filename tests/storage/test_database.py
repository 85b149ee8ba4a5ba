"""One writer in groups, a few readers, and what a caller may rely on."""

from __future__ import annotations

import stat
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from mimo.errors import Busy, Conflict, InvalidArguments, TooSlow, Unavailable
from mimo.home import Home
from mimo.storage import database as database_module
from mimo.storage import opened as opened_module
from mimo.storage.answers import Key
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.group import Job
from mimo.storage.migrate import Migration
from mimo.storage.writer import Committed

FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def add(db: apsw.Connection, body: str) -> int:
    db.execute("INSERT INTO note (body) VALUES (?)", (body,)).fetchall()
    return db.last_insert_rowid()


def bodies(db: apsw.Connection) -> list[Any]:
    return [body for (body,) in db.execute("SELECT body FROM note ORDER BY id")]


async def test_a_reader_sees_what_was_answered(database: Database) -> None:
    assert await database.write(add, "one") == 1
    assert await database.read(bodies) == ["one"]


async def test_the_same_key_gives_the_first_answer_and_no_second_effect(database: Database) -> None:
    def add_pair(db: apsw.Connection, body: str) -> tuple[int, str]:
        return add(db, body), body

    first: Any = await database.write(add_pair, "one", key="k")
    assert first == [1, "one"], "the first answer is already what later ones will be"
    assert await database.write(add_pair, "two", key="k") == first
    assert await database.read(bodies) == ["one"]
    answered = await database.outcome("k")
    assert answered is not None
    assert answered.result == first
    assert await database.outcome("never used") is None


async def test_a_key_that_was_used_for_something_else_is_refused(database: Database) -> None:
    one, other = Key.of("k", "add", {"body": "one", "at": 1}), Key.of("k", "add", {"body": "two", "at": 1})
    assert await database.write(add, "one", key=one) == 1
    assert await database.write(add, "again", key=Key.of("k", "add", {"at": 1, "body": "one"})) == 1
    with pytest.raises(Conflict, match="key 'k' was used for something else"):
        await database.write(add, "two", key=other)
    with pytest.raises(Conflict, match="key 'k' was used for something else"):
        await database.outcome(other)
    assert await database.read(bodies) == ["one"]
    for asked_by_name_alone in (await database.outcome("k"), await database.outcome(one)):
        assert asked_by_name_alone is not None
        assert asked_by_name_alone.result == 1


async def test_one_key_used_by_many_at_once_has_one_effect(database: Database) -> None:
    results: list[int] = []

    async def write(body: str) -> None:
        results.append(await database.write(add, body, key="k"))

    async with trio.open_nursery() as nursery:
        for n in range(100):
            nursery.start_soon(write, f"note {n}")
    assert results == [1] * 100
    assert len(await database.read(bodies)) == 1


@pytest.mark.parametrize("key", ["", "k" * 201, "a\nb", "\ud800", "\0"])
async def test_a_key_that_cannot_be_kept_is_refused(database: Database, key: str) -> None:
    with pytest.raises(InvalidArguments, match="key"):
        await database.write(add, "one", key=key)
    assert await database.read(bodies) == []


async def test_an_answer_that_is_not_json_undoes_its_write(database: Database) -> None:
    def add_bytes(db: apsw.Connection) -> bytes:
        add(db, "one")
        return b"bytes"

    with pytest.raises(TypeError, match="JSON"):
        await database.write(add_bytes, key="k")
    assert await database.read(bodies) == []


async def test_the_failure_of_one_is_not_the_failure_of_its_group(database: Database) -> None:
    failed: list[str] = []

    async def write(body: str) -> None:
        try:
            await database.write(add, body)
        except apsw.ConstraintError:
            failed.append(body)

    groups = database.stats().groups
    async with trio.open_nursery() as nursery:
        for body in ["a", "bad", "b"]:
            nursery.start_soon(write, body)
    assert failed == ["bad"]
    assert sorted(await database.read(bodies)) == ["a", "b"]
    assert database.stats().groups - groups < 3
    assert database.stats().failed_writes == 1


async def test_what_raises_has_changed_nothing(database: Database) -> None:
    def add_and_raise(db: apsw.Connection) -> None:
        add(db, "half")
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.write(add_and_raise, key="k")
    assert await database.read(bodies) == []
    assert await database.outcome("k") is None


async def test_what_exists_already_is_a_conflict(database: Database) -> None:
    await database.write(add, "one")
    with pytest.raises(Conflict, match="exists"):
        await database.write(add, "one")


async def test_a_reference_to_nothing_is_refused(database: Database) -> None:
    with pytest.raises(apsw.ConstraintError):
        await database.write(lambda db: db.execute("INSERT INTO reply (note) VALUES (7)").fetchall())


async def test_many_writers_share_one_commit(database: Database) -> None:
    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(database.write, add, f"note {n}")
    stats = database.stats()
    assert stats.writes == 200
    assert stats.groups < 50
    assert stats.last_seq == 200
    assert stats.last_commit_seconds > 0
    assert stats.wal_bytes > 0


async def test_a_reader_reads_one_snapshot(database: Database) -> None:
    await database.write(add, "one")
    trio_token = trio.lowlevel.current_trio_token()

    def read_twice(db: apsw.Connection) -> tuple[list[Any], list[Any]]:
        before = bodies(db)
        trio.from_thread.run(database.write, add, "two", trio_token=trio_token)
        return before, bodies(db)

    assert await database.read(read_twice) == (["one"], ["one"])
    assert await database.read(bodies) == ["one", "two"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.read(add, "one")


async def test_a_runaway_query_gives_control_back_and_leaves_the_reader_usable(database: Database) -> None:
    for _ in range(5):  # more often than there are readers
        with trio.move_on_after(0.02) as scope:
            await database.read(lambda db: db.execute(FOR_EVER).get)
        assert scope.cancelled_caught
    with trio.fail_after(5):
        assert await database.read(bodies) == []


async def test_a_reader_has_its_time(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "READ_SECONDS", 0.02)
    database = Database(home, migrations=notes)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        with pytest.raises(TooSlow, match="ask for less"):
            await database.read(lambda db: db.execute(FOR_EVER).get)
        assert await database.read(bodies) == []
        nursery.cancel_scope.cancel()


async def test_more_readers_than_there_are_wait_their_turn(database: Database) -> None:
    await database.write(add, "one")
    seen: list[Any] = []

    async def read() -> None:
        seen.extend(await database.read(bodies))

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(read)
    assert seen == ["one"] * 30
    assert database.stats().idle_readers == 3
    assert database.stats().reads == 30


async def test_a_closed_database_says_so_and_can_be_run_again(home: Home, notes: list[Migration]) -> None:
    database = Database(home, migrations=notes)
    for attempt in range(3):
        for use in (database.write, database.read):
            with pytest.raises(Unavailable, match="try again"):
                await use(bodies)
        with pytest.raises(Unavailable):
            await database.pulse()
        assert not database.stats().open
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            await database.write(add, f"note {attempt}")
            nursery.cancel_scope.cancel()
    assert not await trio.Path(home.database + "-wal").exists(), "the last one out empties the log"


async def test_a_running_database_is_not_run_twice(database: Database) -> None:
    with pytest.raises(RuntimeError, match="running"):
        await database.run()
    await database.pulse()


async def test_at_the_end_the_accepted_are_answered_and_the_waiting_are_told(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_module, "MAX_GROUP", 2)
    database = Database(home, migrations=notes)
    done: list[str] = []
    told: list[str] = []

    async def write(body: str) -> None:
        try:
            await database.write(add, body)
            done.append(body)
        except Unavailable:
            told.append(body)

    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        await nursery.start(database.run)
        for n in range(9):
            callers.start_soon(write, f"note {n}")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(done) + len(told) == 9
    assert told
    db = open_connection(home.database)
    assert sorted(bodies(db)) == sorted(done)
    db.close()


async def test_a_full_queue_is_waited_at_and_told_of_the_end(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_module, "MAX_WAITING", 0)
    monkeypatch.setattr(opened_module, "MAX_GROUP", 1)
    database = Database(home, migrations=notes)
    outcomes: list[bool] = []

    async def write(body: str) -> None:
        try:
            await database.write(add, body)
            outcomes.append(True)
        except Unavailable:
            outcomes.append(False)

    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        await nursery.start(database.run)
        for n in range(20):
            callers.start_soon(write, f"note {n}")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(outcomes) == 20
    assert not all(outcomes)


async def test_who_follows_the_changes_is_woken(database: Database) -> None:
    seen: list[int] = []

    async def follow() -> None:
        seen.append(await database.changed.wait(0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        await database.write(bodies)  # changes nothing
        assert seen == []
        await database.write(add, "one")
    assert seen == [1]


async def test_each_group_is_told_to_who_measures(home: Home, notes: list[Migration]) -> None:
    told: list[Committed] = []
    database = Database(home, migrations=notes, on_commit=told.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await database.write(add, "one")
        nursery.cancel_scope.cancel()
    assert [(each.jobs, each.failed, each.last_seq) for each in told] == [(1, 0, 1)]


async def test_an_idle_writer_empties_the_log(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "IDLE_SECONDS", 0.01)
    database = Database(home, migrations=notes)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await database.write(add, "one")
        with trio.fail_after(5):
            while database.stats().wal_bytes:
                await database.pulse()
        nursery.cancel_scope.cancel()


async def test_a_long_log_is_copied_into_the_file(database: Database) -> None:
    for n in range(0, 400, 64):
        async with trio.open_nursery() as nursery:
            for m in range(64):
                nursery.start_soon(database.write, add, f"{n} {m} " + "long " * 4_000)
    assert database.stats().wal_bytes < 16 << 20
    assert database.stats().file_bytes > 4 << 20


async def test_a_checkpoint_leaves_nothing_of_what_was_deleted(database: Database, home: Home) -> None:
    await database.write(add, "the word is abracadabra")
    await database.write(lambda db: db.execute("DELETE FROM note").fetchall())
    await database.write(
        lambda db: db.execute("INSERT INTO note_words (note_words) VALUES ('optimize')").fetchall()
    )
    assert await database.checkpoint()
    for name in (home.database, home.database + "-wal"):
        assert b"abracadabra" not in (await trio.Path(name).read_bytes())


async def test_the_pulse_comes_back(database: Database) -> None:
    await database.pulse()


async def test_somebody_else_at_the_file_is_busy_and_no_damage(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo.storage.connection.EVERY", "PRAGMA busy_timeout = 10;")
    database = Database(home, migrations=notes)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        other = open_connection(home.database)
        other.execute("BEGIN IMMEDIATE").fetchall()
        with pytest.raises(Busy, match="in use"):
            await database.write(add, "one")
        other.execute("ROLLBACK").fetchall()
        other.close()
        assert await database.write(add, "one") == 1
        nursery.cancel_scope.cancel()


async def test_its_files_are_private(database: Database, home: Home) -> None:
    await database.write(add, "one")
    assert stat.S_IMODE((await trio.Path(home).stat()).st_mode) == 0o700
    for path in await trio.Path(home).iterdir():
        mode = stat.S_IMODE((await path.stat()).st_mode)
        assert mode == (0o700 if await path.is_dir() else 0o600), path


def test_a_job_says_nothing_before_it_ran() -> None:
    assert Job(bodies, ()).result is None


async def test_every_connection_has_its_settings(database: Database) -> None:
    def settings(db: apsw.Connection) -> list[Any]:
        names = [
            "journal_mode",
            "synchronous",
            "busy_timeout",
            "foreign_keys",
            "trusted_schema",
            "cell_size_check",
        ]
        return [db.execute(f"PRAGMA {name}").get for name in names] + [
            db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1),
            db.config(apsw.SQLITE_DBCONFIG_DQS_DML, -1),
            db.limit(apsw.SQLITE_LIMIT_LENGTH),
        ]

    expected = ["wal", 2, 5000, 1, 0, 1, 1, 0, 64 << 20]
    assert await database.chore(settings) == expected
    assert await database.read(settings) == expected
    assert await database.chore(lambda db: db.execute("PRAGMA secure_delete").get) == 1
    assert await database.chore(lambda db: db.execute("PRAGMA wal_autocheckpoint").get) == 0


async def test_a_value_that_is_too_large_is_refused(database: Database) -> None:
    with pytest.raises(InvalidArguments, match="64 MB"):
        await database.write(lambda db: db.execute("SELECT zeroblob(70000000)").fetchall())
