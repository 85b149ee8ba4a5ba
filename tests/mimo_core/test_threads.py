"""One writer and several searching threads: no search sees half a change, and no memory is lost."""

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Kernels

pytestmark = pytest.mark.vectors


class Story:
    """A fixed series of changes, and what is there after each of them."""

    def __init__(self, random: np.random.Generator, dim: int, changes: int) -> None:
        self.start = random.standard_normal((300, dim)).astype(np.float32)
        self.changes: list[tuple[str, list[int], Any]] = []
        self.every = [self.start]  # all rows that ever were
        there = {at: at for at in range(300)}  # by id, the number of its row among them
        self.states = [dict(there)]
        rows_ever = 300
        for turn in range(changes):
            if turn % 3 == 1:
                ids = random.choice(sorted(there), 4, replace=False).tolist()
                self.changes.append(("remove", ids, None))
                for id_ in ids:
                    del there[id_]
            else:
                new = range(1000 + 4 * turn, 1004 + 4 * turn)
                ids = list(new) if turn % 3 else random.choice(sorted(there), 5, replace=False).tolist()
                rows = random.standard_normal((len(ids), dim)).astype(np.float32)
                self.changes.append(("add" if turn % 3 else "replace", ids, rows))
                self.every.append(rows)
                there |= {id_: rows_ever + at for at, id_ in enumerate(ids)}
                rows_ever += len(ids)
            self.states.append(dict(there))

    def judged(self, query: Any) -> list[list[int]]:
        """The nearest, state by state."""
        matrix = np.concatenate(self.every).astype(np.float64)
        cosines = matrix @ query / np.linalg.norm(matrix, axis=1)
        return [
            np.array(list(state))[np.argsort(-cosines[list(state.values())])[:6]].tolist()
            for state in self.states
        ]


@pytest.mark.parametrize("plan", ["exact", "int8", "bits"])
def test_every_search_sees_the_index_as_it_was_at_one_moment(
    kernels: Kernels, random: np.random.Generator, plan: str
) -> None:
    # The compiled index lets other threads run beside a search or a change of so many numbers only.
    dim = 32 if str(kernels) == "numpy" else 2048
    story = Story(random, dim, changes=120)
    index = kernels.VectorIndex(dim, ("bits", "int8", "f32"))
    index.add(range(300), story.start)
    queries = random.standard_normal((3, dim)).astype(np.float32)
    order = [story.judged(query) for query in queries]
    right = [{tuple(found) for found in states} for states in order]
    done = threading.Event()

    def write() -> None:
        for what, ids, rows in story.changes:
            before = index.stats()["version"]
            getattr(index, what)(ids, *([] if rows is None else [rows]))
            assert index.stats()["version"] == before + 1 or what == "compact"
        done.set()

    def search() -> int:
        searched, earliest = 0, [0] * len(queries)
        while not done.is_set() or searched < 30:
            at = searched % len(queries)
            found = index.search(queries[at], 6, plan=plan, rescore=400)[0].tolist()
            assert tuple(found) in right[at]
            # Time does not run backwards for one reader.
            earliest[at] = order[at].index(found, earliest[at])
            searched += 1
        return searched

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(search) for _ in range(2)]
        threads.submit(write).result()
        assert all(reader.result() >= 30 for reader in readers)
    for at, query in enumerate(queries):
        assert index.search(query, 6, plan=plan, rescore=400)[0].tolist() == order[at][-1]


def test_a_brief_search_keeps_what_it_would_wait_for(kernels: Kernels, random: np.random.Generator) -> None:
    if str(kernels) == "numpy":
        pytest.skip("NumPy decides by itself when other threads may run")
    rows = random.standard_normal((1000, 384)).astype(np.float32)
    index = kernels.VectorIndex(384)
    index.add(range(1000), rows)
    done, turns = threading.Event(), [0]

    def spin() -> None:
        while not done.is_set():
            turns[0] += 1
            time.sleep(0)  # gives the GIL away, which it gets back as soon as the other lets go of it

    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        with ThreadPoolExecutor(1) as threads:
            spinning = threads.submit(spin)
            try:
                while turns[0] < 10:
                    time.sleep(0)
                seen = turns[0]
                for at in range(50):
                    index.search(rows[at], 5)
                    index.replace([at], rows[at][None])
                assert turns[0] == seen
            finally:
                done.set()
            spinning.result()
    finally:
        sys.setswitchinterval(before)


