"""Every implementation agrees with a naive judge, and they all say the same about what is odd."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from .conftest import Kernels

pytestmark = pytest.mark.vectors
same_fixture = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12
)

numbers = st.floats(-1e6, 1e6, width=32)
any_numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
# Few different values: many ties.
coarse = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=150), elements=numbers)


def naive_cosine(a: Any, b: Any) -> float:
    x, y = [float(v) for v in a], [float(v) for v in b]
    size = math.sqrt(math.fsum(v * v for v in x)) * math.sqrt(math.fsum(v * v for v in y))
    return math.fsum(p * q for p, q in zip(x, y, strict=True)) / size if size else 0.0


@same_fixture
@given(data=st.data())
def test_cosine_similarity_is_the_cosine_for_any_finite_numbers(
    kernels: Kernels, data: st.DataObject
) -> None:
    dim = data.draw(st.integers(1, 200))
    a = data.draw(arrays(np.float32, dim, elements=any_numbers))
    b = data.draw(arrays(np.float32, dim, elements=any_numbers))
    got = kernels.functions.cosine_similarity(a, b)
    assert isinstance(got, float)
    assert got == pytest.approx(naive_cosine(a, b), abs=1e-6)
    assert -1 <= got <= 1


@same_fixture
@given(rows=matrices)
def test_batch_similarity_is_the_cosine_of_each(kernels: Kernels, rows: Any) -> None:
    got = kernels.functions.batch_similarity(rows[0], rows)
    assert got.dtype == np.float32
    assert got.tolist() == pytest.approx([naive_cosine(rows[0], row) for row in rows], abs=1e-6)


@same_fixture
@given(data=st.data())
def test_top_k_gives_the_largest_and_of_equal_ones_the_lower_row(
    kernels: Kernels, data: st.DataObject
) -> None:
    rows = data.draw(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=80), elements=coarse))
    query = data.draw(arrays(np.float32, rows.shape[1], elements=coarse))
    k = data.draw(st.integers(-1, 100))
    live = data.draw(st.none() | arrays(np.bool_, rows.shape[0]))
    ids, scores = kernels.functions.top_k(query, rows, k, live)
    exact = rows.astype(float) @ query.astype(float)  # quarters of small integers: exact everywhere
    wanted = sorted((-score, at) for at, score in enumerate(exact) if live is None or live[at])[: max(0, k)]
    assert ids.tolist() == [at for _, at in wanted]
    assert scores.tolist() == [-score for score, _ in wanted]
    assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_equal_rows_have_equal_scores_wherever_they_lie(
    kernels: Kernels, random: np.random.Generator
) -> None:
    for dim in (1, 7, 16, 33, 63, 100, 127, 384, 385, 500):
        row = random.standard_normal(dim).astype(np.float32)
        rows = np.tile(row, (103, 1))
        rows[50] += 1
        query = random.standard_normal(dim).astype(np.float32)
        ids, scores = kernels.functions.top_k(query, rows, 103)
        ids, scores = ids[ids != 50], scores[ids != 50]
        assert ids.tolist() == [*range(50), *range(51, 103)]
        assert len(set(scores.tolist())) == 1
        for n in (5, 9, 40, 130):  # so that each is summed alone and as any of those that go together
            which = random.integers(0, 1 + n // 5, n)
            ids, scores = kernels.functions.top_k(
                query, random.standard_normal((n, dim), np.float32)[which], n
            )
            assert len(set(zip(which[ids].tolist(), scores.tolist(), strict=True))) == len(
                set(which.tolist())
            )


@pytest.mark.parametrize(("n", "dim"), [(3, 4096), (10_001, 5), (777, 384), (64, 64)])
def test_top_k_agrees_with_a_full_sort(
    kernels: Kernels, random: np.random.Generator, n: int, dim: int
) -> None:
    rows = random.standard_normal((n, dim)).astype(np.float32)
    query = random.standard_normal(dim).astype(np.float32)
    ids, scores = kernels.functions.top_k(query, rows, 50)
    exact = rows.astype(np.float64) @ query
    assert np.allclose(scores, np.sort(exact)[::-1][:50], rtol=1e-4, atol=1e-4)
    assert np.allclose(exact[ids], scores, rtol=1e-4, atol=1e-4)


@same_fixture
@given(rows=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=100), elements=any_numbers))
def test_normalized_rows_have_length_one_or_zero(kernels: Kernels, rows: Any) -> None:
    got = kernels.functions.normalize(rows)
    for row, normal in zip(rows, got, strict=True):
        assert np.linalg.norm(normal.astype(float)) == pytest.approx(1.0 if row.any() else 0.0, abs=1e-5)
        assert naive_cosine(row, normal) == pytest.approx(1.0 if row.any() else 0.0, abs=1e-5)


@same_fixture
@given(rows=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=100), elements=any_numbers))
def test_int8_codes_stand_for_their_numbers(kernels: Kernels, rows: Any) -> None:
    codes, scales = kernels.functions.quantize_int8(rows)
    assert codes.dtype == np.int8
    assert codes.min(initial=0) >= -127
    largest = np.abs(rows.astype(float)).max(axis=1)
    by = np.divide(127.0, largest, out=np.zeros_like(largest), where=largest > 0)
    assert (codes == np.rint(rows * by[:, None])).all()
    assert (scales == (largest / 127.0).astype(np.float32)).all()
    back = kernels.functions.dequantize_int8(codes, scales)
    assert np.isfinite(back).all()
    assert np.allclose(back, codes * scales.astype(float)[:, None], rtol=1e-6, atol=1e-44)
    assert (np.abs(back - rows.astype(float)) <= 0.501 * largest[:, None] / 127 + 1e-43).all()


@same_fixture
@given(rows=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=200), elements=any_numbers))
def test_a_code_has_the_signs_of_a_row(kernels: Kernels, rows: Any) -> None:
    codes = kernels.functions.binarize(rows)
    assert codes.shape == (rows.shape[0], -(-rows.shape[1] // 64))
    for row, code in zip(rows, codes, strict=True):
        bits = [(int(code[at // 64]) >> (at % 64)) & 1 for at in range(codes.shape[1] * 64)]
        assert bits == [int(v > 0) for v in row] + [0] * (len(bits) - len(row))
    differ = int(((rows[0] > 0) != (rows[-1] > 0)).sum())
    assert kernels.functions.hamming(codes[0], codes[-1]) == differ


def test_every_half_comes_back_as_it_was(kernels: Kernels) -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)][None]
    wide = kernels.functions.from_f16(finite)
    assert (wide == finite.astype(np.float32)).all()
    assert (np.signbit(wide) == np.signbit(finite)).all()
    assert (kernels.functions.to_f16(wide).view(np.uint16) == finite.view(np.uint16)).all()


@same_fixture
@given(rows=arrays(np.float32, (2, 37), elements=st.floats(-65504, 65504, width=32)))
def test_rounding_to_halves_is_to_nearest_even(kernels: Kernels, rows: Any) -> None:
    assert (kernels.functions.to_f16(rows).view(np.uint16) == rows.astype(np.float16).view(np.uint16)).all()


def test_between_two_halves_the_even_one_is_taken(kernels: Kernels) -> None:
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = ((halves[:-1].astype(np.float64) + halves[1:]) / 2).astype(np.float32)
    rows = np.concatenate(
        [middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(1e9))]
    )[None]
    assert (kernels.functions.to_f16(rows).view(np.uint16) == rows.astype(np.float16).view(np.uint16)).all()


VECTOR = np.ones(3, np.float32)
ROWS = np.ones((2, 3), np.float32)
NAN = np.array([1, math.nan, 1], np.float32)
# What is given, the class of the error, and a word of its text: the same in every implementation.
REFUSED: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("cosine_similarity", (VECTOR, VECTOR[:2]), ValueError, r"b must have dimension 3 \(got 2\)"),
    ("cosine_similarity", (VECTOR[:0], VECTOR[:0]), ValueError, r"dimension must be at least 1 \(got 0\)"),
    ("cosine_similarity", (VECTOR, ROWS), ValueError, r"b must have 1 dimension \(got 2\)"),
    ("cosine_similarity", ([1, 2, 3], VECTOR), TypeError, r"a must hold floats \(got int64\)"),
    ("cosine_similarity", (["a"], VECTOR), TypeError, "a must hold floats"),
    ("cosine_similarity", (NAN, VECTOR), ValueError, "a must be finite"),
    ("cosine_similarity", (VECTOR, -np.inf * VECTOR), ValueError, "b must be finite"),
    ("cosine_similarity", ([1e200], [1.0]), ValueError, "a must be finite"),
    ("batch_similarity", (VECTOR, ROWS[:, :2]), ValueError, r"rows must have dimension 3 \(got 2\)"),
    ("batch_similarity", (VECTOR, VECTOR), ValueError, r"rows must have 2 dimensions \(got 1\)"),
    ("batch_similarity", (VECTOR, np.stack([VECTOR, NAN])), ValueError, "row 1 must be finite"),
    ("batch_similarity", (NAN, ROWS), ValueError, "query must be finite"),
    ("batch_similarity", (VECTOR[:0], ROWS[:, :0]), ValueError, "at least 1"),
    ("top_k", (VECTOR, ROWS[:, :2], 1), ValueError, r"rows must have dimension 3 \(got 2\)"),
    ("top_k", (VECTOR, np.stack([VECTOR, NAN]), 1), ValueError, "rows must be finite"),
    ("top_k", (VECTOR, np.full((9, 3), np.inf), 1), ValueError, "rows must be finite"),
    ("top_k", (NAN, ROWS, 1), ValueError, "query must be finite"),
    ("top_k", (VECTOR, ROWS, 1.5), TypeError, "integer"),
    ("top_k", (VECTOR, ROWS, 1, [True]), ValueError, r"one flag a row, 2 \(got 1\)"),
    ("top_k", (VECTOR, ROWS, 1, [0, 1]), TypeError, "live must hold bool or uint8"),
    ("top_k", (VECTOR, ROWS > 0, 1), TypeError, "rows must hold floats"),
    ("normalize", (VECTOR,), ValueError, "rows must have 2 dimensions"),
    ("normalize", (NAN[None],), ValueError, "rows must be finite"),
    ("quantize_int8", (NAN[None],), ValueError, "rows must be finite"),
    ("quantize_int8", (ROWS.astype(int),), TypeError, "rows must hold floats"),
    ("dequantize_int8", (ROWS, VECTOR[:2]), TypeError, r"codes must hold int8 \(got float32\)"),
    ("dequantize_int8", (ROWS.astype(np.int8), VECTOR), ValueError, r"one number a row, 2 \(got 3\)"),
    ("dequantize_int8", (ROWS.astype(np.int8), NAN[:2]), ValueError, "scales must be finite"),
    ("binarize", (NAN[None],), ValueError, "rows must be finite"),
    ("hamming", (np.zeros(2, np.uint64), np.zeros(3, np.uint64)), ValueError, r"dimension 2 \(got 3\)"),
    ("hamming", (np.zeros(2, np.int64), np.zeros(2, np.uint64)), TypeError, "a must hold uint64"),
    ("to_f16", ([[65520.0]],), ValueError, "float16"),
    ("to_f16", (NAN[None],), ValueError, "rows must be finite"),
    ("from_f16", (ROWS,), TypeError, r"halves must hold float16 \(got float32\)"),
    ("from_f16", (NAN[None].astype(np.float16),), ValueError, "halves must be finite"),
]


@pytest.mark.parametrize(("name", "given_", "error", "text"), REFUSED)
def test_what_is_odd_is_refused_in_the_same_words(
    kernels: Kernels, name: str, given_: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        getattr(kernels.functions, name)(*given_)


def test_what_is_empty_gives_what_is_empty(kernels: Kernels) -> None:
    functions, none = kernels.functions, np.empty((0, 3), np.float32)
    assert functions.batch_similarity(VECTOR, none).shape == (0,)
    assert functions.top_k(VECTOR, none, 5)[0].shape == (0,)
    assert functions.top_k(VECTOR, ROWS, 0)[1].shape == (0,)
    assert functions.top_k(VECTOR, ROWS, 5, [False, False])[1].shape == (0,)
    assert functions.normalize(none).shape == (0, 3)
    assert functions.normalize(np.empty((3, 0), np.float32)).shape == (3, 0)
    assert functions.quantize_int8(none)[0].shape == (0, 3)
    assert functions.quantize_int8(np.empty((2, 0), np.float32))[1].tolist() == [0, 0]
    assert functions.dequantize_int8(np.empty((0, 3), np.int8), np.empty(0, np.float32)).shape == (0, 3)
    assert functions.binarize(none).shape == (0, 1)
    assert functions.to_f16(none).shape == (0, 3)
    assert functions.from_f16(none.astype(np.float16)).shape == (0, 3)
    assert functions.hamming(np.empty(0, np.uint64), np.empty(0, np.uint64)) == 0


def test_zero_vectors_are_like_nothing(kernels: Kernels) -> None:
    zero = np.zeros(3, np.float32)
    assert kernels.functions.cosine_similarity(zero, VECTOR) == 0
    assert kernels.functions.batch_similarity(zero, ROWS).tolist() == [0, 0]
    assert kernels.functions.batch_similarity(VECTOR, zero[None]).tolist() == [0]
    assert kernels.functions.normalize(zero[None]).tolist() == [[0, 0, 0]]


def test_arrays_of_any_layout_are_taken(kernels: Kernels, random: np.random.Generator) -> None:
    rows = random.standard_normal((20, 30)).astype(np.float32)
    query = rows[3].copy()
    wanted = kernels.functions.top_k(query, rows, 5)[0].tolist()
    strided = np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3]
    frozen = rows.copy()
    frozen.flags.writeable = False
    swapped = rows.astype(">f4")
    for other in (strided, frozen, np.asfortranarray(rows), rows.astype(np.float64), swapped, rows.tolist()):
        assert kernels.functions.top_k(query, other, 5)[0].tolist() == wanted
    assert kernels.functions.top_k(query[::-1][::-1], rows, 5)[0].tolist() == wanted
    assert kernels.functions.top_k(rows.astype(np.float16)[3], rows, 1)[0].tolist() == [3]


def test_an_unknown_instruction_set_is_refused(kernels: Kernels) -> None:
    before = kernels.functions.isa()
    with pytest.raises(ValueError, match="this machine has no 'mmx'; it has: "):
        kernels.functions.set_isa("mmx")
    assert kernels.functions.isa() == before
    assert before in kernels.functions.isas()


@pytest.mark.parametrize("n", [3, 4, 9])
def test_large_numbers_are_finite_however_many_there_are(kernels: Kernels, n: int) -> None:
    ids, scores = kernels.functions.top_k(np.ones(1, np.float32), np.full((n, 1), 3e38, np.float32), 2)
    assert ids.tolist() == [0, 1]
    assert scores.tolist() == [np.float32(3e38)] * 2
