"""Rows come, change and go, alone and in a life of changes, and the index answers as a list of those that are left would."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mimo_core import _numpy, _numpy_index

from .conftest import LEVELS, Kernels
from .judge import PLANS, Judge, agree, filled

pytestmark = pytest.mark.vectors


def test_an_index_that_was_never_made_is_empty(kernels: Kernels) -> None:
    if kernels.functions is _numpy:
        pytest.skip("the twin is plain Python")
    index = kernels.VectorIndex.__new__(kernels.VectorIndex)
    assert len(index) == 0
    assert index.stats()["rows"] == 0


def test_what_was_removed_is_gone_and_its_room_comes_back(
    kernels: Kernels, random: np.random.Generator
) -> None:
    index, judge = filled(kernels, random, 9000, 16)
    gone = list(judge.rows)[::2]
    assert index.remove([*gone, *gone, 10**12]) == len(gone)
    for id_ in gone:
        del judge.rows[id_]
    query = random.standard_normal(16).astype(np.float32)
    for _ in range(2):
        assert len(index) == len(judge.rows) == len(index.ids())
        for plan in PLANS:
            agree(index.search(query, 5, plan=plan, rescore=9000), judge.nearest(query, 5), 1e-3)
        assert gone[0] not in index
        assert next(iter(judge.rows)) in index
        index.compact()
    assert index.generation == 2
    assert index.stats()["dead"] == 0


def test_a_refused_change_changes_nothing(kernels: Kernels) -> None:
    index = kernels.VectorIndex(4)
    index.add([1, 2], np.eye(4, dtype=np.float32)[:2])
    one = np.ones((1, 4), np.float32)
    refused: list[tuple[Any, Any, Any, type[Exception], str]] = [
        ([2], one, None, ValueError, "id 2 is already there"),
        ([3, 3], np.ones((2, 4)), None, ValueError, "id 3 comes twice"),
        ([3], np.ones((2, 4)), None, ValueError, r"as many as ids, 1 \(got 2\)"),
        ([3], np.ones((1, 5)), None, ValueError, r"dimension 4 \(got 5\)"),
        ([3], one * np.nan, None, ValueError, "rows must be finite"),
        ([3], one.astype(int), None, TypeError, "rows must hold floats"),
        ([3.0], one, None, TypeError, "ids must hold integers"),
        ([2**63], one, None, ValueError, "ids must fit int64"),
        ([[3]], one, None, ValueError, "ids must have 1 dimension"),
        ([3], one, [2**31], ValueError, "groups must fit int32"),
        ([3], one, [1, 2], ValueError, r"as many as ids, 1 \(got 2\)"),
    ]
    for ids, rows, groups, error, text in refused:
        with pytest.raises(error, match=text):
            index.add(ids, rows, groups)
    assert index.ids().tolist() == [1, 2]
    assert index.stats()["version"] == 1
    index.add([], np.empty((0, 4), np.float32))
    assert index.remove([]) == 0
    with pytest.raises(KeyError, match="7"):
        index.rows([1, 7])


@pytest.mark.parametrize("dim", [1, 5, 64, 100, 384])
def test_rows_taken_as_they_are_stored_are_those_that_their_numbers_give(
    kernels: Kernels, random: np.random.Generator, dim: int
) -> None:
    halves = kernels.functions.to_f16(kernels.functions.normalize(random.standard_normal((90, dim))))
    halves[3] = 0
    blobs = [row.astype("<f2").tobytes() for row in halves]
    ids, groups = random.permutation(90), np.arange(90) % 3
    plain, stored = kernels.VectorIndex(dim), kernels.VectorIndex(dim)
    for index in (plain, stored):
        index.add(ids[:20], np.ones((20, dim), np.float32))
    blobs[4], blobs[50] = blobs[4][:-1], blobs[50] + b"\0\0"
    blobs[6] = np.array([*halves[6][:-1], np.nan]).astype("<f2").tobytes()
    blobs[89] = np.array([-np.inf, *halves[89][1:]]).astype("<f2").tobytes()
    assert stored.replace_stored(ids, blobs, groups) == [4, 6, 50, 89]
    sound = np.setdiff1d(np.arange(90), [4, 6, 50, 89])
    plain.replace(ids[sound], kernels.functions.from_f16(halves[sound]), groups[sound])
    assert stored.ids().tolist() == plain.ids().tolist()
    assert np.array_equal(stored.rows(stored.ids()), plain.rows(stored.ids()))
    for query in random.standard_normal((4, dim)):
        for options in ({"plan": "exact"}, {"plan": "int8"}, {"plan": "bits"}, {"groups": [0, 2]}):
            for one, two in zip(
                plain.search(query, 9, **options), stored.search(query, 9, **options), strict=True
            ):
                assert np.array_equal(one, two)


def test_stored_rows_that_make_no_sense_change_nothing(kernels: Kernels) -> None:
    index, one = kernels.VectorIndex(4), np.ones(4, "<f2").tobytes()
    refused: list[tuple[Any, Any, Any, type[Exception], str]] = [
        ([3, 3], [one, one], None, ValueError, "id 3 comes twice"),
        ([3], [one, one], None, ValueError, r"blobs must be as many as ids, 1 \(got 2\)"),
        ([3, 4], [one, bytearray(one)], None, TypeError, r"blobs must be bytes \(got bytearray\)"),
        ([3, 4], [one, None], None, TypeError, r"blobs must be bytes \(got NoneType\)"),
        ([3.0], [one], None, TypeError, "ids must hold integers"),
        ([3], [one], [2**31], ValueError, "groups must fit int32"),
        ([3], [one], [1, 2], ValueError, r"as many as ids, 1 \(got 2\)"),
    ]
    for ids, blobs, groups, error, text in refused:
        with pytest.raises(error, match=text):
            index.replace_stored(ids, blobs, groups)
    assert index.replace_stored([3], [b""]) == [0]
    assert index.replace_stored([], []) == []
    assert index.stats()["version"] == 0
    assert index.replace_stored([3], [one]) == []
    assert 3 in index


class Life(RuleBasedStateMachine):
    """Whatever is added, replaced, removed or compacted: the index answers as the judge."""

    level = ""

    @initialize()
    def begin(self) -> None:
        if self.level == "numpy":
            self.index: Any = _numpy_index.VectorIndex(3)
        else:
            from mimo_core import _core

            _core.set_isa(self.level)
            self.index = _core.VectorIndex(3)
        self.judge = Judge()

    vectors = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=3, max_size=3)

    @rule(
        rows=st.dictionaries(
            st.integers(-9, 40), st.tuples(vectors, st.integers(0, 2)), min_size=1, max_size=12
        )
    )
    def replace(self, rows: dict[int, tuple[list[float], int]]) -> None:
        self.index.replace(
            list(rows), [row for row, _ in rows.values()], [group for _, group in rows.values()]
        )
        self.judge.rows |= {id_: (np.array(row), group) for id_, (row, group) in rows.items()}

    @rule(rows=st.dictionaries(st.integers(-9, 40), st.tuples(vectors, st.integers(0, 2)), max_size=12))
    def replace_as_stored(self, rows: dict[int, tuple[list[float], int]]) -> None:
        blobs = [np.array(row, "<f2").tobytes() for row, _ in rows.values()]
        assert not self.index.replace_stored(list(rows), blobs, [group for _, group in rows.values()])
        self.judge.rows |= {id_: (np.array(row), group) for id_, (row, group) in rows.items()}

    @rule(ids=st.lists(st.integers(-9, 40), max_size=20))
    def remove(self, ids: list[int]) -> None:
        there = [id_ for id_ in set(ids) if self.judge.rows.pop(id_, None)]
        assert self.index.remove(ids) == len(there)

    @rule()
    def compact(self) -> None:
        self.index.compact()
        assert self.index.stats()["dead"] == 0

    @rule(query=vectors, k=st.integers(0, 60), group=st.integers(0, 3), plan=st.sampled_from(PLANS))
    def search(self, query: list[float], k: int, group: int, plan: str) -> None:
        agree(self.index.search(query, k, plan=plan), self.judge.nearest(query, k), 1e-3)
        agree(
            self.index.search(query, k, plan=plan, groups=[group]),
            self.judge.nearest(query, k, lambda _, g: g == group),
            1e-3,
        )

    @invariant()
    def holds_what_the_judge_holds(self) -> None:
        if hasattr(self, "index"):
            assert sorted(self.index.ids().tolist()) == sorted(self.judge.rows)
            assert len(self.index) == len(self.judge.rows)


@pytest.mark.parametrize("level", LEVELS)
def test_a_life_of_changes_leaves_the_right_answers(level: str) -> None:
    machine = type("Life", (Life,), {"level": level})
    machine.TestCase.settings = settings(
        max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine.TestCase("runTest").runTest()
