"""Conversations as JSON: what is read of them, and what an answer looks like in pieces."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import InvalidArguments
from mimo.protocol.chat import completion, pieces, read_conversation, usage

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "type", "model", "messages", "stream"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["model", "messages", "stream", "stream_options", "x"]), ANYTHING))
def test_every_body_is_read_or_refused_by_name(body: dict[str, Any]) -> None:
    """A body of JSON is a conversation, or refused with the argument that does not fit."""
    refused = None
    try:
        read = read_conversation(body)
        assert read.body is body
        assert len(read.texts) == len(body["messages"])
    except InvalidArguments as error:
        refused = error
    assert refused is None or refused.details["field"] in {"model", "messages", "stream", "stream_options"}


def test_the_last_question_counts_and_the_one_before_it_is_known() -> None:
    parts = [{"type": "text", "text": "third"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": parts},
    ]
    read = read_conversation({"model": "mimo", "messages": said})
    assert (read.question, list(read.before)) == ("third", ["second"])
    nobody = read_conversation({"model": "mimo", "messages": [{"role": "system", "content": "x"}]})
    assert (nobody.question, list(nobody.before)) == ("", [])


@given(st.text(max_size=1_000))
def test_the_pieces_make_the_whole(text: str) -> None:
    """What is streamed is what would have been said at once, whatever is in it."""
    cost = usage(3, 2)
    whole = completion("1", "mimo", 5, text, cost)
    *events, done = b"".join(pieces("1", "mimo", 5, text, cost)).split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    told = [json.loads(each.removeprefix(b"data: ")) for each in events]
    said = "".join(each["choices"][0]["delta"].get("content", "") for each in told if each["choices"])
    assert said == text == whole["choices"][0]["message"]["content"]
    assert told[-1]["usage"] == whole["usage"] == {**cost}
    assert {each["id"] for each in told} == {whole["id"]}
