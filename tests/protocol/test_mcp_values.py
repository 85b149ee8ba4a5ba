"""The tables and pure functions under the conversation: total, bounded, and never changing what is not theirs."""

import copy
import inspect
from typing import Any

import pytest

from mimo import errors
from mimo.errors import Busy, MimoError
from mimo.protocol.jsonrpc import Request
from mimo.protocol.mcp import about, conversation, failures, operations, questions, seal
from mimo.protocol.mcp.about import FIRST_SENTENCE, INSTRUCTIONS, MAX_INSTRUCTIONS, ServerInfo
from mimo.protocol.mcp.downlevel import fit
from mimo.protocol.mcp.failures import CODES, failed_call, failure
from mimo.protocol.mcp.headers import mismatch
from mimo.protocol.mcp.pages import page
from mimo.protocol.mcp.questions import InputRequired, Question
from mimo.protocol.mcp.revisions import LEGACY, NEWEST, NEWEST_LEGACY, REVISIONS, agree
from mimo.protocol.mcp.terms import rank
from mimo.protocol.origin import refusal


def kinds(module: Any) -> list[type[MimoError]]:
    return [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, MimoError) and each is not MimoError and each.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", kinds(errors), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_in_both_eras(kind: type[MimoError]) -> None:
    assert kind in CODES
    legacy, modern = failure(kind("x"), NEWEST_LEGACY).code, failure(kind("x"), NEWEST).code
    assert -32768 <= legacy <= -32000
    assert modern not in range(-32019, -31999), "the modern era keeps these"
    assert not (-32099 <= modern <= -32000) or modern == -32021
    assert modern not in {-32002, -32042}


@pytest.mark.parametrize("module", [questions, seal])
def test_our_own_errors_find_a_code_by_their_parents(module: Any) -> None:
    for kind in kinds(module):
        if kind is not InputRequired:
            assert failure(kind("x"), NEWEST).code


def test_a_failure_says_its_details_and_when_to_try_again() -> None:
    told = failed_call(Busy("full.", after=3))
    assert told["content"][0]["text"] == "full. Try again in 3 s."
    assert told["_meta"]["mimo/error"] == {"kind": "busy", "retry": True, "after": 3}
    assert failed_call(Busy("full."))["content"][0]["text"] == "full. Try again."


def test_instructions_are_short_and_their_first_sentence_is_whole_where_clients_cut() -> None:
    assert len(INSTRUCTIONS) <= MAX_INSTRUCTIONS
    assert INSTRUCTIONS.index(".") < FIRST_SENTENCE
    assert "\t" not in INSTRUCTIONS
    assert ServerInfo("a", "1").implementation() == {"name": "a", "version": "1"}
    assert about.ServerInfo("a", "1", extensions={"x/y": {}})


def test_revisions_are_in_order() -> None:
    assert sorted(REVISIONS) == list(REVISIONS)
    assert all(agree(name) is revision for name, revision in LEGACY.items())
    assert agree("2026-07-28") is NEWEST_LEGACY
    assert str(NEWEST) == "2026-07-28"


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=str)
def test_the_pass_changes_nothing_in_place(revision: Any) -> None:
    result: dict[str, Any] = {
        "resultType": "complete",
        "tools": [
            {
                "name": "a",
                "inputSchema": {"anyOf": []},
                "outputSchema": {},
                "icons": [],
                "title": "A",
                "_meta": {},
            }
        ],
        "content": [{"type": "audio", "icons": []}, {"type": "resource_link", "uri": "u"}],
        "messages": [{"role": "user", "content": {"type": "audio"}}, {"role": "user", "content": 5}],
        "structuredContent": [1],
        "capabilities": {"completions": {}, "extensions": {}},
        "serverInfo": {"name": "a", "title": "A", "icons": []},
        "future": 1,
    }
    before = copy.deepcopy(result)
    fitted = fit(result, revision)
    assert result == before
    assert fitted["future"] == 1, "what we do not know is forwarded"
    if revision in LEGACY.values():
        assert fitted["tools"][0]["inputSchema"] == {"type": "object"}
        assert "outputSchema" not in fitted["tools"][0]
        assert "resultType" not in fitted


def test_data_that_an_old_revision_lacks_becomes_text_when_nothing_else_says_it() -> None:
    fitted = fit({"content": [], "structuredContent": {"a": 1}}, REVISIONS["2024-11-05"])
    assert fitted == {"content": [{"type": "text", "text": '{"a":1}'}]}


