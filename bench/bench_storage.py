"""Group commit against one commit each; readers meanwhile; a unit of work's price in CPU. Peers run in turns, in one run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from typing import Any

import apsw
import trio

import mimo.storage.opened as opened
from mimo.home import Home
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.migrate import Migration, migrations_in

WRITERS = 64
ROWS = Migration(
    2,
    "rows",
    """
    CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT NOT NULL, vector BLOB NOT NULL) STRICT;
    CREATE VIRTUAL TABLE row_words USING fts5(body, content = 'row', content_rowid = 'id');
    CREATE TRIGGER row_added AFTER INSERT ON row BEGIN
        INSERT INTO row_words (rowid, body) VALUES (new.id, new.body);
        INSERT INTO change (kind, id, op) VALUES ('row', new.id, 'add');
    END;
    """,
)
BODY = ("what an agent said about the build, the tests and the weather " * 5)[:300]
VECTOR = os.urandom(768)  # 384 half floats


def add(db: apsw.Connection) -> int:
    db.execute("INSERT INTO row (body, vector) VALUES (?, ?)", (BODY, VECTOR)).fetchall()
    return db.last_insert_rowid()


def find(db: apsw.Connection, number: int) -> Any:
    return db.execute("SELECT body FROM row WHERE id = ?", (number,)).get


async def writing(group: int, seconds: float) -> dict[str, float]:
    """64 writers for a while, a reader beside them; `group` jobs share a COMMIT at most."""
    opened.MAX_GROUP = group
    reads: list[float] = []
    acks: list[float] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("MIMO_BENCH_DIR")) as directory:
        database = Database(Home(os.path.join(directory, "home")), migrations=[migrations_in()[0], ROWS])
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            await database.write(add)
            began = time.perf_counter()
            until = began + seconds

            async def writer(name: int) -> None:
                turn = 0
                while time.perf_counter() < until:
                    at = time.perf_counter()
                    await database.write(add, key=f"{name}-{turn}")
                    acks.append(time.perf_counter() - at)
                    turn += 1

            async def reader() -> None:
                number = 1
                while time.perf_counter() < until:
                    at = time.perf_counter()
                    await database.read(find, number)
                    reads.append(time.perf_counter() - at)
                    number = number % max(len(acks), 1) + 1
                    await trio.sleep(0.001)

            async with trio.open_nursery() as work:
                for name in range(WRITERS):
                    work.start_soon(writer, name)
                work.start_soon(reader)
                work.start_soon(reader)
            took = time.perf_counter() - began
            stats = database.stats()
            nursery.cancel_scope.cancel()
    return {
        "rows_per_second": len(acks) / took,
        "jobs_per_group": stats.writes / stats.groups,
        "ack_p50_ms": percentile(acks, 50),
        "ack_p99_ms": percentile(acks, 99),
        "read_p50_ms": percentile(reads, 50),
        "read_p99_ms": percentile(reads, 99),
        "reads": len(reads),
        "wal_bytes": stats.wal_bytes,
    }


async def unit_of_work(rounds: int, each: int) -> dict[str, Any]:
    """CPU microseconds of a point query: through the reader, and through `trio.to_thread.run_sync`."""
    ours: list[float] = []
    threads: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        home = Home(os.path.join(directory, "home"))
        database = Database(home, migrations=[migrations_in()[0], ROWS])
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            await database.write(add)
            db = open_connection(home.database, readonly=True)
            limiter = trio.CapacityLimiter(3)
            for _ in range(rounds):
                began = time.process_time()
                for _ in range(each):
                    await database.read(find, 1)
                ours.append((time.process_time() - began) / each * 1e6)
                began = time.process_time()
                for _ in range(each):
                    await trio.to_thread.run_sync(in_snapshot, db, limiter=limiter)
                threads.append((time.process_time() - began) / each * 1e6)
            db.close()
            nursery.cancel_scope.cancel()
    return {
        "reader_us": statistics.median(ours),
        "to_thread_us": statistics.median(threads),
        "ratio": statistics.median(t / o for t, o in zip(threads, ours, strict=True)),
        "ratios": [round(t / o, 2) for t, o in zip(threads, ours, strict=True)],
    }


def in_snapshot(db: apsw.Connection) -> Any:
    """The peer does what the reader does: one snapshot around the query."""
    db.execute("BEGIN").fetchall()
    try:
        return find(db, 1)
    finally:
        db.execute("ROLLBACK").fetchall()


def percentile(seconds: list[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1000


async def main(rounds: int, seconds: float) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {"grouped": [], "alone": []}
    for _ in range(rounds):
        runs["grouped"].append(await writing(64, seconds))
        runs["alone"].append(await writing(1, seconds))
    ratios = [
        g["rows_per_second"] / a["rows_per_second"]
        for g, a in zip(runs["grouped"], runs["alone"], strict=True)
    ]
    told: dict[str, Any] = {
        name: {figure: statistics.median(run[figure] for run in each) for figure in each[0]}
        for name, each in runs.items()
    }
    told["ratio"] = statistics.median(ratios)
    told["ratios"] = [round(ratio, 1) for ratio in ratios]
    told["unit"] = await unit_of_work(rounds, 2_000)
    return told


def table(told: dict[str, Any]) -> str:
    lines = [
        f"{WRITERS} writers, synchronous=FULL, a key each, answered after COMMIT",
        f"{'':<18}{'grouped':>12}{'alone':>12}",
    ]
    lines += [
        f"{figure:<18}{told['grouped'][figure]:>12,.2f}{told['alone'][figure]:>12,.2f}"
        for figure in told["grouped"]
    ]
    lines.append(f"grouped / alone: {told['ratio']:.1f} times the rows per second (runs: {told['ratios']})")
    unit = told["unit"]
    lines.append(
        f"a unit of work: reader {unit['reader_us']:.0f} µs of CPU, to_thread.run_sync {unit['to_thread_us']:.0f} µs, "
        f"{unit['ratio']:.2f} times as much (runs: {unit['ratios']})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = trio.run(main, given.rounds, given.seconds)
    print(json.dumps(result, indent=2) if given.json else table(result))
