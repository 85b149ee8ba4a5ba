"""The language of guards and templates: what it says, and that it says it of every text."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.procedures.expressions import Nonsense, holds, value_of
from mimo.services.procedures.grammar import Unreadable, parsed
from mimo.services.procedures.templates import expressions_in, filled

CONTEXT: dict[str, Any] = {
    "input": {"n": 3, "name": "x", "list": [1, "two", {"three": 3}], "none": None, "yes": True, "a-b": 7},
    "error": {"kind": "busy"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-input.n + 1", -2),
        ("7 / 2", 3.5),
        ("8 / 2", 4),
        ("7 % 4", 3),
        ("input.list[2].three", 3),
        ("input.list[-1]['three']", 3),
        ("input['a-b']", 7),
        ("input.nothing.deeper[4]", None),
        ("length(input.list) == 3 and length(input.name) == 1", True),
        ("length(input.nothing)", 0),
        ("default(input.nothing, 'd')", "d"),
        ("'two' in input.list", True),
        ("2 not in input.list", True),
        ("'n' in input", True),
        ("'us' in error.kind", True),
        ("not input.yes or false", False),
        ("not not input.yes", True),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("[1, [2]] == [1, [2]]", True),
        ("input.none == null", True),
        ("'a' + \"b\\n\"", "ab\n"),
        ("'a' < 'b'", True),
        ("input.n >= 3 and error.kind != 'x'", True),
        ("false and 1 / 0", False),
    ],
)
def test_what_expressions_say(text: str, value: Any) -> None:
    said = value_of(parsed(text), CONTEXT)
    assert said == value
    assert isinstance(said, bool) is isinstance(value, bool)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "a division by zero"),
        ("1 % 0", "a division by zero"),
        ("1 + 'a'", "takes numbers, not a text"),
        ("'a' < 1", "takes numbers"),
        ("input.n and true", "neither true nor false"),
        ("9223372036854775807 * 2", "too large"),
        ("length(3)", "has no length"),
        ("1 in 2", "looks into"),
        ("true + 1", "takes numbers, not true"),
    ],
)
def test_what_has_no_value_says_why(text: str, why: str) -> None:
    with pytest.raises(Nonsense, match=why):
        value_of(parsed(text), CONTEXT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a value is wanted .at the end"),
        ("1 +", "a value is wanted .at the end, 4"),
        ("1 2", "what is '2' at 3"),
        ("a.", "a name is wanted"),
        ("a < b < c", "two things at a time"),
        ("open('x')", "no function 'open'"),
        ("length()", "takes 1"),
        ("a = b", "what is '='"),
        ("a; b", "what is ';'"),
        ("(((1)", "'\\)' is wanted"),
        ("'a", "what is"),
        ("'\\x41'", "no escape"),
        ("(" * 50 + "1" + ")" * 50, "nested more than"),
        ("not " * 50 + "true", "nested more than"),
        ("-" * 50 + "1", "nested more than"),
        ("1" + "+1" * 200, "operators"),
        ("1e999", "too large"),
        ("1" * 2_001, "at most 2000"),
        ("a.__class__.__mro__ @ b", "what is '@'"),
    ],
)
def test_what_is_no_expression_says_where(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parsed(text)


def test_no_path_leads_to_python() -> None:
    for text in (
        "input.__class__",
        "input.keys",
        "input.list.append",
        "input.name.format",
        "input['__class__']",
    ):
        assert value_of(parsed(text), CONTEXT) is None
    with pytest.raises(Unreadable):
        parsed("input.keys()")


def test_a_template_keeps_the_type_of_what_is_all_of_it() -> None:
    template = {
        "a": "${input.n}",
        "b": ["${input.list}", "n=${input.n}, ${input.list[2]}"],
        "c": "$${input.n} } $",
        "d": 5,
    }
    assert filled(template, CONTEXT) == {
        "a": 3,
        "b": [[1, "two", {"three": 3}], 'n=3, {"three": 3}'],
        "c": "${input.n} } $",
        "d": 5,
    }
    assert filled("${'}' + \"${\"}", CONTEXT) == "}${"
    assert filled("${input.none}", CONTEXT) is None


@pytest.mark.parametrize(
    "text", ["${nowhere}", "${input.nothing}", "${input.list[9]}", "x ${error.kind.deeper}"]
)
def test_a_template_that_reaches_outside_the_context_is_an_error(text: str) -> None:
    with pytest.raises(Nonsense, match="there is no"):
        filled(text, CONTEXT)


def test_a_template_does_not_grow_without_bound() -> None:
    with pytest.raises(Nonsense, match="at most"):
        filled("${input.long}${input.long}", {"input": {"long": "x" * 60_000}})


PIECES = st.sampled_from(
    "input error .n .list [ ] ( ) , 0 1 2.5 'a' \"b\" + - * / % == != < <= > >= and or not in length( default( true null ${ } $ \\ é".split()
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=20).map(" ".join),
    st.lists(PIECES, max_size=20).map("".join),
    st.text(max_size=60),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "list", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(TEXTS, JSON)
def test_every_text_is_an_expression_or_says_why_not_and_every_expression_has_a_value_or_says_why_not(
    text: str, value: Any
) -> None:
    with contextlib.suppress(Unreadable):
        node = parsed(text)
        with contextlib.suppress(Nonsense):
            assert repr(value_of(node, CONTEXT)) == repr(value_of(node, CONTEXT))
        with contextlib.suppress(Nonsense):
            assert holds(text, {"input": value, "error": {"kind": "x"}}) in {True, False}


@given(TEXTS, JSON)
def test_every_template_is_filled_or_says_why_not(text: str, value: Any) -> None:
    unreadable = any(isinstance(node, Unreadable) for _, node in expressions_in(text, "x"))
    try:
        filled(text, {"input": value})
    except Unreadable:
        assert unreadable
    except Nonsense:
        assert not unreadable
    else:
        assert not unreadable
