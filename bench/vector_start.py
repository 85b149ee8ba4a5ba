"""For bench_vectors.py: how long meaning takes to answer after a start over a real file, and what codes weigh.

    python bench/vector_start.py ROWS [--lean] [--times 3]

Each start is a process of its own, with what the house has there: the database, and the child that reads all
vectors and follows the changes. Someone else asks the database meanwhile. Beside it stands what it costs this
machine to lend the memory and take it back, which is part of the figure.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import hashlib
import json
import mmap
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import trio

sys.path.append(str(Path(__file__).parent.parent))  # unless it is installed
from vector_peers import Graph, K, kept, made

from mimo.embedding.cache import Cache
from mimo.embedding.embedder import State
from mimo.home import Home
from mimo.services.memory.meaning import Meaning
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import blobs_of
from mimo.vector import Fetch, Segment, Segments, Space, Visit, to_blob

DIM = 384


class Silent:
    """The model whose vectors these are. Nobody asks it anything."""

    model, dim, state = "bench", DIM, State.READY

    async def embed(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError


def visits(database: Database) -> Callable[[Space], Visit]:
    def of(space: Space) -> Visit:
        async def visit(work: Callable[[Fetch], Any]) -> Any:
            return await database.read(lambda db: work(lambda ids: blobs_of(db, space.model, ids)))

        return visit

    return of


async def opened(home: Home) -> None:
    database = Database(home)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        nursery.cancel_scope.cancel()


def fill(home: Home, rows: Any) -> None:
    """A memory for each row, its id one more than its place. Memories that differ in nothing but their numbers and vectors; the words' index is left out, and so is fsync."""
    trio.run(opened, home)
    db = apsw.Connection(home.database)
    db.execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("INSERT INTO namespaces (name, created_at) VALUES ('a', 0), ('b', 0)")
    db.execute("INSERT INTO embedding_models (name, dim) VALUES ('bench', ?)", (DIM,))
    with db:
        db.executemany(
            "INSERT INTO engrams (id, namespace, state_since, content, content_hash, created_at, stored_at,"
            " changed_at, accessed_at) VALUES (?, ?, 0, ?, ?, 0, 0, 0, 0)",
            (
                (i, "ab"[i % 2], f"what is remembered under {i}", hashlib.sha256(b"%d" % i).digest())
                for i in range(1, len(rows) + 1)
            ),
        )
        db.executemany(
            "INSERT INTO engram_vectors (engram_id, model, dim, vector) VALUES (?, 1, ?, ?)",
            ((i + 1, DIM, to_blob(row)) for i, row in enumerate(rows)),
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines() if sys.platform == "linux" else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), float("nan"))


def lent(size: int) -> float:
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    before = time.process_time()
    np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1
    return time.process_time() - before


async def start(home: Home, lean: bool) -> dict[str, float]:
    """One start. `ready` is when meaning answers; the look at its recall comes behind."""

    database, slowest = Database(home), 0.0
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        meaning = Meaning(database, Segments(visits=visits(database) if lean else None), Cache(), Silent())
        before = resident()
        wall, processor = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as living:
            await living.start(meaning.run)
            while meaning.near() is None:
                asked = time.perf_counter()
                await database.read(
                    lambda db: db.execute("SELECT content FROM engrams WHERE id = 7").fetchall()
                )
                slowest = max(slowest, time.perf_counter() - asked)
                await trio.sleep(0.005)
            figures = {
                "ready, seconds": time.perf_counter() - wall,
                "ready, processor seconds": time.process_time() - processor,
                "another's slowest question meanwhile, ms": slowest * 1e3,
                "resident before, MB": before,
                "resident, MB": resident(),
            }
            living.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    return figures


def lean_search(rows: Any, folder: Path, clock: Callable[[], float]) -> Graph:
    """A lean segment over a file, asked from outside its loop. Building is reading codes from the file."""
    file, *_ = kept(folder, "lean", rows, clock, lambda file: fill(Home(file), rows))
    ready = queue.SimpleQueue[tuple[Segment, trio.lowlevel.TrioToken, float]]()
    threading.Thread(target=trio.run, args=(live, Home(file), ready), daemon=True).start()
    segment, token, seconds = ready.get()

    def search(query: Any) -> list[int]:
        found = trio.from_thread.run(segment.nearest, query, K, trio_token=token)
        return [near.id - 1 for near in found]

    return Graph(search, seconds, segment.stats()["bytes"] / 1e6)


async def live(home: Home, ready: queue.SimpleQueue[Any]) -> None:
    """For as long as the process lives; one thread searches."""
    database = Database(home)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        meaning = Meaning(database, Segments(threads=1, visits=visits(database)), Cache(), Silent())
        began = time.perf_counter()
        await nursery.start(meaning.run)
        while (segment := meaning.near()) is None:  # noqa: ASYNC110  meaning tells nobody
            # Who asks all the time has the GIL that the reading thread wants.
            await trio.sleep(0.005)
        ready.put((segment, trio.lowlevel.current_trio_token(), time.perf_counter() - began))


def starts(n: int, times: int = 3, lean: bool = False) -> dict[str, float]:
    """Medians over so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(os.path.join(folder, "home"))
        fill(home, made("clustered", n, DIM))
        told: list[dict[str, float]] = []
        for _ in range(times):
            command = [sys.executable, __file__, str(n), "--in", home, *["--lean"][: int(lean)]]
            told.append(
                json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            )
    return {name: statistics.median(one[name] for one in told) for name in told[0]}


LEAN = """
import numpy, mimo_core
index = mimo_core.VectorIndex(384, ("bits",))
random = numpy.random.default_rng(0)
for at in range(0, {n}, 4096):
    m = min(4096, {n} - at)
    index.add(numpy.arange(at, at + m), random.standard_normal((m, 384), numpy.float32))
print([int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")][0] / 1024)
"""


def lean_megabytes(n: int) -> float:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    out = subprocess.run(
        [sys.executable, "-c", LEAN.format(n=n)], capture_output=True, text=True, check=True, env=environment
    )
    return float(out.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int)
    parser.add_argument("--lean", action="store_true")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--in", dest="home", type=Path, help="an own start over what is there already")
    given = parser.parse_args()
    if given.home is None:
        told = starts(given.rows, given.times, given.lean)
    else:
        told = trio.run(start, Home(str(given.home)), given.lean)
        told["lending as much memory, processor seconds"] = lent(
            max(mmap.PAGESIZE, given.rows * DIM * (1 if given.lean else 25) // 8)
        )
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
