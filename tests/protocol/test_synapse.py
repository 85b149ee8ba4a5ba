"""Synapse's frames and wishes: both serialisations say the same, and nothing that comes in breaks the reader."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import InvalidArguments, NotFound, TooSlow
from mimo.protocol import synapse
from mimo.protocol.synapse import CallTool, Frame, Interrupt, Ping, Priority, Query, Subscribe, Version

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PAYLOADS = st.dictionaries(
    NAMES, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES, max_size=4
)
FRAMES = st.builds(Frame, NAMES, NAMES, PAYLOADS, st.none() | NAMES, st.none() | NAMES)


@given(FRAMES, st.sampled_from(Version))
def test_what_is_written_is_read_again(frame: Frame, how: Version) -> None:
    """read(write(frame)) == frame, in both serialisations."""
    assert synapse.read(synapse.write(frame, how), how) == frame


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_any_text_is_a_frame_or_refused_in_words(text: str) -> None:
    """A frame, or InvalidArguments; never another error."""
    for how in Version:
        with suppress(InvalidArguments):
            synapse.wish(synapse.read(text, how))


@given(
    st.dictionaries(
        st.sampled_from(["q", "ref", "priority", "timeout", "events", "name"]), st.text() | st.integers()
    )
)
def test_any_payload_is_a_wish_or_refused_in_words(payload: dict[str, Any]) -> None:
    """A wish, or InvalidArguments; never another error."""
    for event in ("query", "tool", "interrupt", "subscribe", "ping"):
        with suppress(InvalidArguments):
            assert synapse.wish(Frame("cortex:a", event, payload, "1"))


def test_a_frame_is_an_object_for_old_clients_and_an_array_for_new_ones() -> None:
    frame = Frame("cortex:a", "query", {"q": "x"}, "2", "1")
    assert json.loads(synapse.write(frame, Version.ARRAYS)) == ["1", "2", "cortex:a", "query", {"q": "x"}]
    assert json.loads(synapse.write(frame, Version.OBJECTS)) == {
        "topic": "cortex:a",
        "event": "query",
        "payload": {"q": "x"},
        "ref": "2",
        "join_ref": "1",
    }


def test_a_client_that_names_no_version_is_an_old_one() -> None:
    assert synapse.version(None) is Version.OBJECTS
    assert synapse.version("2.0.0") is Version.ARRAYS
    with pytest.raises(InvalidArguments, match=r"3\.0\.0"):
        synapse.version("3.0.0")


@pytest.mark.parametrize("topic", ["cortex:", "cortex:a b", "room:a", "cortex:" + "a" * 65, "cortex:../x"])
def test_only_agents_have_topics(topic: str) -> None:
    with pytest.raises(InvalidArguments, match="cortex:<agent_id>"):
        synapse.agent_of(topic)


def test_wishes_are_what_the_events_say() -> None:
    def wish(event: str, **payload: Any) -> synapse.Wish:
        return synapse.wish(Frame("cortex:a", event, payload, "7"))

    asked = wish("query", q="who?", ref="a", priority="high", timeout=1500)
    assert asked == Query("who?", "a", Priority.HIGH, 1.5)
    assert wish("query", q="who?") == Query("who?", "7")
    assert wish("interrupt", ref="a", reason="enough") == Interrupt("a", "enough")
    assert wish("tool", name="t", arguments={"x": 1}, ref=3) == CallTool("t", {"x": 1}, "3")
    assert wish("ping") == Ping()
    assert wish("subscribe", events=["memory:*", "memory:*"]) == Subscribe(("memory:*",))


@pytest.mark.parametrize(
    ("event", "payload", "word"),
    [
        ("query", {"q": ""}, "q is text"),
        ("query", {"q": "x", "priority": "urgent"}, "high, normal or low"),
        ("query", {"q": "x", "timeout": 0}, "milliseconds"),
        ("query", {"q": "x", "timeout": True}, "milliseconds"),
        ("query", {"q": "x", "more": 1}, "not more"),
        ("tool", {"name": "t", "arguments": []}, "object"),
        ("interrupt", {}, "ref"),
        ("subscribe", {"events": "memory:*"}, "list"),
        ("subscribe", {"events": ["*"]}, "kind"),
        ("shout", {}, "no event 'shout'"),
    ],
)
def test_a_wish_that_does_not_fit_is_told_what_would(event: str, payload: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidArguments, match=word):
        synapse.wish(Frame("cortex:a", event, payload, "7"))


def test_deep_nesting_is_refused() -> None:
    deep = "[" * 5000 + "]" * 5000
    with pytest.raises(InvalidArguments):
        synapse.read(f'[null,null,"cortex:a","query",{{"q":{deep}}}]', Version.ARRAYS)


def test_a_result_tells_how_it_ended() -> None:
    assert synapse.failed("a", TooSlow("late"), 0.5)["status"] == "timeout"
    told = synapse.failed("a", NotFound("nothing"), 0.5)
    assert (told["status"], told["error"]["type"], told["latency_ms"]) == ("error", "not_found", 500.0)
