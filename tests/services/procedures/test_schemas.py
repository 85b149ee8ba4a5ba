"""What an input's schema says can be held: what no value would fit, or no run survive, is refused when it is defined."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.services.procedures.reading import problems_of
from mimo.services.procedures.shapes import KEYWORDS, misfits, unknown_words


def told(schema: object) -> list[str]:
    states = {"a": {"terminal": "success"}}
    raw = {"name": "job", "initial": "a", "input": schema, "states": states}
    return [str(each) for each in problems_of(raw, lambda name: pytest.fail(name))]


def of(**schema: Any) -> dict[str, Any]:
    return {"properties": {"n": schema}}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": {}}, "input.type: no type '{}'"),
        ({"type": [["x"]]}, "input.type: no type \"['x']\""),
        ({"type": []}, "input.type: no type '[]'"),
        ({"type": None}, "input.type: no type 'None'"),
        (of(type=[{}]), "input.n.type: no type '{}'"),
        (of(type={"a": 1}), "input.n.type: no type"),
        ({"anyOf": []}, "input.anyOf is empty, so no value would ever fit"),
        ({"oneOf": []}, "input.oneOf is empty"),
        (of(items={"anyOf": []}), "input.n[].anyOf is empty"),
        (of(anyOf=[5]), "input.n.anyOf[0] must be a JSON schema"),
        ({"required": [{"a": 1}]}, "input.required[0] must be a property's name, not an object"),
        ({"required": ["n", 5]}, "input.required[1] must be a property's name, not a number"),
        ({"required": "n"}, "input.required must be a list"),
        (of(enum=[]), "input.n.enum is empty"),
        (of(enum={}), "input.n.enum must be a list"),
        (of(type="integer", default="x"), "input.n.default must be integer, not a text: a default has to fit"),
        (of(type="string", default=None), "input.n.default must be string, not null"),
        (of(items={"type": "integer", "default": 1.5}), "input.n[].default must be integer"),
        (of(items={"anyOf": [{"const": n} for n in range(5_000)]}, default=[4_999] * 5_000), "input.n.default is too large to be held"),
        (of(minimum=5, maximum=1), "input.n.minimum is over maximum"),
        (of(minLength="a"), "input.n.minLength must be a number"),
    ],
)  # fmt: skip
def test_what_nothing_would_fit_or_nobody_could_hold_is_refused_with_its_place(schema: Any, why: str) -> None:
    problems = told(schema)
    assert any(why in each for each in problems), problems


def test_what_can_be_held_is_taken() -> None:
    good = {
        "type": "object",
        "properties": {
            "n": {"type": ["integer", "null"], "default": None, "minimum": 1, "maximum": 1},
            "s": {"anyOf": [{"type": "string", "minLength": 1}, {"const": 5}], "default": 5},
            "l": {"type": "array", "items": {"enum": ["a", "b"]}, "default": ["a"]},
        },
        "required": [],
    }
    assert not told(good)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.just(1.5) | st.sampled_from(["", "a", "object", "integer"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*sorted(KEYWORDS), "default", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*sorted(KEYWORDS), "default"]), VALUES, max_size=4), VALUES)
def test_any_schema_is_judged_and_any_value_held_against_it(schema: dict[str, Any], value: Any) -> None:
    assert all(each.startswith("input") for each in unknown_words(schema, "input"))
    assert all(each.startswith("arguments") for each in misfits(schema, value, "arguments"))
