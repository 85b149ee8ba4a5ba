"""What was worth more, or used more, stays longer; and nothing fades while mimo is not used."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory.decay import ARCHIVED_BELOW, Fading, days_left, rate, retention

importances = st.floats(0, 1)
uses = st.integers(0, 10_000)
days = st.floats(0, 20_000)


def fading(importance: float, used: int = 0, idle: float = 0.0, *, protected: bool = False) -> Fading:
    return Fading(importance, used, idle, rate(importance), protected)


def test_half_lives_run_from_a_week_to_nineteen_years() -> None:
    assert math.isclose(math.log(2) / rate(0), 7)
    assert 18.5 < math.log(2) / rate(1) / 365 < 19.5


@given(importances, uses, days, days)
def test_retention_lies_between_nothing_and_all_and_never_grows_with_time(
    i: float, n: int, a: float, b: float
) -> None:
    early, late = sorted((a, b))
    assert 0 <= retention(fading(i, n, late)) <= retention(fading(i, n, early)) <= 1


@given(st.floats(0, 0.94), st.floats(0, 0.94), uses, days)
def test_more_important_is_never_less_retained(a: float, b: float, n: int, idle: float) -> None:
    less, more = sorted((a, b))
    assert retention(fading(less, n, idle)) <= retention(fading(more, n, idle)) + 1e-12


@given(importances, days)
def test_what_was_used_more_is_never_less_retained(i: float, idle: float) -> None:
    assert retention(fading(i, 3, idle)) <= retention(fading(i, 30, idle))


@given(importances, uses, days)
def test_what_is_protected_or_precious_is_never_due(i: float, n: int, idle: float) -> None:
    assert days_left(fading(i, n, idle, protected=True)) == math.inf
    assert days_left(fading(max(i, 0.95), n, idle)) == math.inf


@given(st.floats(0.11, 0.94), st.integers(0, 100), st.floats(0, 100))
def test_the_days_left_are_those_after_which_it_is_due(i: float, n: int, idle: float) -> None:
    left = days_left(fading(i, n, idle))
    if left > 0:
        assert days_left(fading(i, n, idle + left * 0.999)) > 0
        assert math.isclose(retention(fading(i, n, idle + left)), ARCHIVED_BELOW, rel_tol=1e-6)
    assert days_left(fading(i, n, idle + left * 1.001 + 0.001)) == 0
