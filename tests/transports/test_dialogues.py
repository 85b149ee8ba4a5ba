"""What each revision's clients hear, from the greeting to the last feature, through real dispatch."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from mimo.gateway.toolbox import Toolbox
from mimo.transports.desk import Desk

MODERN = "2026-07-28"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
ALL = (*LEGACY, MODERN)
Meet = Callable[..., Awaitable[Any]]

every_revision = pytest.mark.parametrize("revision", ALL)
legacy_revisions = pytest.mark.parametrize("revision", LEGACY)


@legacy_revisions
async def test_a_handshake_settles_on_the_revision_that_was_asked_for(meet: Meet, revision: str) -> None:
    talker = await meet(revision, greet=False)
    said = await talker.greet()
    assert said["protocolVersion"] == revision
    assert said["serverInfo"]["name"] == "mimo"
    assert ("title" in said["serverInfo"]) == (revision >= "2025-06-18")
    assert ("icons" in said["serverInfo"]) == (revision >= "2025-11-25")
    assert ("completions" in said["capabilities"]) == (revision >= "2025-03-26")
    assert (await talker.ask("ping"))["result"] == {}


@pytest.mark.parametrize("asked", ["1999-01-01", "2026-07-28", "", "zzz"])
async def test_an_unknown_revision_is_answered_with_our_newest_that_has_a_handshake(
    meet: Meet, asked: str
) -> None:
    talker = await meet("2025-11-25", greet=False)
    answer = await talker.ask("initialize", protocolVersion=asked, capabilities={}, clientInfo={})
    assert answer["result"]["protocolVersion"] == "2025-11-25"


async def test_a_modern_client_discovers_us(meet: Meet) -> None:
    talker = await meet(MODERN, greet=False)
    said = await talker.greet()
    assert said["supportedVersions"] == [MODERN]
    assert said["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] == "1.2.3"
    assert said["resultType"] == "complete"


async def test_eras_mix_on_one_pipe_in_any_order(meet: Meet) -> None:
    old, new = await meet("2025-11-25", greet=False), None
    new = type(old)(old.stream, MODERN)
    new._next = 1000
    for talker in (new, old, new, old, old, new):
        said = await talker.greet()
        assert ("resultType" in said) == talker.modern
        answer = await talker.call("echo", text="hi")
        assert ("resultType" in answer["result"]) == talker.modern


async def test_a_handshake_may_be_repeated_with_another_revision(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    assert "icons" in (await talker.ask("tools/list"))["result"]["tools"][0]
    talker.revision = "2025-06-18"
    await talker.greet()
    assert "icons" not in (await talker.ask("tools/list"))["result"]["tools"][0]


@every_revision
async def test_tools_are_listed_as_the_revision_knows_them(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    result = (await talker.ask("tools/list"))["result"]
    tools = {tool["name"]: tool for tool in result["tools"]}
    assert "hidden" not in tools
    assert list(tools)[:2] == ["echo", "slow"]
    assert ("icons" in tools["echo"]) == (revision >= "2025-11-25")
    assert ("title" in tools["echo"]) == (revision >= "2025-06-18")
    assert ("outputSchema" in tools["data"]) == (revision >= "2025-06-18")
    assert ("outputSchema" in tools["listed_data"]) == (revision == MODERN)
    assert ("ttlMs" in result) == (revision == MODERN)
    if revision == "2024-11-05":
        assert "annotations" not in tools["slow"]
    else:
        assert tools["slow"]["annotations"] == {
            "readOnlyHint": False,
            "destructiveHint": True,
            "idempotentHint": False,
            "openWorldHint": False,
        }
        assert tools["echo"]["annotations"]["readOnlyHint"] is True


@every_revision
async def test_data_is_structured_where_that_exists_and_always_text(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    result = (await talker.call("data"))["result"]
    assert result["content"] == [{"type": "text", "text": '{"numbers":[1,2]}'}]
    assert result.get("structuredContent") == ({"numbers": [1, 2]} if revision >= "2025-06-18" else None)
    assert result["_meta"]["mimo/x"] == 1
    result = (await talker.call("listed_data"))["result"]
    assert result.get("structuredContent") == ([1, 2] if revision == MODERN else None)
    assert result["content"] == [{"type": "text", "text": "[1,2]"}]
    assert "structuredContent" not in (await talker.call("echo", text="x"))["result"]


@every_revision
async def test_blocks_that_a_revision_lacks_become_text(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    blocks = (await talker.call("blocks"))["result"]["content"]
    assert blocks[0]["annotations"] == {"priority": 1, "future": 2}, "what we do not know is forwarded"
    assert [block["type"] for block in blocks] == [
        "text",
        "audio" if revision >= "2025-03-26" else "text",
        "resource_link" if revision >= "2025-06-18" else "text",
        "image",
        "resource",
    ]
    if revision == "2024-11-05":
        assert blocks[2]["text"] == "[A](mimo://a)"


@every_revision
@pytest.mark.parametrize(
    ("case", "text", "retry"),
    [
        ("plain", "it did not work", None),
        ("missing", "no memory 'x'; search first", False),
        ("busy", "too much at once Try again in 3 s.", True),
        ("conflict", "it has changed; read it again", False),
    ],
)
async def test_a_tools_failure_is_a_result_that_the_model_reads(
    meet: Meet, revision: str, case: str, text: str, retry: bool | None
) -> None:
    result = (await (await meet(revision)).call("fails", text=case))["result"]
    assert result["isError"] is True
    assert result["content"][0]["text"] == text
    if retry is not None:
        assert result["_meta"]["mimo/error"]["retry"] is retry


@every_revision
async def test_a_bug_shows_an_id_and_nothing_else(meet: Meet, revision: str) -> None:
    result = (await (await meet(revision)).call("fails", text="bug"))["result"]
    assert result["isError"]
    assert "secret" not in str(result)


@every_revision
async def test_wrong_arguments_are_a_result_with_the_cure(meet: Meet, revision: str) -> None:
    result = (await (await meet(revision)).call("echo", txt=5))["result"]
    assert result["isError"]
    assert "did you mean 'text'?" in result["content"][0]["text"]


@every_revision
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "nothing"}),
        ("tools/call", {}),
        ("tools/call", {"name": "echo", "arguments": [1]}),
        ("tools/list", {"cursor": "nonsense"}),
        ("tools/list", {"cursor": base64.urlsafe_b64encode(b"prompts\nrecall").decode()}),
        ("tools/list", {"cursor": base64.urlsafe_b64encode(b"tools\ngone").decode()}),
        ("tools/list", {"cursor": "ä"}),
        ("tools/list", {"cursor": 5}),
        ("prompts/get", {"name": "recall", "arguments": {"topic": 5}}),
        ("completion/complete", {"ref": {"type": "ref/other"}, "argument": {"name": "a", "value": ""}}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "recall"}}),
        ("resources/read", {"uri": 5}),
    ],
)
async def test_wrong_requests_are_invalid_params(
    meet: Meet, revision: str, method: str, params: dict[str, Any]
) -> None:
    assert (await (await meet(revision)).ask(method, **params))["error"]["code"] == -32602


@every_revision
async def test_unknown_methods_are_told_as_such(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    others = (
        ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
        if talker.modern
        else ["subscriptions/listen"]
    )
    for method in ["nonsense", "tools/", "mimo/status", *others]:
        assert (await talker.ask(method))["error"]["code"] == -32601, method


@every_revision
async def test_resources_are_listed_and_read(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    resources = (await talker.ask("resources/list"))["result"]["resources"]
    assert [resource["uri"] for resource in resources] == ["mimo://a", "mimo://bytes"]
    templates = (await talker.ask("resources/templates/list"))["result"]["resourceTemplates"]
    assert [template["uriTemplate"] for template in templates] == ["mimo://item/{id}"]
    read = (await talker.ask("resources/read", uri="mimo://a"))["result"]
    assert read["contents"] == [
        {"uri": "mimo://a", "mimeType": "text/markdown", "text": "what is at mimo://a"}
    ]
    assert (read.get("cacheScope") == "private") == talker.modern
    read = (await talker.ask("resources/read", uri="mimo://bytes"))["result"]
    assert read["contents"][0]["blob"] == "AP8="
    read = (await talker.ask("resources/read", uri="mimo://item/7"))["result"]
    assert read["contents"][0]["text"] == "what is at mimo://item/7"


@every_revision
@pytest.mark.parametrize("uri", ["mimo://nowhere", "mimo://item/missing"])
async def test_a_missing_resource_is_an_error_with_its_address(meet: Meet, revision: str, uri: str) -> None:
    error = (await (await meet(revision)).ask("resources/read", uri=uri))["error"]
    assert error["code"] == (-32602 if revision == MODERN else -32002)
    assert error["data"]["uri"] == uri


@every_revision
async def test_prompts_are_listed_and_got(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    prompts = (await talker.ask("prompts/list"))["result"]["prompts"]
    assert prompts[0]["arguments"] == [{"name": "topic", "description": "Of what", "required": True}]
    got = (await talker.ask("prompts/get", name="recall", arguments={"topic": "tea"}))["result"]
    assert got["messages"][0]["content"]["text"] == "About tea"
    assert got["messages"][1]["content"]["type"] == ("resource_link" if revision >= "2025-06-18" else "text")
    assert (await talker.ask("prompts/get", name="nothing"))["error"]["code"] == -32602
    broken = (await talker.ask("prompts/get", name="recall", arguments={"topic": "bug"}))["error"]
    assert broken["code"] == -32603
    assert "secret" not in str(broken)


@every_revision
async def test_completion_gives_at_most_a_hundred_values(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    prompt = {"ref": {"type": "ref/prompt", "name": "recall"}, "argument": {"name": "topic", "value": "many"}}
    completion = (await talker.ask("completion/complete", **prompt))["result"]["completion"]
    assert (len(completion["values"]), completion["total"], completion["hasMore"]) == (100, 150, True)
    template = {
        "ref": {"type": "ref/resource", "uri": "mimo://item/{id}"},
        "argument": {"name": "id", "value": "x"},
        "context": {"arguments": {"suffix": "!"}},
    }
    completion = (await talker.ask("completion/complete", **template))["result"]["completion"]
    assert completion == {"values": ["x0!", "x1!"], "total": 2, "hasMore": False}
    plain = {"ref": {"type": "ref/prompt", "name": "plain"}, "argument": {"name": "a", "value": "x"}}
    assert (await talker.ask("completion/complete", **plain))["result"]["completion"]["values"] == []
    unknown = {"ref": {"type": "ref/resource", "uri": "mimo://no"}, "argument": {"name": "a", "value": "x"}}
    assert "error" in await talker.ask("completion/complete", **unknown)


@every_revision
async def test_progress_only_grows_and_goes_only_to_those_who_ask(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    await talker.ask("tools/call", name="noisy")
    assert not [note for note in talker.notes if note["method"] == "notifications/progress"]
    await talker.ask("tools/call", name="noisy", _meta={"progressToken": "p"})
    told = [note["params"] for note in talker.notes if note["method"] == "notifications/progress"]
    assert [params["progress"] for params in told] == [1, 2, 3]
    assert all(params["progressToken"] == "p" for params in told)
    assert ("message" in told[0]) == (revision >= "2025-03-26")


@legacy_revisions
async def test_a_legacy_client_sets_its_level_for_the_connection(meet: Meet, revision: str) -> None:
    talker = await meet(revision)

    async def levels() -> list[str]:
        talker.notes.clear()
        await talker.call("noisy")
        return [note["params"]["level"] for note in talker.notes]

    assert await levels() == ["info", "error"]
    assert (await talker.ask("logging/setLevel", level="debug"))["result"] == {}
    assert await levels() == ["debug", "info", "error"]
    await talker.ask("logging/setLevel", level="emergency")
    assert await levels() == []
    assert (await talker.ask("logging/setLevel", level="loud"))["error"]["code"] == -32602


async def test_a_modern_client_says_its_level_with_each_request(meet: Meet) -> None:
    talker = await meet(MODERN)
    await talker.call("noisy")
    assert talker.notes == []
    level = {"io.modelcontextprotocol/logLevel": "info"}
    await talker.ask("tools/call", name="noisy", _meta=level)
    assert [note["params"]["level"] for note in talker.notes] == ["info", "error"]
    level = {"io.modelcontextprotocol/logLevel": "loud"}
    assert (await talker.ask("tools/call", name="noisy", _meta=level))["error"]["code"] == -32602


@legacy_revisions
async def test_legacy_clients_hear_of_changes_unasked(
    meet: Meet, desk: Desk, toolbox: Toolbox, revision: str
) -> None:
    talker = await meet(revision)
    for kind in ("tools", "resources", "templates", "prompts"):
        desk.changed(kind)
    methods = [(await talker.hear())["method"] for _ in range(4)]
    assert methods == [
        f"notifications/{kind}/list_changed" for kind in ("tools", "resources", "resources", "prompts")
    ]
    await talker.ask("resources/subscribe", uri="mimo://a")
    desk.updated("mimo://a")
    desk.updated("mimo://b")
    assert (await talker.hear())["params"] == {"uri": "mimo://a"}
    await talker.ask("resources/unsubscribe", uri="mimo://a")
    desk.updated("mimo://a")
    await talker.ask("ping")
    assert talker.notes == []


async def test_modern_clients_hear_what_they_listen_for_and_nothing_else(meet: Meet, desk: Desk) -> None:
    talker = await meet(MODERN)
    wanted = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["mimo://a"]}
    first = await talker.send("subscriptions/listen", notifications=wanted)
    acknowledged = await talker.hear()
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert acknowledged["params"]["notifications"] == {
        "toolsListChanged": True,
        "resourceSubscriptions": ["mimo://a"],
    }
    second = await talker.send("subscriptions/listen", notifications={"promptsListChanged": True})
    await talker.hear()
    desk.changed("tools")
    desk.changed("prompts")
    desk.changed("resources")
    desk.updated("mimo://a")
    desk.updated("mimo://b")
    heard = [await talker.hear() for _ in range(3)]
    tag = "io.modelcontextprotocol/subscriptionId"
    assert [(each["method"], each["params"]["_meta"][tag]) for each in heard] == [
        ("notifications/tools/list_changed", first),
        ("notifications/prompts/list_changed", second),
        ("notifications/resources/updated", first),
    ]
    await talker.note("notifications/cancelled", requestId=first)
    await talker.ask("tools/list")
    desk.changed("tools")
    await talker.ask("tools/list")
    assert talker.notes == []


async def test_a_modern_client_that_listened_is_told_when_we_leave(meet: Meet) -> None:
    talker = await meet(MODERN)
    identity = await talker.send("subscriptions/listen", notifications={"toolsListChanged": True})
    await talker.hear()
    talker.stream.send_stream.close()
    ended = await talker.hear()
    assert ended["id"] == identity
    assert ended["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == identity
    assert await talker.hear() is None


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        (None, -32602),
        ({"io.modelcontextprotocol/clientCapabilities": {}}, -32602),
        ({"io.modelcontextprotocol/protocolVersion": MODERN}, -32602),
        (
            {"io.modelcontextprotocol/protocolVersion": 5, "io.modelcontextprotocol/clientCapabilities": {}},
            -32602,
        ),
        (
            {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": 1,
            },
            -32602,
        ),
        (
            {
                "io.modelcontextprotocol/protocolVersion": "3000",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
            -32022,
        ),
    ],
)
async def test_without_terms_nothing_is_served(meet: Meet, meta: dict[str, Any] | None, code: int) -> None:
    talker = await meet("2025-11-25", greet=False)
    for method in ("server/discover", "tools/list"):
        params = {} if meta is None else {"_meta": meta}
        error = (await talker.ask(method, **params))["error"]
        assert error["code"] == code
        if code == -32022:
            assert error["data"] == {"supported": [MODERN], "requested": "3000"}
    assert (await talker.ask("ping"))["result"] == {}, "a ping is allowed before the handshake"


async def test_a_stamped_handshake_is_still_a_handshake(meet: Meet) -> None:
    talker = await meet("2025-11-25", greet=False)
    stamp = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "_meta": stamp}
    assert (await talker.ask("initialize", **params))["result"]["protocolVersion"] == "2025-11-25"


async def test_the_probe_that_comes_late_is_no_lock(
    meet: Meet, autojump_clock: trio.testing.MockClock
) -> None:
    talker = await meet("2025-11-25", greet=False)
    probe = type(talker)(talker.stream, MODERN)
    probe._next = 100
    await probe.greet()
    await trio.sleep(0.58)
    assert (await talker.greet())["protocolVersion"] == "2025-11-25"
    assert "result" in await talker.call("echo", text="x")
