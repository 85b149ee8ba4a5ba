"""The compiled kernels, as functions on arrays. `mimo_core` says what they promise."""

import numpy as np

cimport cython

from mimo_core import _alike, _checks

from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.float cimport FLT_MAX
from libc.math cimport sqrt, INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1

include "kernels.pxi"

cdef const mimo_kernels *kernels = NULL
cdef int level = 0
cdef int highest = mimo_highest_level()
cdef long long LARGEST = _checks.LARGEST


def isa() -> str:
    return mimo_level_name(level).decode()


def isas() -> tuple[str, ...]:
    return tuple(mimo_level_name(at).decode() for at in range(highest + 1))


def set_isa(name) -> None:
    global kernels, level
    for at in range(highest + 1):
        if name == mimo_level_name(at).decode() or (name == "generic" and at == 0):
            level = at
            kernels = mimo_kernels_of(at)
            return
    why = f" ({mimo_amx_refusal_text(mimo_amx_refusal()).decode()})" if name == "amx" else ""
    raise ValueError(f"this machine has no {name!r}{why}; it has: {', '.join(isas())}")


set_isa(mimo_level_name(mimo_best_level()).decode())


cdef const float[::1] floats1(value, str name):
    if type(value) is np.ndarray and value.dtype is FLOAT32 and value.ndim == 1 and value.flags.c_contiguous:
        return value
    return _checks.floats(value, name, 1)


cdef const float[:, ::1] floats2(value, str name):
    if type(value) is np.ndarray and value.dtype is FLOAT32 and value.ndim == 2 and value.flags.c_contiguous:
        return value
    return _checks.floats(value, name, 2)


cdef const int64_t[::1] integers1(value, str name):
    if type(value) is np.ndarray and value.dtype is INT64 and value.ndim == 1 and value.flags.c_contiguous:
        return value
    plain = integers_of(value)
    return _checks.integers(value, name, np.int64) if plain is None else plain


cdef integers_of(value):
    """A list or tuple of plain integers as an array, in a quarter of the time that NumPy takes; None: something else."""
    cdef Py_ssize_t i, n
    cdef int beyond = 0
    cdef int64_t[::1] out
    if type(value) is not list and type(value) is not tuple:
        return None
    n = len(value)
    found = np.empty(n, np.int64)
    out = found
    for i in range(n):
        one = value[i]
        if type(one) is not int:
            return None
        out[i] = PyLong_AsLongLongAndOverflow(one, &beyond)
        if beyond:
            return None
    return found


FLOAT32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)


cdef inline bint finite(const float *numbers, Py_ssize_t n) noexcept nogil:
    return all_finite(numbers, n)


cdef const float[:, ::1] finite_rows(value, str name):
    cdef const float[:, ::1] rows = floats2(value, name)
    if rows.shape[0] and rows.shape[1] and not finite(&rows[0, 0], rows.shape[0] * rows.shape[1]):
        raise _checks.not_finite(name)
    return rows


cdef inline double cosine(double ab, double aa, double bb) noexcept nogil:
    if aa == 0 or bb == 0:
        return 0
    return max(-1.0, min(1.0, ab / (sqrt(aa) * sqrt(bb))))


def cosine_similarity(a, b) -> float:
    cdef const float[::1] x = floats1(a, "a")
    cdef const float[::1] y = floats1(b, "b")
    cdef double parts[3]
    if x.shape[0] == 0:
        raise ValueError("dimension must be at least 1 (got 0)")
    if x.shape[0] != y.shape[0]:
        _checks.same_dim(y.shape[0], x.shape[0], "b")
    kernels.cosine_parts(&x[0], &y[0], x.shape[0], parts)
    if not parts[1] < INFINITY:
        raise _checks.not_finite("a")
    if not parts[2] < INFINITY:
        raise _checks.not_finite("b")
    return cosine(parts[0], parts[1], parts[2])


def batch_similarity(query, rows):
    cdef const float[::1] q = floats1(query, "query")
    cdef const float[:, ::1] x = floats2(rows, "rows")
    cdef Py_ssize_t i, bad = -1, n = x.shape[0], dim = x.shape[1]
    cdef double parts[3]
    if q.shape[0] == 0:
        raise ValueError("dimension must be at least 1 (got 0)")
    _checks.same_dim(dim, q.shape[0], "rows")
    if not finite(&q[0], dim):
        raise _checks.not_finite("query")
    out = np.empty(n, np.float32)
    cdef float[::1] scores = out
    with nogil:
        for i in range(n):
            kernels.cosine_parts(&q[0], &x[i, 0], dim, parts)
            if not parts[2] < INFINITY:
                bad = i
                break
            scores[i] = <float>cosine(parts[0], parts[1], parts[2])
    if bad >= 0:
        raise _checks.not_finite(f"row {bad}")
    return out