def test_compaction_does_not_disturb_a_search(kernels: Kernels, random: np.random.Generator) -> None:
    rows = random.standard_normal((6000, 32)).astype(np.float32)
    index = kernels.VectorIndex(32)
    index.add(range(6000), rows)
    wanted = index.search(rows[17], 5)[0].tolist()
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            assert index.search(rows[17], 5)[0].tolist() == wanted
            assert index.rows([17])[0].shape == (32,)

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(search) for _ in range(2)]
        try:
            for turn in range(5):
                index.add([10_000 + turn], -rows[17:18])
                index.remove([10_000 + turn])
                index.compact()
        finally:
            done.set()
        for reader in readers:
            reader.result()


def resident() -> int:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("this system does not tell how much memory is resident")
    gc.collect()
    return int(status.read_text().split()[1]) * resource.getpagesize()


def often(full: int, few: int) -> int:
    return full if os.environ.get("MIMO_FAULTS") == "full" else few


def flat(work: Callable[[], None]) -> None:
    """Allocators keep some of what they were given; a leak takes as much again in every round."""
    if os.environ.get("MIMO_CORE_SANITIZE"):
        pytest.skip("a sanitizer keeps freed memory back")
    work()
    grown: list[int] = []
    # How threads are dealt to the allocator's arenas is chance, and may need a while to repeat.
    for _ in range(20):
        before = resident()
        work()
        grown.append(resident() - before)
        if grown[-1] < 1 << 18:
            return
    pytest.fail(f"every round left memory behind: {grown}")


def test_ten_thousand_calls_leave_nothing_behind(kernels: Kernels, random: np.random.Generator) -> None:
    rows = random.standard_normal((20, 4096)).astype(np.float32)
    index = kernels.VectorIndex(4096)
    index.add(range(20), rows)
    functions = kernels.functions

    def calls() -> None:
        for turn in range(often(10_000, 700) if str(kernels) != "numpy" else 60):
            row = rows[turn % 20]
            assert functions.top_k(row, rows, 1)[0][0] == turn % 20
            assert index.search(row, 1)[0][0] == turn % 20
            assert index.search(row, 1, plan="bits", allowed=[turn % 20], groups=[0])[0][0] == turn % 20
            functions.quantize_int8(row[None])
            with pytest.raises(ValueError, match="dimension"):
                functions.top_k(row, rows[:, :5], 1)
        index.replace(range(20), rows)
        index.compact()

    flat(calls)


def test_a_hundred_threads_leave_nothing_behind(kernels: Kernels, random: np.random.Generator) -> None:
    rows = random.standard_normal((20, 4096)).astype(np.float32)
    index = kernels.VectorIndex(4096)
    index.add(range(20), rows)

    def call(at: int) -> None:
        for turn in range(often(100, 33) if str(kernels) != "numpy" else 3):
            assert index.search(rows[(at + turn) % 20], 1)[0][0] == (at + turn) % 20

    def calls() -> None:
        threads = [threading.Thread(target=call, args=(at,)) for at in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    flat(calls)


def test_an_index_gives_its_memory_back(kernels: Kernels, random: np.random.Generator) -> None:
    rows = random.standard_normal((500, 256)).astype(np.float32)

    def calls() -> None:
        for _ in range(6):
            index = kernels.VectorIndex(256, ("bits", "int8", "f16", "f32"))
            index.add(range(500), rows)
            index.remove(range(100))
            index.compact()

    flat(calls)


@pytest.mark.parametrize("plan", ["exact", "int8", "bits"])
def test_a_search_by_several_threads_gives_the_answer_of_one(
    kernels: Kernels, random: np.random.Generator, plan: str
) -> None:
    rows = random.standard_normal((14_000, 40)).astype(np.float32)
    rows[9000:9050] = rows[100:150]  # ties that lie in different parts
    index = kernels.VectorIndex(40)
    index.add(range(14_000), rows, [row % 3 for row in range(14_000)])
    index.remove(range(0, 14_000, 7))
    for query in (rows[101], rows[149], rows[13_999]):
        for options in ({}, {"groups": [1]}, {"allowed": [5, 13_999]}, {"rescore": 20}, {"groups": [9]}):
            one = index.search(query, 8, plan=plan, **options)
            for threads in (2, 3, 50):
                several = index.search(query, 8, plan=plan, threads=threads, **options)
                assert several[0].tolist() == one[0].tolist()
                assert several[1].tolist() == one[1].tolist()


def test_a_search_by_no_thread_is_refused(kernels: Kernels, random: np.random.Generator) -> None:
    index = kernels.VectorIndex(8)
    index.add([1], random.standard_normal((1, 8)))
    with pytest.raises(ValueError, match=r"threads must be at least 1 \(got 0\)"):
        index.search(np.ones(8), 1, threads=0)