def test_pages_hold_every_item_once_also_when_others_go() -> None:
    items = [f"item-{number}" for number in range(25)]
    seen: list[str] = []
    cursor = None
    while True:
        shown, cursor = page(items, str, "tools", cursor, size=10)
        seen += shown
        if cursor is None:
            break
        items.remove(f"item-{len(seen) - 2}")  # one that was seen already
    assert seen == [f"item-{number}" for number in range(25)]
    assert page([], str, "tools", None) == ([], None)
    assert page(items[:10], str, "tools", None, size=10)[1] is None


def test_levels_are_ranked_and_unknown_ones_are_info() -> None:
    assert rank("debug") < rank("info") < rank("error") < rank("emergency")
    assert rank("whatever") == rank("info")


def test_only_modern_methods_are_asked_of_clients() -> None:
    with pytest.raises(errors.InvalidArguments):
        questions.check_offered({"a": Question("ping", {})}, {})
    url = {"a": Question("elicitation/create", {"mode": "url"})}
    questions.check_offered(url, {"elicitation": {"url": {}}})
    with pytest.raises(questions.NotOffered) as refused:
        questions.check_offered(url, {"elicitation": {}})
    assert refused.value.details["requiredCapabilities"] == {"elicitation": {"url": {}}}


def test_methods_know_their_revisions() -> None:
    assert conversation.MAX_IN_FLIGHT
    assert failures.CODES
    assert operations.progress_token({"_meta": {"progressToken": 5}}) == 5
    assert operations.progress_token({"_meta": {"progressToken": [5]}}) is None
    assert operations.progress_token({"_meta": 5}) is None


SCHEMA = {
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "n": {"x-mcp-header": "N"}, "o": 5}
}
GOOD = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "t"}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


@pytest.mark.parametrize(
    ("headers", "arguments", "wrong"),
    [
        ({}, {}, None),
        ({"mcp-protocol-version": "2025-11-25"}, {}, "MCP-Protocol-Version"),
        ({"mcp-method": "TOOLS/CALL"}, {}, "Mcp-Method"),
        ({"mcp-name": "u"}, {}, "Mcp-Name"),
        ({"mcp-name": "=?base64?dA==?="}, {}, None),
        ({"mcp-name": "=?base64?dB==?="}, {}, "Mcp-Name"),
        ({"mcp-name": "=?base64?/w==?="}, {}, "Mcp-Name"),
        ({"mcp-param-region": "eu"}, {"region": "eu"}, None),
        ({"mcp-param-region": "eu"}, {"region": "us"}, "Mcp-Param-Region"),
        ({"mcp-param-region": "eu"}, {}, "Mcp-Param-Region"),
        ({}, {"region": "eu"}, "Mcp-Param-Region"),
        ({"mcp-param-n": "true"}, {"n": True}, None),
        ({"mcp-param-n": "5"}, {"n": 5}, None),
        ({}, {"n": None}, None),
    ],
)
def test_headers_and_body_must_agree(
    headers: dict[str, str], arguments: dict[str, Any], wrong: str | None
) -> None:
    request = Request(1, "tools/call", {"name": "t", "arguments": arguments, "_meta": META})
    told = mismatch(request, GOOD | headers, SCHEMA)
    assert (told is None) == (wrong is None)
    if told is not None:
        assert told.code == -32020
        assert str(wrong) in told.message


def test_a_missing_header_disagrees() -> None:
    for name in GOOD:
        headers = {key: value for key, value in GOOD.items() if key != name}
        assert mismatch(Request(1, "tools/call", {"name": "t", "_meta": META}), headers, None)
    assert (
        mismatch(Request(1, "tools/list", {"_meta": META}), GOOD | {"mcp-method": "tools/list"}, None) is None
    )


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:4000", None, None),
        ("127.0.0.1", "http://localhost:3000", None),
        ("[::1]:4000", None, None),
        ("LOCALHOST:4000", None, None),
        (None, None, 421),
        ("", None, 421),
        ("evil.example", None, 421),
        ("localhost.evil.example:4000", None, 421),
        ("localhost@evil.example", None, 421),
        ("[::1", None, 421),
        ("localhost:4000", "https://evil.example", 403),
        ("localhost:4000", "http://localhost.evil.example", 403),
        ("localhost:4000", "null", 403),
        ("localhost:4000", "", 403),
    ],
)
def test_only_local_names_get_in(host: str | None, origin: str | None, status: int | None) -> None:
    told = refusal(host, origin)
    assert (told and told[0]) == status
