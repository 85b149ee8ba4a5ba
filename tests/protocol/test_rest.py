"""Bodies within bounds, and errors in one form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo import errors
from mimo.errors import Busy, InvalidArguments, MimoError, Unavailable
from mimo.protocol import jsonrpc, sse
from mimo.protocol.rest import (
    STATUS,
    Refused,
    data_of,
    problem_of,
    read_object,
    retry_after,
    status_of,
    tool_error,
    tool_result,
)
from mimo.tool import Answer

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MimoError)]


@pytest.mark.parametrize("kind", [each for each in KINDS if each is not MimoError])
def test_every_error_has_a_status(kind: type[MimoError]) -> None:
    assert kind in STATUS
    assert 400 <= status_of(kind("text")) < 600


@given(st.binary())
def test_a_body_is_an_object_or_an_error_that_the_caller_is_told(body: bytes) -> None:
    """Whatever the bytes, there is an object or one of two errors."""
    try:
        found = read_object(body)
    except (Refused, InvalidArguments):
        return
    assert json.loads(body) == found


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.booleans()))
def test_what_was_an_object_is_read_as_it_was(value: dict[str, Any]) -> None:
    assert read_object(jsonrpc.encode(value)) == value


def test_an_error_says_when_to_come_again_in_whole_seconds() -> None:
    assert retry_after(Busy("full", after=0.2)) == "1"
    assert retry_after(Busy("full", after=2.1)) == "3"
    assert retry_after(Unavailable("gone")) == "1"
    assert retry_after(InvalidArguments("wrong")) is None


def test_an_error_has_one_form() -> None:
    told = problem_of(
        InvalidArguments("limit must be 1..50", field="limit", odd={1, 2}, deep={"a": (1, None)}), "r1"
    )
    assert told["type"] == told["code"] == "invalid_arguments"
    assert (told["message"], told["id"], told["retry"], told["param"]) == (
        "limit must be 1..50",
        "r1",
        False,
        "limit",
    )
    assert told["details"]["odd"] == [1, 2]
    assert told["details"]["deep"] == {"a": [1, None]}
    assert "details" not in problem_of(InvalidArguments("x"), "r1")


def test_a_tool_that_says_it_failed_is_an_error_with_its_text() -> None:
    told = tool_result("c1", Answer.text("no such file", failed=True), 0.25)
    assert told["status"] == "error"
    assert told["error"]["message"] == "no such file"
    assert told["latency_ms"] == 250
    assert tool_error("c1", Busy("full"), 0)["error"]["retry"] is True


def test_an_answer_is_data_else_text_else_its_blocks() -> None:
    image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
    assert tool_result("c", Answer(data={"a": 1}), 0)["data"] == {"a": 1}
    assert tool_result("c", Answer.text("hello"), 0)["data"] == "hello"
    assert tool_result("c", Answer((image,)), 0)["data"] == [image]
    assert data_of(Answer(data=[1])) == {"data": [1]}
    assert data_of(Answer.text("hello")) == {"text": "hello"}


def test_an_event_says_its_kind_and_its_number() -> None:
    assert sse.message(b"{}", kind="memory:added", number=7) == b"id: 7\nevent: memory:added\ndata: {}\n\n"
    assert sse.message(b"{}") == b"event: message\ndata: {}\n\n"
