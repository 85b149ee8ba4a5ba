"""The twin of the compiled kernels, in NumPy alone: same names, same answers, same errors.

No matrix product of BLAS is used: it would start threads of its own, and give equal rows unequal
sums by their place in a block. `vecdot` takes row by row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_core import _checks

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def isa() -> str:
    return "numpy"


def isas() -> tuple[str, ...]:
    return ("numpy",)


def set_isa(name: str) -> None:
    if name not in ("numpy", "generic"):
        raise ValueError(f"this machine has no {name!r}; it has: numpy")


def finite_rows(value: Any, name: str) -> Floats:
    rows = _checks.floats(value, name, 2)
    if not np.isfinite(rows).all():
        raise _checks.not_finite(name)
    return rows


def finite_vector(value: Any, name: str) -> Floats:
    vector = _checks.floats(value, name, 1)
    if not np.isfinite(vector).all():
        raise _checks.not_finite(name)
    return vector


def some_numbers(vector: Floats) -> None:
    if vector.size == 0:
        raise ValueError("dimension must be at least 1 (got 0)")


def cosine_similarity(a: Any, b: Any) -> float:
    x, y = _checks.floats(a, "a", 1), _checks.floats(b, "b", 1)
    some_numbers(x)
    _checks.same_dim(y.size, x.size, "b")
    x, y = finite_vector(x, "a").astype(np.float64), finite_vector(y, "b").astype(np.float64)
    size = math.sqrt(float(np.vecdot(x, x))) * math.sqrt(float(np.vecdot(y, y)))
    return max(-1.0, min(1.0, float(np.vecdot(x, y)) / size)) if size else 0.0


def batch_similarity(query: Any, rows: Any) -> Floats:
    q, x = _checks.floats(query, "query", 1), _checks.floats(rows, "rows", 2)
    some_numbers(q)
    _checks.same_dim(x.shape[1], q.size, "rows")
    wide = finite_vector(q, "query").astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise _checks.not_finite(f"row {bad[0]}")
    out = np.empty(x.shape[0], np.float32)
    for at in range(0, x.shape[0], 4096):  # a block at a time, because they are widened
        block = x[at : at + 4096].astype(np.float64)
        size = np.sqrt(np.vecdot(block, block)) * math.sqrt(float(np.vecdot(wide, wide)))
        cosine = np.divide(np.vecdot(block, wide), size, out=np.zeros_like(size), where=size > 0)
        out[at : at + 4096] = np.clip(cosine, -1, 1)
    return out


def best_of(scores: Floats, ids: Ids, k: int) -> tuple[Ids, Floats]:
    """The k highest scores; of equal ones those with the lower ids."""
    if 0 < k < scores.size:  # sort only what is at least as good as the k-th
        kth = np.partition(scores, scores.size - k)[scores.size - k]
        chosen = np.flatnonzero(scores >= kth)
        scores, ids = scores[chosen], ids[chosen]
    order = np.lexsort((ids, -scores))[: max(0, k)]
    return ids[order], scores[order]


def top_k(query: Any, rows: Any, k: int, live: Any = None) -> tuple[Ids, Floats]:
    k = _checks.whole(k, "k")
    q, x = _checks.floats(query, "query", 1), _checks.floats(rows, "rows", 2)
    some_numbers(q)
    _checks.same_dim(x.shape[1], q.size, "rows")
    q = finite_vector(q, "query")
    ids: Ids = np.arange(x.shape[0], dtype=np.int64)
    if live is not None:
        flags = _checks.flags(live, "live")
        if flags.size != x.shape[0]:
            raise ValueError(f"live must have one flag a row, {x.shape[0]} (got {flags.size})")
        ids = np.nonzero(flags)[0].astype(np.int64)
        x = x[ids]
    if k <= 0 or not ids.size:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    with np.errstate(all="ignore"):  # what is not finite is found in the scores
        scores = np.vecdot(x, q)
    if not np.isfinite(scores).all():
        raise _checks.not_finite("rows")
    return best_of(scores, ids, k)


# What is computed in float64 goes a few rows at a time, so that it stays in the cache: ten times faster.
STEP = 128


def normalized(rows: Floats) -> Floats:
    out = np.empty(rows.shape, np.float32)
    for at in range(0, rows.shape[0], STEP):
        wide = rows[at : at + STEP].astype(np.float64)
        size = np.sqrt(np.vecdot(wide, wide))
        by = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
        out[at : at + STEP] = wide * by[:, None]
    return out


def normalize(rows: Any) -> Floats:
    return normalized(finite_rows(rows, "rows"))


def quantized(rows: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    codes, scales = np.empty(rows.shape, np.int8), np.empty(rows.shape[0], np.float32)
    for at in range(0, rows.shape[0], STEP):
        part = rows[at : at + STEP].astype(np.float64)
        largest = np.abs(part).max(axis=1, initial=0)
        part *= np.divide(127.0, largest, out=np.zeros_like(largest), where=largest > 0)[:, None]
        codes[at : at + STEP] = np.rint(part, out=part)
        scales[at : at + STEP] = largest / 127.0
    return codes, scales


def quantize_int8(rows: Any) -> tuple[npt.NDArray[np.int8], Floats]:
    return quantized(finite_rows(rows, "rows"))


def dequantize_int8(codes: Any, scales: Any) -> Floats:
    x = _checks.codes(codes, "codes", np.int8, 2)
    s = _checks.floats(scales, "scales", 1)
    if s.size != x.shape[0]:
        raise ValueError(f"scales must have one number a row, {x.shape[0]} (got {s.size})")
    numbers = x * finite_vector(s, "scales").astype(np.float64)[:, None]
    most = np.finfo(np.float32).max  # 127 times a rounded scale may lie just beyond
    return np.clip(numbers, -most, most).astype(np.float32)


def packed(rows: Floats) -> npt.NDArray[np.uint64]:
    signs = np.zeros((rows.shape[0], (rows.shape[1] + 63) // 64 * 64), np.bool_)
    np.greater(rows, 0, out=signs[:, : rows.shape[1]])
    return np.packbits(signs, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def binarize(rows: Any) -> npt.NDArray[np.uint64]:
    return packed(finite_rows(rows, "rows"))


def hamming(a: Any, b: Any) -> int:
    x, y = _checks.codes(a, "a", np.uint64, 1), _checks.codes(b, "b", np.uint64, 1)
    _checks.same_dim(y.size, x.size, "b")
    return int(np.bitwise_count(x ^ y).sum())


def to_f16(rows: Any) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = finite_rows(rows, "rows").astype(np.float16)
    if not np.isfinite(halves).all():
        raise ValueError("rows must fit float16, within +-65504")
    return halves


def widened(halves: npt.NDArray[np.float16]) -> Floats:
    """Finite halves as floats, seven times faster than `astype`.

    A half's bits, moved to a float's places and scaled by 2^112, are its value: subnormals too.
    """
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70002000)  # of the copies of the sign only the highest stays
    floats = bits.view(np.float32)
    floats *= np.float32(2.0**112)
    return floats


def from_f16(halves: Any) -> Floats:
    checked = _checks.codes(halves, "halves", np.float16, 2)
    if not np.isfinite(checked).all():
        raise _checks.not_finite("halves")
    return widened(checked)
