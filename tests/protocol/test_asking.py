"""Our side of a conversation with somebody else's server, without a wire."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.protocol.jsonrpc import Failure, Lines, Malformed, parse
from mimo.protocol.mcp.asking import (
    Answered,
    Asked,
    Asking,
    Progressed,
    Strange,
    Told,
    handshaken,
    modern,
)
from mimo.protocol.mcp.headers import unfit
from mimo.protocol.mcp.revisions import NEWEST, NEWEST_LEGACY
from mimo.protocol.sse import Heard

META = "io.modelcontextprotocol/"


def heard(asking: Asking, message: Any) -> list[Any]:
    return asking.receive(parse(json.dumps(message).encode()))


def test_an_answer_belongs_to_an_open_request_and_only_once() -> None:
    asking = Asking()
    number, _ = asking.request("tools/list")
    answer = {"jsonrpc": "2.0", "id": number, "result": {"x": 1}}
    assert heard(asking, answer) == [Answered(number, {"x": 1}, None)]
    assert isinstance(heard(asking, answer)[0], Strange)
    assert asking.open == 0


def test_a_batch_of_an_older_server_is_heard_in_order() -> None:
    asking = Asking()
    one, two = asking.request("a")[0], asking.request("b")[0]
    failed = {"code": -32000, "message": "no"}
    said = heard(
        asking,
        [
            {"jsonrpc": "2.0", "id": two, "result": {}},
            {"jsonrpc": "2.0", "id": "q", "method": "ping"},
            {"jsonrpc": "2.0", "id": one, "error": failed},
        ],
    )
    assert said == [
        Answered(two, {}, None),
        Asked("q", "ping", {}),
        Answered(one, None, Failure(-32000, "no")),
    ]


def test_a_malformed_answer_is_the_end_of_its_request() -> None:
    asking = Asking()
    number, _ = asking.request("a")
    (said,) = heard(asking, {"jsonrpc": "2.0", "id": number, "result": 5})
    assert isinstance(said, Answered)
    assert said.failure is not None
    assert isinstance(heard(asking, {"jsonrpc": "2.0", "id": 99, "result": 5})[0], Strange)


def test_progress_and_notifications_say_whose_they_are() -> None:
    asking = Asking()
    number, params = asking.request("tools/call", {"name": "x"}, progress=True)
    assert params["_meta"]["progressToken"] == number
    method = "notifications/progress"
    told = {"progressToken": number, "progress": 1}
    assert heard(asking, {"jsonrpc": "2.0", "method": method, "params": told}) == [Progressed(number, told)]
    (late,) = heard(asking, {"jsonrpc": "2.0", "method": method, "params": {"progressToken": 99}})
    assert isinstance(late, Strange)
    tagged = {"_meta": {f"{META}subscriptionId": number}}
    (said,) = heard(asking, {"jsonrpc": "2.0", "method": "notifications/x", "params": tagged})
    assert said == Told("notifications/x", tagged, number)


def test_what_was_cancelled_is_not_waited_for() -> None:
    asking = Asking()
    number, _ = asking.request("a")
    frame = asking.cancel(number, "slow")
    assert frame is not None
    assert json.loads(frame)["params"] == {"requestId": number, "reason": "slow"}
    assert asking.cancel(number) is None
    other, _ = asking.request("b")
    asking.forget(other)
    assert asking.open == 0


def test_a_modern_request_says_its_terms_and_an_older_one_does_not() -> None:
    asking = Asking()
    _, params = asking.request("tools/call", {"_meta": {"mine": 1}})
    assert params["_meta"] == {"mine": 1}
    asking.revision = NEWEST
    _, params = asking.request("tools/call", {"_meta": {"mine": 1}}, offers={"roots": {}}, log_level="info")
    assert params["_meta"]["mine"] == 1
    assert params["_meta"][f"{META}protocolVersion"] == NEWEST.name
    assert params["_meta"][f"{META}clientCapabilities"] == {"roots": {}}
    assert params["_meta"][f"{META}logLevel"] == "info"
    _, probe = Asking().discover()
    assert f"{META}clientInfo" in probe["_meta"]
    _, hello = Asking().initialize()
    assert hello["protocolVersion"] == NEWEST_LEGACY.name


@pytest.mark.parametrize(
    ("result", "failure", "revision"),
    [
        ({"supportedVersions": ["2026-07-28", "2030-01-01"]}, None, NEWEST),
        ({"supportedVersions": ["2025-11-25"]}, None, None),
        ({"supportedVersions": "2026-07-28"}, None, None),
        ({}, None, None),
        (None, Failure(-32022, "no", {"supported": ["2026-07-28"]}), NEWEST),
        (None, Failure(-32022, "no", "x"), None),
        (None, Failure(-32601, "no", {"supported": ["2026-07-28"]}), None),
    ],
)
def test_the_answer_to_the_probe_tells_the_era(result: Any, failure: Any, revision: Any) -> None:
    assert modern(Answered(1, result, failure)) is revision


def test_a_handshake_settles_on_a_revision_that_we_know() -> None:
    assert handshaken({"protocolVersion": "2025-11-25"}) is NEWEST_LEGACY
    assert handshaken({"protocolVersion": "2031-01-01"}) is None
    assert handshaken({}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("jsonrpc id method params result error code message progressToken _meta".split()),
            inner | st.sampled_from(["2.0", "notifications/progress", "ping"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(messages=st.lists(JSON | st.binary(max_size=30), max_size=8), cut=st.integers(1, 9))
def test_whatever_a_server_says_each_request_is_answered_at_most_once(messages: list[Any], cut: int) -> None:
    asking, lines, answered = Asking(), Lines(), list[object]()
    for method in ("a", "b", "c"):
        asking.request(method)
    stream = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages)
    for at in range(0, len(stream), cut):
        for line in lines.feed(stream[at : at + cut]):
            for said in asking.receive(line if isinstance(line, Malformed) else parse(line)):
                if isinstance(said, Answered):
                    answered.append(said.id)
    assert len(answered) == len(set(answered))
    assert asking.open == 3 - len(answered)


@pytest.mark.parametrize(
    ("property_", "wrong"),
    [
        ({"type": "string", "x-mcp-header": "Region"}, False),
        ({"type": "string"}, False),
        ("no schema", False),
        ({"type": "number", "x-mcp-header": "Region"}, True),
        ({"type": "string", "x-mcp-header": "My Region"}, True),
        ({"type": "string", "x-mcp-header": ""}, True),
        ({"type": "string", "x-mcp-header": 5}, True),
        ({"type": "string", "x-mcp-header": "OTHER"}, True),
    ],
)
def test_a_header_that_cannot_be_is_found(property_: Any, wrong: bool) -> None:
    other = {"type": "string", "x-mcp-header": "Other"}
    assert unfit({"properties": {"other": other, "this": property_}}) is wrong
    assert not unfit({})


def test_a_stream_says_where_it_can_be_taken_up_again() -> None:
    stream = Heard(1000)
    assert list(stream.feed(b"id: 7\nretry: 500\ndata: x\n\n")) == [b"x"]
    assert (stream.last, stream.pause) == ("7", 0.5)
    assert list(stream.feed(b"id: \0\nretry: soon\nid: 8\n\n")) == []
    assert (stream.last, stream.pause) == ("8", 0.5)
