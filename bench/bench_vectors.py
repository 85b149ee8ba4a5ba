"""Claims of speed about vector search, each beside its peers in the same run.

    python bench/bench_vectors.py [--quick] [--json] [--vectors FILE.npy] [--data random|clustered]
                                  [--sizes 1000,10000] [--graphs] [--keep FOLDER] [--queries 40]
                                  [--clock wall|cpu]

Every method of a table runs in one process on one thread, round-robin over the same questions, so
that noise hits all of them; printed are medians, the 10th and 90th percentile, the ratio to NumPy and
the recall against a full scan. Peers that are not installed are named. FILE.npy holds float32 rows,
such as embeddings of real text; without it vectors are made, and which is said.
"""

# ruff: noqa: E402  how many threads BLAS may start is settled before it is loaded

from __future__ import annotations

import os

for _name in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

import argparse
import json
import mmap
import platform
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))  # unless it is installed
from vector_peers import (
    Graph,
    K,
    Search,
    faiss_index,
    hnswlib_graph,
    in_numpy,
    made,
    pure_python,
    sqlite_vec,
    usearch_exact,
    usearch_graph,
)
from vector_start import lean_megabytes, lean_search, starts

import mimo_core
from mimo_core._numpy_index import VectorIndex as Twin

# On a machine that others use, the processor time of the thread is the truer figure: --clock cpu.
clock = time.perf_counter


# Real texts come twice: whatever is as near as the tenth is right, whichever of the two it is. Sums in another order
# differ by less than this.
EQUAL = 1e-6


@dataclass
class Figure:
    n: int
    method: str
    milliseconds: float
    low: float
    high: float
    times_numpy: float
    recall: float
    build_seconds: float
    megabytes: float | None  # of a graph's file, or of codes in memory


LAST: dict[Any, Any] = {}  # the indexes of this table: plans share one


def ours(rows: Any, kind: Any, tiers: Any, **options: Any) -> Search:
    index = LAST.get((kind, tiers))
    if index is None:
        index = LAST[kind, tiers] = kind(rows.shape[1], tiers)
        ids = np.arange(len(rows))
        for at in range(0, len(rows), 50_000):
            index.add(ids[at : at + 50_000], rows[at : at + 50_000])
    return lambda query: index.search(query, K, **options)[0]


def methods(n: int, graphs: Path | None) -> dict[str, Callable[[Any], Search]]:
    index, three = mimo_core.VectorIndex, ("bits", "int8", "f16")
    every: dict[str, Callable[[Any], Search]] = {
        "numpy": in_numpy,
        "mimo top_k f32": lambda rows: lambda query: mimo_core.top_k(query, rows, K)[0],
        "mimo exact f32": lambda rows: ours(rows, index, ("f32",)),
        "mimo exact f16": lambda rows: ours(rows, index, ("f16",)),
        "mimo int8 + f16": lambda rows: ours(rows, index, three, plan="int8"),
        "mimo bits 400 + f16": lambda rows: ours(rows, index, three, plan="bits", rescore=400),
        "mimo bits 800 + f16": lambda rows: ours(rows, index, three, plan="bits"),
        "mimo bits 1600 + f16": lambda rows: ours(rows, index, three, plan="bits", rescore=1600),
        "faiss Flat": lambda rows: faiss_index(rows, "Flat"),
        "faiss SQ8": lambda rows: faiss_index(rows, "SQ8"),
        "faiss RaBitQFastScan 100": lambda rows: faiss_index(rows, "RaBitQFastScan", 100),
        "usearch exact": usearch_exact,
    }
    if n <= 100_000:
        every["mimo twin bits 800"] = lambda rows: ours(rows, Twin, three, plan="bits")
        every["sqlite-vec"] = sqlite_vec
    if n <= 1_000:
        every["pure python"] = pure_python
    if graphs:
        every["mimo lean, from SQLite"] = lambda rows: lean_search(rows, graphs, clock)
        every["hnswlib ef=128"] = lambda rows: hnswlib_graph(rows, graphs, clock)
        every["usearch HNSW bf16 ef=128"] = lambda rows: usearch_graph(rows, graphs, clock, 128)
        every["usearch HNSW bf16 ef=256"] = lambda rows: usearch_graph(rows, graphs, clock, 256)
    return every


