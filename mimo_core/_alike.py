"""What both indexes do in the same words: many searches at once, and the check of their own recall."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mimo_core import _checks

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class Searchable(Protocol):
    def __len__(self) -> int: ...
    @property
    def tiers(self) -> tuple[str, ...]: ...
    def search(self, query: Any, k: int, *, plan: str = ...) -> Found: ...
    def rows(self, ids: Any) -> npt.NDArray[np.float32]: ...
    def ids(self) -> npt.NDArray[np.int64]: ...


def batch(index: Any, queries: npt.NDArray[np.float32], k: int, options: dict[str, Any]) -> Found:
    """One search a query; where fewer than the most are found, ids are -1 and scores -inf."""
    k = _checks.whole(k, "k")
    found: list[Found] = [index.search(query, k, **options) for query in queries]
    most = max((ids.size for ids, _ in found), default=0)
    ids = np.full((len(found), most), -1, np.int64)
    scores = np.full((len(found), most), -np.inf, np.float32)
    for at, (its_ids, its_scores) in enumerate(found):
        ids[at, : its_ids.size] = its_ids
        scores[at, : its_scores.size] = its_scores
    return ids, scores


def recall(index: Searchable, samples: int, k: int) -> float:
    """How much of the true nearest the codes find, with stored rows as queries, each without itself."""
    judge = "exact" if {"f16", "f32"} & set(index.tiers) else "int8"
    ids = index.ids()
    samples, k = min(_checks.whole(samples, "samples"), ids.size), _checks.whole(k, "k")
    if not ids.size or samples < 1 or k < 1:
        return 1.0
    shares: list[float] = []
    for at in np.unique(np.linspace(0, ids.size - 1, samples).astype(np.int64)):
        try:
            row = index.rows(ids[at : at + 1])[0]
        except KeyError:  # removed meanwhile
            continue
        true = set(index.search(row, k + 1, plan=judge)[0].tolist()) - {int(ids[at])}
        if true:
            shares.append(len(true & set(index.search(row, k + 1, plan="bits")[0].tolist())) / len(true))
    return float(np.mean(shares)) if shares else 1.0
