"""Codes of many rows: the first words of all are compared, and the others of those that are near by them."""

from typing import Any

import numpy as np
import pytest

from mimo_core import _numpy_index

from .conftest import Kernels

ROWS = 20_000  # more than are compared whole


def in_clusters(random: np.random.Generator, n: int, dim: int) -> Any:
    centres = random.standard_normal((100, dim), np.float32)
    return centres[random.integers(0, 100, n)] + 0.8 * random.standard_normal((n, dim), np.float32)


@pytest.mark.parametrize("dim", [192, 256, 300, 384, 1024])
def test_what_first_words_leave_out_is_not_missed(
    kernels: Kernels, random: np.random.Generator, dim: int
) -> None:
    rows, ids = in_clusters(random, ROWS, dim), random.permutation(ROWS)
    index, twin = kernels.VectorIndex(dim, ("bits", "f16")), _numpy_index.VectorIndex(dim, ("bits", "f16"))
    for one in (index, twin):
        one.add(ids, rows)
        one.remove(ids[::7])
    signs = np.packbits(rows > 0, axis=1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    there = np.arange(ROWS) % 7 > 0
    some = np.arange(ROWS) % 4 > 0
    ways: list[tuple[Any, dict[str, Any]]] = [
        (there, {}),
        (there & some, {"mask": some}),
        (there, {"threads": 3}),
    ]
    found = 0
    for at in range(0, 1000, 100):
        query = rows[at] + 0.5 * random.standard_normal(dim).astype(np.float32)
        differing = np.bitwise_count(signs ^ np.packbits(query > 0)).sum(1, dtype=np.int64)
        for wanted, narrowed in ways:
            for rescore in (20, 400):
                got = index.search(query, 10, plan="bits", rescore=rescore, **narrowed)[0].tolist()
                assert got == twin.search(query, 10, plan="bits", rescore=rescore, **narrowed)[0].tolist()
            nearest = np.flatnonzero(wanted)[np.argsort(differing[wanted], kind="stable")[:400]]
            best = nearest[np.argsort(-(unit[nearest] @ query))[:10]]
            found += len({*got} & {*ids[best].tolist()})
    assert found >= 0.98 * 10 * 10 * len(ways)


def test_a_sample_that_is_unlike_the_others_loses_nothing(
    kernels: Kernels, random: np.random.Generator
) -> None:
    n, dim = 40_000, 384
    rows = random.standard_normal((n, dim)).astype(np.float32)
    query = random.standard_normal(dim).astype(np.float32)
    sampled = np.arange(n) // 64 % 64 == 0
    rows[sampled, :192] = query[:192]  # near by the first words, far by the others
    rows[sampled, 192:] = -query[192:]
    near = np.array([70, 777, 12_345, 39_999])
    rows[near] = query + 0.7 * random.standard_normal((4, dim)).astype(np.float32)
    index = kernels.VectorIndex(dim, ("bits", "f16"))
    index.add(np.arange(n), rows)
    for threads in (1, 2):
        ids, _ = index.search(query, 4, plan="bits", rescore=100, threads=threads)
        assert sorted(ids.tolist()) == near.tolist()


def test_thousands_of_equal_rows_are_told_apart_by_their_ids(
    kernels: Kernels, random: np.random.Generator
) -> None:
    row = random.standard_normal(256).astype(np.float32)
    index = kernels.VectorIndex(256, ("bits", "f16"))
    ids = random.permutation(ROWS)
    index.add(ids, np.tile(row, (ROWS, 1)))
    assert index.search(row, 10, plan="bits", rescore=10)[0].tolist() == list(range(10))