def table(rows: Any, queries: Any, graphs: Path | None, seconds: float, absent: set[str]) -> list[Figure]:
    n, built, spent, weights = len(rows), dict[str, Search](), dict[str, float](), dict[str, float]()
    LAST.clear()
    for name, build in methods(n, graphs).items():
        start = clock()
        try:
            built[name] = build(rows)
            built[name](queries[0])
        except (ImportError, AttributeError) as error:
            absent.add(f"{name} ({error})")
            built.pop(name, None)
            continue
        spent[name] = clock() - start
        if isinstance(graph := built[name], Graph):
            spent[name], weights[name] = graph.seconds, graph.megabytes
    tenth = [float(np.partition(rows @ query, n - K)[n - K]) for query in queries]
    times: dict[str, list[float]] = {name: [] for name in built}
    hits: dict[str, list[float]] = {name: [] for name in built}
    end = time.perf_counter() + seconds
    for turn in range(4000):
        if turn >= len(queries) and time.perf_counter() > end:
            break
        at = turn % len(queries)
        for name, search in built.items():
            search(queries[at - 1])  # the method before has filled the cache with its own
            start = clock()
            found = search(queries[at])
            times[name].append(clock() - start)
            if turn < len(queries):
                near = rows[np.unique(np.asarray(found, np.int64))] @ queries[at]
                hits[name].append(float(np.count_nonzero(near >= tenth[at] - EQUAL)) / K)
    base = float(np.median(times["numpy"]))
    figures: list[Figure] = []
    for name, taken in times.items():
        low, middle, high = (float(v) for v in np.percentile(taken, [10, 50, 90]))
        figures.append(
            Figure(
                n,
                name,
                middle * 1e3,
                low * 1e3,
                high * 1e3,
                base / middle,
                float(np.mean(hits[name])),
                spent[name],
                weights.get(name),
            )
        )
    return figures


def bandwidth(rows: Any, query: Any) -> dict[str, float]:
    """Gigabytes a second: the fastest plain reading that NumPy does, and our exact scan, alternating."""
    flat = rows.reshape(-1).view(np.int32)
    readers: dict[str, Callable[[], Any]] = {
        "read by sum": lambda: rows.sum(),
        "read by max": lambda: flat.max(),
        "read by or": lambda: np.bitwise_or.reduce(flat),
        "top_k": lambda: mimo_core.top_k(query, rows, K),
    }
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(15):
        for name, read in readers.items():
            start = clock()
            read()
            taken[name].append(clock() - start)
    speed = {name: rows.nbytes / 1e9 / float(np.median(t)) for name, t in taken.items()}
    speed["top_k / fastest read"] = speed["top_k"] / max(v for name, v in speed.items() if name != "top_k")
    return speed


def median_ms(work: Callable[[int], Any], times: int, now: Callable[[], float] | None = None) -> float:
    now = now or clock
    taken: list[float] = []
    for turn in range(times):
        start = now()
        work(turn)
        taken.append(now() - start)
    return float(np.median(taken)) * 1e3


