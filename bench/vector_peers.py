"""The peers of bench_vectors.py, each a function from rows to a search, and the vectors that it makes."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

K = 10
Search = Callable[[Any], Any]


def made(kind: str, n: int, dim: int, seed: int = 5) -> np.ndarray[Any, Any]:
    """Random: worst case, nobody has neighbours. Clustered: a Zipf mixture on subspaces, as topics are."""
    random = np.random.default_rng(seed)
    rows = np.empty((n, dim), np.float32)
    if kind == "clustered":
        world = np.random.default_rng(1)
        centres = world.standard_normal((2000, dim)).astype(np.float32)
        spaces = world.standard_normal((50, 24, dim)).astype(np.float32) / np.sqrt(24)
        share = 1 / np.arange(1, 2001)
        share /= share.sum()
    for at in range(0, n, 20_000):
        m = min(20_000, n - at)
        if kind == "random":
            rows[at : at + m] = random.standard_normal((m, dim), np.float32)
            continue
        which = random.choice(2000, m, p=share)
        inside = random.standard_normal((m, 24), np.float32)
        part = centres[which]
        for space in range(50):
            here = np.flatnonzero(which % 50 == space)
            part[here] += 1.2 * inside[here] @ spaces[space]
        rows[at : at + m] = part + 0.15 * random.standard_normal((m, dim), np.float32)
    return rows


def pure_python(rows: Any) -> Search:
    plain = [(at, row) for at, row in enumerate(rows.tolist())]

    def search(query: Any) -> Any:
        numbers = query.tolist()
        best = heapq.nlargest(K, ((sum(map(float.__mul__, numbers, row)), -at) for at, row in plain))
        return [-at for _, at in best]

    return search


def in_numpy(rows: Any) -> Search:
    def search(query: Any) -> Any:
        scores = rows @ query
        best = np.argpartition(scores, scores.size - K)[-K:]
        return best[np.argsort(-scores[best])]

    return search


def rescored(rows: Any, candidates: Search) -> Search:
    def search(query: Any) -> Any:
        near = candidates(query)
        near = near[near >= 0]
        return near[np.argsort(-(rows[near] @ query))[:K]]

    return search


def faiss_index(rows: Any, name: str, candidates: int = 0) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    dim = rows.shape[1]
    made_by: dict[str, Callable[[], Any]] = {
        "Flat": lambda: faiss.IndexFlatIP(dim),
        "SQ8": lambda: faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        ),
        "RaBitQFastScan": lambda: faiss.IndexRaBitQFastScan(dim, faiss.METRIC_INNER_PRODUCT),
    }
    index = made_by[name]()
    if not index.is_trained:
        index.train(rows[:100_000])
    index.add(rows)
    if candidates:
        return rescored(rows, lambda query: index.search(query[None], candidates)[1][0])
    return lambda query: index.search(query[None], K)[1][0]


def usearch_exact(rows: Any) -> Search:
    from usearch.index import MetricKind
    from usearch.index import search as exact

    return lambda query: exact(rows, query, K, MetricKind.IP, exact=True, threads=1).keys


@dataclass(frozen=True)
class Graph:
    """A search in a graph, and what it took to build it: now, or when the file was made that it comes from."""

    search: Search
    seconds: float
    megabytes: float  # of its file, which holds what must be in memory

    def __call__(self, query: Any) -> Any:
        return self.search(query)


def kept(
    folder: Path, name: str, rows: Any, clock: Callable[[], float], build: Callable[[str], None]
) -> tuple[str, float, float]:
    """The file of a graph over just these rows, built where there is none yet; the seconds, and the megabytes."""
    sample = hashlib.sha256(np.ascontiguousarray(rows[:: max(1, len(rows) // 1000)]).tobytes())
    file = folder / f"{name}-{len(rows)}-{sample.hexdigest()[:12]}"
    told = file.with_suffix(".json")
    if not told.exists():
        start = clock()
        build(str(file))
        told.write_text(json.dumps({"seconds": clock() - start}))
    return str(file), json.loads(told.read_text())["seconds"], file.stat().st_size / 1e6


GRAPHS: dict[str, Any] = {}  # the one over the rows of this table, looked into with more effort and with less


def usearch_graph(rows: Any, folder: Path, clock: Callable[[], float], effort: int) -> Graph:
    from usearch.index import Index

    index = Index(
        ndim=rows.shape[1],
        metric="ip",
        dtype="bf16",
        connectivity=16,
        expansion_add=128,
    )

    def build(file: str) -> None:
        index.add(np.arange(len(rows)), rows, threads=1)
        index.save(file)
        index.reset()

    file, *cost = kept(folder, "usearch", rows, clock, build)
    if file not in GRAPHS:
        GRAPHS.clear()
        index.load(file)
        GRAPHS[file] = index
    graph = GRAPHS[file]

    def search(query: Any) -> Any:
        graph.expansion_search = effort
        return graph.search(query, K, threads=1).keys

    return Graph(search, *cost)


def hnswlib_graph(rows: Any, folder: Path, clock: Callable[[], float]) -> Graph:
    import hnswlib

    def build(file: str) -> None:
        index = hnswlib.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=16, ef_construction=128)
        index.set_num_threads(1)
        index.add_items(rows)
        index.save_index(file)

    file, *cost = kept(folder, "hnswlib", rows, clock, build)
    index = hnswlib.Index("ip", rows.shape[1])
    index.load_index(file)
    index.set_num_threads(1)
    index.set_ef(128)
    return Graph(lambda query: index.knn_query(query, K)[0][0], *cost)


def sqlite_vec(rows: Any) -> Search:
    import apsw
    import sqlite_vec as extension

    db = apsw.Connection(":memory:")
    db.enable_load_extension(True)
    db.load_extension(extension.loadable_path())
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{rows.shape[1]}])")
    with db:
        db.executemany(
            "INSERT INTO v(rowid, e) VALUES (?, ?)", ((at, row.tobytes()) for at, row in enumerate(rows))
        )
    question = f"SELECT rowid FROM v WHERE e MATCH ? AND k = {K}"  # L2 of unit vectors orders as the cosine
    return lambda query: [row[0] for row in db.execute(question, (query.tobytes(),))]