def top_k(query, rows, k, live=None):
    cdef Py_ssize_t most = whole(k, "k")
    cdef const float[::1] q = floats1(query, "query")
    cdef const float[:, ::1] x = floats2(rows, "rows")
    cdef Py_ssize_t n = x.shape[0], dim = x.shape[1], wanted = n
    cdef const int[::1] at
    cdef const int *chosen = NULL
    cdef mimo_best best
    if q.shape[0] == 0:
        raise ValueError("dimension must be at least 1 (got 0)")
    if dim != q.shape[0]:
        _checks.same_dim(dim, q.shape[0], "rows")
    if not finite(&q[0], dim):
        raise _checks.not_finite("query")
    if live is not None:
        mask = _checks.flags(live, "live")
        if mask.size != n:
            raise ValueError(f"live must have one flag a row, {n} (got {mask.size})")
        at = np.flatnonzero(mask).astype(np.int32)
        wanted = at.shape[0]
    most = max(0, min(most, wanted))
    ids = np.empty(most, np.int64)
    scores = np.empty(most, np.float32)
    cdef int64_t[::1] ids_view = ids
    cdef float[::1] scores_view = scores
    if most:
        if live is not None:
            chosen = &at[0]
        with nogil:
            best_init(&best, most, &scores_view[0], &ids_view[0])
            kernels.scan_f32(&x[0, 0], dim, chosen, wanted, &q[0], NULL, 0, &best)
            best_sort(&best)
        if best.poison != 0:
            raise _checks.not_finite("rows")
    return ids, scores


def normalize(rows):
    cdef const float[:, ::1] x = finite_rows(rows, "rows")
    cdef Py_ssize_t i, n = x.shape[0], dim = x.shape[1]
    out = np.empty((n, dim), np.float32)
    cdef float[:, ::1] y = out
    if dim:
        with nogil:
            for i in range(n):
                kernels.unit(&x[i, 0], dim, &y[i, 0])
    return out


def quantize_int8(rows):
    cdef const float[:, ::1] x = finite_rows(rows, "rows")
    cdef Py_ssize_t i, n = x.shape[0], dim = x.shape[1]
    codes = np.empty((n, dim), np.int8)
    scales = np.zeros(n, np.float32)
    cdef int8_t[:, ::1] y = codes
    cdef float[::1] s = scales
    if dim:
        with nogil:
            for i in range(n):
                s[i] = kernels.quantize(&x[i, 0], dim, &y[i, 0])
    return codes, scales


def dequantize_int8(codes, scales):
    cdef const int8_t[:, ::1] x = _checks.codes(codes, "codes", np.int8, 2)
    cdef const float[::1] s = floats1(scales, "scales")
    cdef Py_ssize_t i, j, n = x.shape[0], dim = x.shape[1]
    cdef double number
    if s.shape[0] != n:
        raise ValueError(f"scales must have one number a row, {n} (got {s.shape[0]})")
    if n and not finite(&s[0], n):
        raise _checks.not_finite("scales")
    out = np.empty((n, dim), np.float32)
    cdef float[:, ::1] y = out
    with nogil:
        for i in range(n):
            for j in range(dim):
                number = x[i, j] * <double>s[i]  # 127 times a rounded scale may lie just beyond float32
                y[i, j] = <float>max(-<double>FLT_MAX, min(<double>FLT_MAX, number))
    return out


def binarize(rows):
    cdef const float[:, ::1] x = finite_rows(rows, "rows")
    cdef Py_ssize_t i, n = x.shape[0], dim = x.shape[1], whole = x.shape[1] // 64 * 64
    cdef float[64] rest
    out = np.zeros((n, (dim + 63) // 64), np.uint64)
    cdef uint64_t[:, ::1] y = out
    if dim:
        with nogil:
            for i in range(n):
                kernels.pack(&x[i, 0], whole, &y[i, 0], 1)
                if dim > whole:
                    rest[:] = [0] * 64
                    memcpy(rest, &x[i, 0] + whole, (dim - whole) * sizeof(float))
                    kernels.pack(rest, 64, &y[i, 0] + whole // 64, 1)
    return out


def hamming(a, b) -> int:
    cdef const uint64_t[::1] x = _checks.codes(a, "a", np.uint64, 1)
    cdef const uint64_t[::1] y = _checks.codes(b, "b", np.uint64, 1)
    cdef Py_ssize_t i
    cdef int64_t distance = 0
    _checks.same_dim(y.shape[0], x.shape[0], "b")
    for i in range(x.shape[0]):
        distance += popcount(x[i] ^ y[i])
    return distance


def to_f16(rows):
    cdef const float[:, ::1] x = finite_rows(rows, "rows")
    out = np.empty((x.shape[0], x.shape[1]), np.float16)
    cdef uint16_t[:, ::1] y = out.view(np.uint16)
    if out.size:
        with nogil:
            kernels.halve(&x[0, 0], x.shape[0] * x.shape[1], &y[0, 0])
        if not halves_finite(&y[0, 0], out.size):
            raise ValueError("rows must fit float16, within +-65504")
    return out


def from_f16(halves):
    checked = _checks.codes(halves, "halves", np.float16, 2)
    cdef const uint16_t[:, ::1] x = checked.view(np.uint16)
    out = np.empty((x.shape[0], x.shape[1]), np.float32)
    cdef float[:, ::1] y = out
    if out.size:
        if not halves_finite(&x[0, 0], out.size):
            raise _checks.not_finite("halves")
        with nogil:
            kernels.widen(&x[0, 0], x.shape[0] * x.shape[1], &y[0, 0])
    return out


cdef bint halves_finite(const uint16_t *halves, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint bad = False
    for i in range(n):
        bad |= (halves[i] & 0x7c00) == 0x7c00
    return not bad


include "index.pxi"
include "arrays.pxi"
