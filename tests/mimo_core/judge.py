"""The index as a dictionary, sorted anew for every question, and how its answers are compared with those of the kernels."""

from typing import Any

import numpy as np

from .conftest import Kernels

PLANS = ("exact", "int8", "bits", "auto")


class Judge:
    """Ids and rows in a dictionary, and the cosine of each."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[np.ndarray[Any, Any], int]] = {}

    def nearest(self, query: Any, k: int, wanted: Any = None) -> list[tuple[int, float]]:
        q = np.asarray(query, np.float64)
        scored: list[tuple[float, int]] = []
        for id_, (row, group) in self.rows.items():
            size = np.linalg.norm(row) * np.linalg.norm(q)
            if wanted is None or wanted(id_, group):
                scored.append((-float(row @ q) / size if size else 0.0, id_))
        return [(id_, -score) for score, id_ in sorted(scored)[:k]]


def agree(found: tuple[Any, Any], judged: list[tuple[int, float]], within: float) -> None:
    """The same ids in the same order, but for those whose scores cannot be told apart."""
    ids, scores = found
    assert len(ids) == len(judged)
    assert np.allclose(scores, [score for _, score in judged], atol=within)
    true = dict(judged)
    for id_, score in zip(ids.tolist(), scores.tolist(), strict=True):
        assert id_ in true or abs(score - judged[-1][1]) <= within
        assert abs(true.get(id_, score) - score) <= within
    for one, two in zip(range(len(ids) - 1), range(1, len(ids)), strict=True):
        assert scores[one] > scores[two] or (scores[one] == scores[two] and ids[one] < ids[two])


def filled(
    kernels: Kernels, random: np.random.Generator, n: int, dim: int, tiers: Any = ("bits", "int8", "f16")
) -> tuple[Any, Judge]:
    index, judge = kernels.VectorIndex(dim, tiers), Judge()
    rows = random.standard_normal((n, dim)).astype(np.float32)
    ids = random.permutation(n) * 3 - n  # some below zero, in no order
    groups = np.arange(n) % 4
    index.add(ids, rows, groups)
    judge.rows = {int(i): (row.astype(float), int(g)) for i, row, g in zip(ids, rows, groups, strict=True)}
    return index, judge
