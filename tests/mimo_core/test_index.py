"""The index answers as a list of rows would, sorted anew for every question."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimo_core import _numpy, _numpy_index

from .conftest import Kernels
from .judge import PLANS, agree, filled

pytestmark = pytest.mark.vectors


@pytest.mark.parametrize("dim", [1, 16, 64, 100, 384])
@pytest.mark.parametrize("tier", ["f16", "f32"])
def test_every_plan_finds_the_nearest(
    kernels: Kernels, random: np.random.Generator, dim: int, tier: str
) -> None:
    index, judge = filled(kernels, random, 300, dim, ("bits", "int8", tier))
    within = 1e-3 if tier == "f16" else 1e-5
    for query in random.standard_normal((5, dim)).astype(np.float32):
        for plan in PLANS:  # 300 rows are rescored at once: the codes lose nothing
            agree(index.search(query, 7, plan=plan, rescore=300), judge.nearest(query, 7), within)
        agree(index.search(query, 1000), judge.nearest(query, 1000), within)


def test_filters_narrow_the_search_before_it_counts(kernels: Kernels, random: np.random.Generator) -> None:
    index, judge = filled(kernels, random, 5000, 24)
    query = random.standard_normal(24).astype(np.float32)
    few = list(judge.rows)[::97]
    positions = index.positions_of(few)
    mask = np.zeros(len(index), np.bool_)
    mask[positions] = True
    for plan in PLANS:
        search = {"plan": plan, "rescore": 5000}
        agree(
            index.search(query, 9, groups=[1, 3], **search),
            judge.nearest(query, 9, lambda _, g: g in (1, 3)),
            1e-3,
        )
        agree(
            index.search(query, 9, allowed=[*few, 10**9], **search),
            judge.nearest(query, 9, lambda i, _: i in few),
            1e-3,
        )
        agree(
            index.search(query, 9, mask=mask, **search), judge.nearest(query, 9, lambda i, _: i in few), 1e-3
        )
        both = index.search(query, 9, mask=mask, groups=[2], allowed=few[:30], **search)
        agree(both, judge.nearest(query, 9, lambda i, g: i in few[:30] and g == 2), 1e-3)
        assert index.search(query, 9, groups=[], **search)[0].size == 0
        assert index.search(query, 9, allowed=[], **search)[0].size == 0
        assert index.search(query, 9, mask=mask[:0], **search)[0].size == 0
        assert index.search(query, 9, groups=[9], **search)[0].size == 0
    assert (index.search(query, 5000, min_score=0.1)[1] >= 0.1).all()


def test_both_twins_give_the_same_ids(kernels: Kernels, random: np.random.Generator) -> None:
    index, _ = filled(kernels, np.random.default_rng(1), 20_000, 70)
    twin, _ = filled(Kernels(_numpy, _numpy_index.VectorIndex), np.random.default_rng(1), 20_000, 70)
    for one in (index, twin):
        assert one.remove(np.arange(-20_000, 0)) == 6667
        one.replace([5, 100_000], np.ones((2, 70), np.float32), [1, 2])
    for query in random.standard_normal((8, 70)).astype(np.float32):
        for plan in PLANS:
            for rescore in (0, 20):
                one, other = (
                    x.search(query, 20, plan=plan, rescore=rescore, groups=[0, 1]) for x in (index, twin)
                )
                assert one[0].tolist() == other[0].tolist()
                assert np.allclose(one[1], other[1], atol=1e-5)
    assert index.probe(5, 5) == twin.probe(5, 5)
    assert index.ids().tolist() == twin.ids().tolist()
    assert np.allclose(index.rows([5, 10]), twin.rows([5, 10]), atol=1e-6)


def test_equal_rows_come_in_the_order_of_their_ids(kernels: Kernels, random: np.random.Generator) -> None:
    index = kernels.VectorIndex(20)
    ids = random.permutation(9000)
    index.add(ids, np.tile(random.standard_normal(20).astype(np.float32), (9000, 1)))
    query = random.standard_normal(20).astype(np.float32)
    assert index.search(query, 40, plan="exact")[0].tolist() == list(range(40))
    for plan in ("bits", "int8"):  # however many more are equal than are handed on
        assert index.search(query, 40, plan=plan, rescore=50)[0].tolist() == list(range(40))
        assert index.search(query, 40, plan=plan, rescore=50, threads=2)[0].tolist() == list(range(40))


@pytest.mark.parametrize(
    ("plan", "tiers"),
    [
        ("bits", ("bits",)),
        ("bits", ("bits", "f32")),
        ("bits", ("bits", "int8")),
        ("bits", ("bits", "int8", "f16")),
        ("int8", ("int8",)),
        ("int8", ("bits", "int8", "f16")),
    ],
)
def test_of_many_equal_rows_behind_nearer_ones_the_lowest_ids_are_found(
    kernels: Kernels, random: np.random.Generator, plan: str, tiers: tuple[str, ...]
) -> None:
    query, same = random.standard_normal((2, 64)).astype(np.float32)
    same += query  # near, but for those that are nearer
    index = kernels.VectorIndex(64, tiers)
    ids = random.permutation(5000)
    index.add(ids, np.tile(same, (5000, 1)))
    nearer = np.array([query + 0.1 * one for one in random.standard_normal((20, 64))], np.float32)
    index.add(np.arange(9000, 9020), nearer)
    index.add(np.arange(10_000, 14_000), random.standard_normal((4000, 64)).astype(np.float32) - query)
    found = index.search(query, 30, plan=plan, rescore=100)[0].tolist()
    assert sorted(found[:20]) == list(range(9000, 9020))
    assert found[20:] == list(range(10))


@pytest.mark.parametrize(
    "tiers", [("bits",), ("int8",), ("f16",), ("f32",), ("bits", "int8"), ("bits", "f32")]
)
def test_any_set_of_tiers_answers(
    kernels: Kernels, random: np.random.Generator, tiers: tuple[str, ...]
) -> None:
    index, judge = filled(kernels, random, 500, 128, tiers)
    assert index.tiers == tiers
    id_ = next(iter(judge.rows))
    query = judge.rows[id_][0].astype(np.float32)
    ids, scores = index.search(query, 3)
    assert ids[0] == id_
    assert scores[0] == pytest.approx(1, abs=0.01)
    if tiers == ("bits",):
        assert scores[1] == pytest.approx(judge.nearest(query, 2)[1][1], abs=0.3)  # an estimate
        with pytest.raises(ValueError, match="codes cannot be turned back"):
            index.rows([id_])
    else:
        assert np.allclose(index.rows([id_])[0], query / np.linalg.norm(query), atol=0.01)
    for plan, needs in {"exact": {"f16", "f32"}, "int8": {"int8"}, "bits": {"bits"}}.items():
        if not needs & set(tiers):
            with pytest.raises(ValueError, match=f"plan '{plan}' needs a tier"):
                index.search(query, 3, plan=plan)


def test_how_many_codes_hand_on_is_nothing_to_int8(kernels: Kernels, random: np.random.Generator) -> None:
    """Among rows that differ in the third place int8 alone takes another for the nearest."""
    index = kernels.VectorIndex(32)
    rows = (random.standard_normal(32) + 1e-3 * random.standard_normal((5000, 32))).astype(np.float32)
    index.add(range(5000), rows)
    index.candidates = 1
    for row in rows[:20]:
        nearest = index.search(row, 1, plan="int8")[0].tolist()
        assert index.search(row, 1)[0].tolist() == nearest
    assert kernels.VectorIndex(8).candidates == 0


@pytest.mark.parametrize("dim", [1, 64, 70, 384])
def test_codes_alone_are_put_in_order_by_the_numbers_of_the_query(
    kernels: Kernels, random: np.random.Generator, dim: int
) -> None:
    index, judge = filled(kernels, random, 3000, dim, ("bits",))
    query = random.standard_normal(dim).astype(np.float32)
    codes = kernels.functions.quantize_int8(kernels.functions.normalize(query[None]))[0][0].astype(int)
    estimates = {
        id_: int(np.where(row > 0, codes, -codes).sum()) / int(np.abs(codes).sum())
        for id_, (row, _) in judge.rows.items()
    }
    best = sorted((-estimate, id_) for id_, estimate in estimates.items())[:50]
    ids, scores = index.search(query, 50, rescore=3000)
    assert ids.tolist() == [id_ for _, id_ in best]
    assert np.allclose(scores, [-estimate for estimate, _ in best])


def test_nothing_is_near_to_a_question_of_zeros_by_codes_alone(kernels: Kernels) -> None:
    index = kernels.VectorIndex(8, ("bits",))
    index.add([3, 1], np.ones((2, 8), np.float32))
    ids, scores = index.search(np.zeros(8, np.float32), 2)
    assert ids.tolist() == [1, 3]
    assert scores.tolist() == [0, 0]


def test_large_dimensions_are_counted_right(kernels: Kernels, random: np.random.Generator) -> None:
    """Beyond 1,984 numbers a byte no longer holds the distance of codes, beyond 1,040 a float not the int8 sum."""
    index, judge = filled(kernels, random, 64, 4096)
    for plan in PLANS:
        for id_ in list(judge.rows)[:4]:
            query = judge.rows[id_][0].astype(np.float32)
            agree(index.search(query, 5, plan=plan), judge.nearest(query, 5), 1e-3)
    opposite = kernels.VectorIndex(4096, ("bits",))
    opposite.add([1, 2], np.stack([np.ones(4096, np.float32), -np.ones(4096, np.float32)]))
    assert opposite.search(np.ones(4096, np.float32), 2)[1].tolist() == pytest.approx([1, -1])


def test_a_search_that_makes_no_sense_is_refused(kernels: Kernels) -> None:
    index = kernels.VectorIndex(4)
    index.add([1], np.ones((1, 4), np.float32))
    query = np.ones(4, np.float32)
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (query[:3], {}, ValueError, r"dimension 4 \(got 3\)"),
        (query * np.inf, {}, ValueError, "query must be finite"),
        (query > 0, {}, TypeError, "query must hold floats"),
        (query, {"plan": "graph"}, ValueError, "unknown plan 'graph'; there are: auto, exact, int8, bits"),
        (query, {"groups": [0.5]}, TypeError, "groups must hold integers"),
        (query, {"allowed": ["a"]}, TypeError, "allowed must hold integers"),
        (query, {"mask": [0.5]}, TypeError, "mask must hold bool"),
    ]
    for given_, options, error, text in refused:
        with pytest.raises(error, match=text):
            index.search(given_, 1, **options)
    for dim in (0, -1, 16385):
        with pytest.raises(ValueError, match=rf"dimension must be 1\.\.16384 \(got {dim}\)"):
            kernels.VectorIndex(dim)
    with pytest.raises(ValueError, match="unknown tier 'f8'"):
        kernels.VectorIndex(4, ("f8",))
    with pytest.raises(ValueError, match="needs a tier"):
        kernels.VectorIndex(4, ())
    with pytest.raises(ValueError, match="needs a tier"):
        kernels.VectorIndex(4, ("f32",)).probe()


def test_nothing_in_gives_nothing_out(kernels: Kernels) -> None:
    index = kernels.VectorIndex(4)
    query = np.ones(4, np.float32)
    for plan in PLANS:
        assert index.search(query, 5, plan=plan)[0].size == 0
    assert index.probe() == 1
    assert index.ids().size == 0
    index.compact()
    index.add([1], query[None])
    for k in (0, -3):
        assert index.search(query, k)[0].size == 0
    ids, scores = index.search_batch(np.stack([query, -query]), 3, min_score=0)
    assert ids.tolist() == [[1], [-1]]
    assert scores[0, 0] == pytest.approx(1)
    assert scores[1, 0] == -math.inf
    assert index.search_batch(np.empty((0, 4), np.float32), 3)[0].shape == (0, 0)


def test_a_zero_vector_is_like_nothing(kernels: Kernels) -> None:
    index = kernels.VectorIndex(4)
    index.add([3, 1, 2], np.stack([np.zeros(4), np.ones(4), -np.ones(4)]))
    assert index.search(np.zeros(4, np.float32), 3)[1].tolist() == [0, 0, 0]
    assert index.search(np.zeros(4, np.float32), 3)[0].tolist() == [1, 2, 3]
    ids, scores = index.search(np.ones(4, np.float32), 3)
    assert ids.tolist() == [1, 3, 2]
    assert scores[1] == 0


def test_auto_takes_the_cheapest_plan_that_loses_nothing(
    kernels: Kernels, random: np.random.Generator
) -> None:
    """Random vectors have no neighbours to speak of, so the codes show by what they miss."""
    index, judge = filled(kernels, random, 6000, 40)
    query = random.standard_normal(40).astype(np.float32)
    assert index.search(query, 10)[0].tolist() == index.search(query, 10, plan="int8")[0].tolist()
    agree(index.search(query, 10), judge.nearest(query, 10), 1e-3)
    codes, judge = filled(kernels, random, 6000, 40, ("bits", "f16"))
    assert codes.search(query, 10)[0].tolist() == codes.search(query, 10, plan="bits")[0].tolist()
    codes.candidates = 6000
    agree(codes.search(query, 10, plan="bits"), judge.nearest(query, 10), 1e-3)
    codes.candidates, codes.codes_trusted = 0, False
    agree(codes.search(query, 10), judge.nearest(query, 10), 1e-3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_scores_agree_with_the_judge_in_any_dimension(kernels: Kernels, data: st.DataObject) -> None:
    dim = data.draw(st.integers(1, 150))
    seed = data.draw(st.integers(0, 2**32 - 1))
    n = data.draw(st.integers(1, 70))
    random = np.random.default_rng(seed)
    index, judge = filled(kernels, random, n, dim, ("bits", "int8", "f32"))
    query = random.standard_normal(dim).astype(np.float32)
    for plan in PLANS:
        agree(index.search(query, 9, plan=plan), judge.nearest(query, 9), 1e-5)