def life(rows: Any, queries: Any) -> dict[str, float]:
    """Building, inserting, filters, and searches beside a writer."""
    n, figures = len(rows), dict[str, float]()
    index = mimo_core.VectorIndex(rows.shape[1])
    ids = np.arange(n)
    figures["lending as much memory before it, seconds"] = lent(25 * rows.size // 8)
    start = clock()
    for at in range(0, n, 50_000):
        index.add(ids[at : at + 50_000], rows[at : at + 50_000], ids[at : at + 50_000] % 100)
    figures["build, seconds"] = clock() - start
    codes = mimo_core.VectorIndex(rows.shape[1], ("bits",))
    start = clock()
    for at in range(0, n, 50_000):
        codes.add(ids[at : at + 50_000], rows[at : at + 50_000])
    figures["build of codes alone, seconds"] = clock() - start
    del codes
    fresh = [(np.array([n + at]), rows[at % n][None]) for at in range(2000)]
    figures["insert one row, us"] = median_ms(lambda turn: index.add(*fresh[turn]), 2000) * 1e3
    index.remove(np.arange(n, n + 2000))
    hits: list[float] = []
    allowed = np.random.default_rng(2).permutation(n)[: n // 100]
    for query in queries:
        for options, chosen in (({"groups": [7]}, ids[7::100]), ({"allowed": allowed}, allowed)):
            scores = rows[chosen] @ query
            best = set(chosen[np.argsort(-scores)[:K]].tolist())
            hits.append(len(best & set(index.search(query, K, **options)[0].tolist())) / len(best))
    figures["1 % filter by group, ms"] = median_ms(
        lambda t: index.search(queries[t % len(queries)], K, groups=[7]), 100
    )
    figures["1 % filter by ids, ms"] = median_ms(
        lambda t: index.search(queries[t % len(queries)], K, allowed=allowed), 100
    )
    figures["1 % filter, recall"] = float(np.mean(hits))
    figures["all rows, two threads, ms of the wall"] = median_ms(
        lambda t: index.search(queries[t % len(queries)], K, threads=2), 100, time.perf_counter
    )
    figures["all rows, ms"] = median_ms(lambda t: index.search(queries[t % len(queries)], K), 100)

    scan, copy = in_numpy(rows), np.empty((500, rows.shape[1]), np.float32)
    loads: dict[str, tuple[Search, Callable[[int], object]]] = {
        "mimo": (
            lambda query: index.search(query, K),
            lambda turn: index.replace([n + turn % 500], rows[turn % n][None]),
        ),
        "numpy": (scan, lambda turn: np.copyto(copy[turn % 500], rows[turn % n])),
    }
    for name, (search, write) in loads.items():
        figures |= beside_a_writer(name, search, write, queries)
    return figures


def beside_a_writer(
    name: str, search: Search, write: Callable[[int], object], queries: Any, seconds: float = 2.0
) -> dict[str, float]:
    """How long a search takes alone, and beside a second one and a hundred changes a second.

    A wait for a lock shows in the time of the wall only; so does every other program on the machine, and
    that three threads share fewer cores. Therefore the tail of one thread alone stands beside it, and the
    same load on NumPy, whose scan and copy take no lock of ours.
    """

    def searching(done: threading.Event, taken: list[float], spent: list[float]) -> None:
        turn = 0
        while not done.is_set():
            start, before = time.perf_counter(), time.thread_time()
            search(queries[turn % len(queries)])
            spent.append((time.thread_time() - before) * 1e3)
            taken.append((time.perf_counter() - start) * 1e3)
            turn += 1

    def writing(done: threading.Event, at: list[int]) -> None:
        start = time.perf_counter()
        while not done.wait(max(0.0, start + at[0] / 100 - time.perf_counter())):
            write(at[0])
            at[0] += 1

    figures = dict[str, float]()
    for load, searchers in (("alone", 1), ("beside a writer and another", 2)):
        done, taken, spent, written = threading.Event(), list[float](), list[float](), [0]
        threads = [threading.Thread(target=searching, args=(done, taken, spent)) for _ in range(searchers)]
        if searchers > 1:
            threads.append(threading.Thread(target=writing, args=(done, written)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        done.set()
        for thread in threads:
            thread.join()
        for q in (50, 99, 99.9):
            figures[f"{name} search {load}, p{q}, ms"] = float(np.percentile(taken, q))
        figures[f"{name} search {load}, p99 of processor time, ms"] = float(np.percentile(spent, 99))
        if searchers > 1:
            figures[f"{name}, changes a second meanwhile"] = written[0] / seconds
    quiet = figures[f"{name} search alone, p50, ms"]
    for load in ("alone", "beside a writer and another"):
        figures[f"{name} search {load}, p99 / quiet p50"] = figures[f"{name} search {load}, p99, ms"] / quiet
    return figures


def lent(size: int) -> float:
    """Seconds until the system has lent so many bytes of memory and got them back.

    Where the machine is itself a guest, its first use of a page may cost more than all that is built in it.
    """
    memory = mmap.mmap(-1, max(size, mmap.PAGESIZE))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    start = clock()
    np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to 10,000 rows, a few seconds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--vectors", type=Path, help="a .npy file of float32 rows")
    parser.add_argument("--data", choices=["random", "clustered"], default="clustered")
    parser.add_argument("--sizes", default="")
    parser.add_argument(
        "--graphs", action="store_true", help="graph indexes above 10,000 rows too: slow to build"
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for graphs, which the next run over the same rows reads"
    )
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    given = parser.parse_args()
    if given.clock == "cpu":
        global clock
        clock = time.thread_time
    sizes = [
        int(n)
        for n in (given.sizes or ("1000,10000" if given.quick else "1000,10000,100000,1000000")).split(",")
    ]
    if given.vectors:
        numbers = np.load(given.vectors, mmap_mode="r")
        sizes = [n for n in sizes if n + given.queries <= len(numbers)]
        every, source = np.array(numbers[: max(sizes) + given.queries], np.float32), given.vectors.name
    else:
        every, source = made(given.data, max(sizes) + given.queries, 384), given.data
    size = np.linalg.norm(every, axis=1, keepdims=True)
    every /= np.maximum(size, 1e-30)
    queries = every[-given.queries :].copy()

    absent, figures, lives, speeds = (
        set[str](),
        list[Figure](),
        dict[int, dict[str, float]](),
        dict[int, dict[str, float]](),
    )
    for n in sizes:
        rows = every[:n]
        with tempfile.TemporaryDirectory() as passing:
            graphs = (given.keep or Path(passing)) if given.graphs or n <= 10_000 else None
            figures += table(rows, queries, graphs, 2.0 if given.quick else 6.0, absent)
        lives[n] = life(rows, queries)
        speeds[n] = bandwidth(rows, queries[0])
    top = max(sizes)
    report = {
        "data": source,
        "clock": given.clock,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "kernels": f"{mimo_core.implementation()} {mimo_core.isa()}",
        "search": [asdict(figure) for figure in figures],
        "life": lives,
        "gigabytes a second": speeds,
        "lean, megabytes resident": {top: lean_megabytes(top)},
        "start": {at: starts(at) for at in [min(top, 100_000)]},
        "peak, megabytes resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "not installed": sorted(absent),
    }
    if given.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['kernels']}; {report['machine']}; vectors: {source}; clock: {given.clock}")
    print(
        f"{'n':>8} {'method':26} {'ms':>9} {'p10':>9} {'p90':>9} {'x numpy':>8} {'recall':>7} {'build s':>8} {'MB':>8}"
    )
    for f in figures:
        print(
            f"{f.n:8} {f.method:26} {f.milliseconds:9.4f} {f.low:9.4f} {f.high:9.4f} "
            f"{f.times_numpy:8.2f} {f.recall:7.4f} {f.build_seconds:8.2f} "
            f"{'' if f.megabytes is None else round(f.megabytes):>8}"
        )
    for title, numbers_of in (("life", lives), ("GB/s", speeds), ("start", report["start"])):
        for n, numbers_by_name in numbers_of.items():
            for name, number in numbers_by_name.items():
                print(f"{n:8} {title}: {name:58} {number:10.4f}")
    print(f"{top:8} lean: megabytes resident {report['lean, megabytes resident'][top]:.1f}")
    for name in sorted(absent):
        print("not installed:", name)


if __name__ == "__main__":
    main()
