"""Which guards exclude each other as the language compares; and that to judge them takes no longer than to read them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.services.procedures.effort import Nonsense
from mimo.services.procedures.expressions import holds
from mimo.services.procedures.guards import exclude, said_by
from mimo.services.procedures.reading import problems_of

ENDS = {"ok": {"terminal": "success"}, "no": {"terminal": "success"}}


def told(*guards: str, orders: bool = False) -> list[str]:
    ways = [
        {"to": "ok" if number % 2 else "no", "guard": guard, **({"order": number} if orders else {})}
        for number, guard in enumerate(guards)
    ]
    raw = {"name": "job", "initial": "a", "states": {"a": {"transitions": ways}, **ENDS}}
    return [str(each) for each in problems_of(raw, lambda name: pytest.fail(name))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("input.x == 1", "input.x == 2"),
        ("input.x == 1", "input.x == true"),
        ("input.x == 0", "input.x == false"),
        ("input.x == -1", "input.x == 1"),
        ("input.x == 'a'", "input.x == 'b'"),
        ("input.x == '1'", "input.x == 1"),
        ("input.x == [1]", "input.x == [2]"),
        ("input.x == null", "input.x != null"),
        ("input.x == 1", "input.x != 1.0"),
        ("1 == input.x", "2 == input.x"),
        ("input.x < 5", "5 <= input.x"),
        ("input.x < 5", "input.x > 5.0"),
        ("input.x", "not input.x"),
        ("input.x in [1]", "input.x not in [1.0]"),
        ("input.y and not (input.x > 1)", "input.x > 1 and input.z"),
        ("input.y == 1 and input.x == 2", "input.x == 3 and input.z == 1"),
    ],
)
def test_guards_that_exclude_each_other_need_no_order(one: str, other: str) -> None:
    assert not told(one, other)
    assert not told(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("input.x == 1", "input.x != true"),
        ("input.x == true", "input.x != 1"),
        ("input.x == 0", "input.x != false"),
        ("input.x == 1", "input.x == 1.0"),
        ("input.x == [1]", "input.x == [1.0]"),
        ("input.x == [1]", "input.x != [true]"),
        ("input.x in [1]", "input.x not in [true]"),
        ("input.x == 1", "input.y == 2"),
        ("input.x == 1", "input.x == input.y"),
        ("input.x > 1", "input.x > 2"),
    ],
)
def test_guards_that_may_both_hold_need_an_order(one: str, other: str) -> None:
    assert any("may both hold" in each or "a duplicate" in each for each in told(one, other))
    assert not told(one, other, orders=True)


LITERALS = ["1", "true", "1.0", "0", "-1", "null", "'1'", "[1]", "[true]"]
SIGNS = ["==", "!=", "==", "!=", "<", "<=", ">", ">="]
TERMS = st.builds(
    lambda left, sign, right, turned: f"{right} {sign} {left}" if turned else f"{left} {sign} {right}",
    st.sampled_from(["input.x", "input.x", "input.y"]), st.sampled_from(SIGNS), st.sampled_from(LITERALS), st.booleans(),
)  # fmt: skip
GUARDS = TERMS | TERMS.map("not ({})".format) | st.tuples(TERMS, TERMS).map(" and ".join)
VALUES = st.sampled_from([1, True, 1.0, 0, False, -1, None, "1", [1], [True]])


@settings(max_examples=500, deadline=None)
@given(GUARDS, GUARDS, VALUES, VALUES)
def test_guards_that_exclude_each_other_never_both_hold(one: str, other: str, x: Any, y: Any) -> None:
    context: Mapping[str, Any] = {"input": {"x": x, "y": y}}
    both = False
    with suppress(Nonsense):
        both = holds(one, context) and holds(other, context)
    assert not (both and exclude(said_by(one), said_by(other)))


@pytest.mark.parametrize("orders", [True, False])
def test_many_long_guards_are_judged_in_no_time(orders: bool) -> None:
    guards = [" and ".join(f"run.a{term}!={number}" for term in range(80)) for number in range(80)]
    began = time.process_time()
    problems = told(*guards, orders=orders)
    assert len(problems) == (0 if orders else 79), "one for each that may hold beside an earlier one"
    assert time.process_time() - began < 5


def test_what_may_hold_beside_several_is_told_once() -> None:
    problems = told("input.x > 1", "input.x > 2", "input.x > 3")
    assert [each.split(":")[0] for each in problems] == ["states.a.transitions[1]", "states.a.transitions[2]"]
    assert "an earlier one" in problems[1]


def test_thousands_of_wrong_names_are_told_in_no_time() -> None:
    far = "state_of_the_machine_that_is_many_"
    states = {
        f"{far}{number:020}": {
            "transitions": [{"event": f"e{way}", "to": f"{far}{number:018}{way}"} for way in range(5)]
        }
        for number in range(480)
    }
    began = time.process_time()
    raw = {"name": "job", "initial": next(iter(states)), "states": states}
    problems = [
        str(each) for each in problems_of(raw, lambda name: pytest.fail(name)) if "no state" in str(each)
    ]
    assert len(problems) == 2_400
    assert "did you mean" in problems[0]
    assert time.process_time() - began < 20
