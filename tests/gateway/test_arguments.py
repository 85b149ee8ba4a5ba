"""Argument errors name the field, the value, what is allowed, and the nearest name; nothing is coerced."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mimo.errors import InvalidArguments
from mimo.gateway.arguments import validated
from mimo.gateway.schema import schema_of
from mimo.tool import Answer, Arguments, Call, Tool


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    content: str = Field(min_length=1, max_length=20)
    kind: Literal["fact", "preference"] = "fact"


class Add(Arguments):
    """Use when something is worth keeping."""

    query: str = Field(min_length=1, max_length=30)
    limit: int = Field(5, ge=1, le=50)
    kind: Literal["fact", "preference", "decision"] | None = None
    importance: float = Field(0.5, gt=0, le=1)
    items: list[Item] | None = Field(None, max_length=3)
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    either: str | list[str] | None = None
    facts: dict[str, int] = Field(default_factory=dict[str, int])
    exact: bool = False
    code: str = Field("aa", pattern="^[a-z]+$")
    api_key: str = Field("", max_length=5)
    even: int = 0

    @field_validator("even")
    @classmethod
    def is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("only even numbers are even")
        return value

    @model_validator(mode="after")
    def not_both(self) -> "Add":
        if self.exact and self.tags:
            raise ValueError("exact and tags exclude each other")
        return self


async def never(arguments: Any, call: Call) -> Answer:
    raise AssertionError


TOOL = Tool("memory_add", Add, never)
SCHEMA = schema_of(Add)


def fit(arguments: Any) -> Add:
    given = validated(TOOL, arguments, SCHEMA)
    assert isinstance(given, Add)
    return given


def refusal(arguments: Any) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as caught:
        fit(arguments)
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 500}, "limit must be 1..50 (got 500)"),
        ({"limit": 0}, "limit must be 1..50 (got 0)"),
        ({"limit": "5"}, "limit must be a whole number, 1..50 (got '5')"),
        ({"limit": 5.5}, "limit must be a whole number, 1..50 (got 5.5)"),
        ({"limit": True}, "limit must be a whole number, 1..50 (got true)"),
        ({"limit": None}, "limit must be a whole number, 1..50 (got null)"),
        ({"limit": 10**400}, "limit must be 1..50 (got a huge number)"),
        ({"importance": 0}, "importance must be over 0 and at most 1 (got 0)"),
        ({"importance": "high"}, "importance must be a number, over 0 and at most 1 (got 'high')"),
        ({"exact": 1}, "exact must be true or false (got 1)"),
        ({"exact": "true"}, "exact must be true or false (got 'true')"),
        ({"qurey": "x"}, "unknown argument 'qurey'; did you mean 'query'?"),
        ({"Limit": 3}, "unknown argument 'Limit'; did you mean 'limit'?"),
        (
            {"kind": "fcat"},
            "kind must be one of fact, preference, decision (got 'fcat'; did you mean 'fact'?)",
        ),
        (
            {"kind": "FACT"},
            "kind must be one of fact, preference, decision (got 'FACT'; did you mean 'fact'?)",
        ),
        ({"kind": 3}, "kind must be one of fact, preference, decision (got 3)"),
        ({"query": ""}, "query must be a string of 1..30 characters (got 0 characters)"),
        ({"query": "a" * 31}, "query must be a string of 1..30 characters (got 31 characters)"),
        ({"query": ["x"]}, "query must be a string of 1..30 characters (got a list)"),
        ({"query": {"a": 1}}, "query must be a string of 1..30 characters (got an object)"),
        ({"query": "\ud800"}, "query must be valid Unicode"),
        ({"items": [{"content": "a"}, {"contnet": "b"}]}, "items[1].content is required"),
        ({"items": [{"content": "a", "x": 1}]}, "unknown argument 'x' in items[0]; there are: content, kind"),
        ({"items": ["a"]}, "items[0] must be an object (got 'a')"),
        ({"items": {}}, "items must be a list of 0..3 items (got an object)"),
        ({"items": [{"content": "a"}] * 4}, "items must be a list of 0..3 items (got 4 items)"),
        ({"tags": ["a", 1]}, "tags[1] must be a string (got 1)"),
        ({"since": "yesterday"}, "since must be a date-time as a string (got 'yesterday')"),
        ({"either": 3}, "either must be a string or a list (got 3)"),
        ({"facts": {"a": "b"}}, "facts.a must be a whole number (got 'b')"),
        ({"code": "A1"}, "code must be a string that matches ^[a-z]+$ (got 'A1')"),
        ({"even": 3}, "even: only even numbers are even"),
        ({"exact": True, "tags": ["a"]}, "exact and tags exclude each other"),
    ],
)
def test_the_message_says_how_to_make_it_fit(arguments: dict[str, Any], message: str) -> None:
    assert message in str(refusal({"query": "x"} | arguments))


def test_what_is_missing_is_named_with_what_it_should_be() -> None:
    error = refusal({})
    assert str(error) == "query is required (a string of 1..30 characters)"
    assert error.details == {"tool": "memory_add", "fields": ["query"]}


@pytest.mark.parametrize("arguments", [[], "x", 3, True])
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    assert "must be an object" in str(refusal(arguments))


def test_no_arguments_are_an_empty_object() -> None:
    assert "query is required" in str(refusal(None))


def test_all_problems_are_told_at_once_but_not_endlessly() -> None:
    error = refusal({"query": 1, "limit": "5", "kind": "x", "exact": 2, "even": 1, "importance": 7, "zzz": 1})
    message = str(error)
    assert message.count("; ") >= 5
    assert message.endswith("and 2 more")
    assert len(error.details["fields"]) == 7  # type: ignore[arg-type]


def test_a_thousand_unknown_names_make_a_short_message() -> None:
    error = refusal({"query": "x"} | {f"unknown_{number}_{'x' * 1000}": number for number in range(1000)})
    assert len(str(error)) < 2000
    assert len(json.dumps(error.details)) < 4000


def test_a_long_value_is_shortened_and_a_secret_is_not_shown_at_all() -> None:
    assert "hunter2" not in str(refusal({"query": "x", "api_key": ["hunter2"]}))
    assert "hunter2" not in str(refusal({"query": "x", "api_key": "hunter2"}))
    assert "z" * 38 not in str(refusal({"query": "x", "kind": "z" * 500}))


def test_a_value_cannot_break_the_line_or_colour_the_terminal() -> None:
    message = str(refusal({"query": "x", "kind": "a\n\x1b[31mb", "c\nd": 1}))
    assert "\n" not in message
    assert "\x1b" not in message


def test_json_is_taken_as_json_and_not_as_python() -> None:
    given = fit(
        {"query": "x", "tags": ["a", "b"], "since": "2026-01-02T03:04:05Z", "importance": 1, "kind": None}
    )
    assert given.tags == ("a", "b")
    assert given.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_foreign_schema_passes_what_it_does_not_know() -> None:
    class Anything(Arguments):
        model_config = ConfigDict(extra="allow")

    tool = Tool("files.read", Anything, never, schema={"type": "object"})
    given = validated(tool, {"path": "/x", "deep": {"a": [1, None]}}, tool.schema or {})
    assert given.model_extra == {"path": "/x", "deep": {"a": [1, None]}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Add.model_fields, "x", "querry"]), JSON) | JSON)
def test_whatever_comes_it_fits_or_is_refused_in_one_short_line(arguments: Any) -> None:
    """Never another error than InvalidArguments, never an empty message, never a line break."""
    try:
        fit(arguments)
    except InvalidArguments as error:
        message = str(error)
        assert 0 < len(message) < 2000
        assert "\n" not in message
        json.dumps(error.details)
