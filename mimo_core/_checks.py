"""What both implementations accept: the same arrays, the same errors with the number in them."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_DIM = 16384  # distances of codes are 16 bits wide, sums of int8 products 32
TIERS = {"bits": 1, "int8": 2, "f16": 4, "f32": 8}
PLANS = {"auto": 0, "exact": 1, "int8": 2, "bits": 3}
LARGEST = sys.maxsize // 2  # more than any index holds


def floats(value: Any, name: str, ndim: int) -> npt.NDArray[np.float32]:
    """`value` as contiguous float32: copied only where it is not that already.

    Raises:
        TypeError: it does not hold floats.
        ValueError: the number of dimensions is another.
    """
    array: npt.NDArray[Any] = np.asarray(value)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' * (ndim != 1)} (got {array.ndim})")
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must hold floats (got {array.dtype})")
    with np.errstate(over="ignore"):  # what does not fit is infinity, and refused as such
        return np.ascontiguousarray(array, dtype=np.float32)


def integers(value: Any, name: str, dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """`value` as a contiguous row of integers of this type.

    Raises:
        TypeError: it does not hold integers.
        ValueError: there is more than one dimension, or a number does not fit.
    """
    array: npt.NDArray[Any] = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension (got {array.ndim})")
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers (got {array.dtype})")
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    limits = np.iinfo(dtype)
    if int(array.min()) < limits.min or int(array.max()) > limits.max:
        raise ValueError(f"{name} must fit {np.dtype(dtype).name} (got {array.min()}..{array.max()})")
    return np.ascontiguousarray(array, dtype=dtype)


def flags(value: Any, name: str) -> npt.NDArray[np.uint8]:
    """`value` (booleans or bytes, one a row) as contiguous bytes.

    Raises:
        TypeError: it holds something else.
        ValueError: there is more than one dimension.
    """
    array: npt.NDArray[Any] = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension (got {array.ndim})")
    if array.size and array.dtype != np.bool_ and array.dtype != np.uint8:
        raise TypeError(f"{name} must hold bool or uint8 (got {array.dtype})")
    return np.ascontiguousarray(array, dtype=np.bool_).view(np.uint8)


def codes(value: Any, name: str, dtype: type[Any], ndim: int) -> npt.NDArray[Any]:
    """`value`, which must be of this very type, contiguous.

    Raises:
        TypeError: it is of another type.
        ValueError: the number of dimensions is another.
    """
    array: npt.NDArray[Any] = np.asarray(value)
    if array.dtype != dtype:
        raise TypeError(f"{name} must hold {np.dtype(dtype).name} (got {array.dtype})")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' * (ndim != 1)} (got {array.ndim})")
    return np.ascontiguousarray(array)


def whole(value: Any, name: str) -> int:
    """`value` as an integer; one that is larger than anything here is as good as the largest.

    Raises:
        TypeError: it is none.
    """
    return max(-LARGEST, min(_index(value, name), LARGEST))


def _index(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer (got {type(value).__name__})") from None


def least(value: Any) -> float:
    """The score from which on rows count; one that no row can have is as good as the next.

    Raises:
        TypeError: it is no number.
    """
    if not isinstance(value, Real):
        raise TypeError(f"min_score must be a number (got {type(value).__name__})")
    return float(max(min(value, 2.0), -2.0))  # in this order NaN stays what it is


def same_dim(got: int, wanted: int, name: str) -> None:
    if got != wanted:
        raise ValueError(f"{name} must have dimension {wanted} (got {got})")


def some_dim(value: Any) -> int:
    """Raises: TypeError, ValueError: it is no integer, or none that a dimension can be."""
    dim = _index(value, "dimension")
    if not 1 <= dim <= MAX_DIM:
        raise ValueError(f"dimension must be 1..{MAX_DIM} (got {dim})")
    return dim


def not_finite(name: str) -> ValueError:
    return ValueError(f"{name} must be finite (got NaN or infinity, or a number beyond float32)")


def too_few_threads(threads: Any) -> ValueError:
    return ValueError(f"threads must be at least 1 (got {threads})")


def tier_bits(tiers: Iterable[str]) -> int:
    """The set of tiers as bits.

    Raises:
        ValueError: there is none, or an unknown one.
    """
    bits = 0
    for tier in tiers:
        if tier not in TIERS:
            raise ValueError(f"unknown tier {tier!r}; there are: {', '.join(TIERS)}")
        bits |= TIERS[tier]
    if not bits:
        raise ValueError(f"an index needs a tier of: {', '.join(TIERS)}")
    return bits


def plan_number(plan: Any, tiers: int) -> int:
    """The plan as a number.

    Raises:
        ValueError: it is unknown, or needs a tier that this index does not have.
    """
    if not isinstance(plan, str) or plan not in PLANS:
        raise ValueError(f"unknown plan {plan!r}; there are: {', '.join(PLANS)}")
    needs = {"auto": 15, "exact": 12, "int8": 2, "bits": 1}[plan]
    if not tiers & needs:
        raise ValueError(f"plan {plan!r} needs a tier that this index does not have")
    return PLANS[plan]


def groups(value: Any, n: int) -> npt.NDArray[np.int32]:
    """A group for each of n rows, of zeros for None.

    Raises:
        TypeError: it does not hold integers.
        ValueError: there are not n of them.
    """
    if value is None:
        return np.zeros(n, np.int32)
    array = integers(value, "groups", np.int32)
    if array.size != n:
        raise ValueError(f"groups must be as many as ids, {n} (got {array.size})")
    return array


def blobs(value: Any, n: int) -> None:
    """Raises: TypeError, ValueError: these are not n objects of bytes."""
    if len(value) != n:
        raise ValueError(f"blobs must be as many as ids, {n} (got {len(value)})")
    for blob in value:
        if type(blob) is not bytes:
            raise TypeError(f"blobs must be bytes (got {type(blob).__name__})")


def distinct(ids: npt.NDArray[np.int64]) -> None:
    """Raises: ValueError: an id comes twice."""
    if ids.size > 1:
        unique, counts = np.unique(ids, return_counts=True)
        if unique.size != ids.size:
            raise ValueError(f"id {unique[counts > 1][0]} comes twice")
