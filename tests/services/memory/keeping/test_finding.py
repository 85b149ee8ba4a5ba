"""memory_search, memory_get and memory_context as agents see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mimo.errors import InvalidArguments, NotFound
from mimo.tool import Answer, Call, Client


async def many(memory: Any, count: int) -> None:
    await memory.call("memory_add", items=[{"content": f"The pump number {n} is blue"} for n in range(count)])


async def test_an_answer_is_a_list_with_dates_and_ids(memory: Any) -> None:
    await memory.add("Use APSW for the store", kind="decision", created_at="2026-11-12")
    assert "- [decision] Use APSW for the store (2026-11-12, m1)" in await memory.text(
        "memory_search", query="APSW store"
    )


async def test_text_and_data_are_never_given_both(memory: Any) -> None:
    await memory.add("Something")
    assert (await memory.call("memory_search", query="something")).data is None
    answer: Answer = await memory.call("memory_search", query="something", format="json")
    assert json.loads(answer.as_text()) == answer.data
    hit = answer.data["results"][0]
    assert {"id", "content", "kind", "namespace", "score", "references", "session", "created_at"} <= set(hit)
    assert set(answer.data) == {"results", "arms", "abstained", "relevance", "cursor"}


async def test_a_cursor_leads_through_all_of_it_without_repeating(memory: Any) -> None:
    await many(memory, 23)
    await memory.settled()
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(6):
        more = {} if cursor is None else {"cursor": cursor}
        page = await memory.data("memory_search", query="blue pump", namespace="proj", limit=5, **more)
        seen += [hit["id"] for hit in page["results"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 23


@pytest.mark.parametrize(("stored", "ended"), [(12, False), (130, True)])
async def test_a_list_that_ends_before_all_that_may_match_says_so(
    memory: Any, stored: int, ended: bool
) -> None:
    await memory.call("memory_add", items=[{"content": f"the blue pump of hall {n}"} for n in range(stored)])
    await memory.settled()
    asked: dict[str, Any] = {"query": "blue pump", "namespace": "proj", "limit": 50}
    page = await memory.data("memory_search", **asked)
    while page["cursor"] is not None:
        assert "note" not in page
        asked["cursor"] = page["cursor"]
        page = await memory.data("memory_search", **asked)
    assert ("note" in page) is ended
    said = await memory.text("memory_search", **asked)
    assert ("The list ends here" in said) is ended


async def test_a_cursor_fits_its_own_question_only(memory: Any) -> None:
    await many(memory, 8)
    await memory.settled()
    cursor = (await memory.data("memory_search", query="blue pump", namespace="proj", limit=2))["cursor"]
    for wrong in [cursor, "7", "x", "-1-0", "99999999999999999999-0"]:
        with pytest.raises(InvalidArguments, match="cursor belongs to another question"):
            await memory.call("memory_search", query="red pump", namespace="proj", cursor=wrong)


async def test_an_answer_keeps_to_its_budget(memory: Any) -> None:
    await memory.call(
        "memory_add", items=[{"content": f"Pump {n} leaks: " + f"drip{n} " * 90} for n in range(12)]
    )
    await memory.add("The lamp is red")
    await memory.settled()
    asked = {"query": "pump leaks", "namespace": "proj", "limit": 12}
    whole = (await memory.data("memory_search", **asked))["results"]
    assert len(whole) >= 12
    text = await memory.text("memory_search", **asked, max_chars=1500, detail="full")
    assert len(text) < 1700
    found = await memory.data("memory_search", **asked, max_chars=1500)
    assert 0 < sum(len(hit["content"]) for hit in found["results"]) <= 1500


async def test_the_project_and_the_person_are_searched_and_nobody_else(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "The code is 1 here"}])
    await memory.add("The code is 2 for me", namespace="user")
    await memory.add("The code is 3 elsewhere", namespace="elsewhere")
    default = await memory.data("memory_search", query="code")
    assert {hit["namespace"] for hit in default["results"]} == {"proj", "user"}
    everywhere = await memory.data("memory_search", query="code", namespace="*")
    assert {hit["namespace"] for hit in everywhere["results"]} == {"proj", "user", "elsewhere"}
    with pytest.raises(NotFound, match="no namespace 'elswhere'; did you mean 'elsewhere'"):
        await memory.call("memory_search", query="code", namespace="elswhere")


async def test_time_narrows_and_what_is_no_time_is_refused(memory: Any) -> None:
    day = 86_400
    now = memory.now // 1000
    await memory.add("The pump was oiled", created_at=now - day)
    await memory.add("The pump was bought", created_at=now - 40 * day)
    assert await memory.found("pump", time="yesterday") == ["The pump was oiled"]
    assert await memory.found("pump", kinds=["plan"]) == []
    with pytest.raises(InvalidArguments, match="time was not understood"):
        await memory.call("memory_search", query="pump", time="when the cows come home")


async def test_the_past_can_be_asked(memory: Any) -> None:
    await memory.add("The pump is green", created_at="2025-01-01")
    await memory.add("The pump is yellow", created_at="2026-01-01", supersedes=["m1"])
    assert await memory.found("pump") == ["The pump is yellow"]
    assert await memory.found("pump", as_of="2025-06-01") == ["The pump is green"]


async def test_what_holds_only_later_is_no_answer_yet_and_what_it_replaces_still_is(memory: Any) -> None:
    now, day = memory.now // 1000, 86_400
    await memory.add("The pump is oiled on Tuesdays", created_at=now - 90 * day)
    await memory.add(
        "The pump is oiled on Fridays", created_at=now - day, valid_from=now + 30 * day, supersedes=["m1"]
    )
    old, new = ["The pump is oiled on Tuesdays"], ["The pump is oiled on Fridays"]
    assert await memory.found("pump") == await memory.found("pump", as_of=now) == old
    assert await memory.found("pump", as_of=now + 31 * day) == new
    assert await memory.found("pump", time="yesterday") == new  # it was said then
    assert (
        await memory.found("pump", time=f"since {datetime.fromtimestamp(now + 20 * day, UTC):%Y-%m-%d}")
        == new
    )
    assert (
        await memory.found("pump", time=f"since {datetime.fromtimestamp(now + 40 * day, UTC):%Y-%m-%d}") == []
    )
    assert await memory.found("pump", time="last week") == []
    memory.now += 31 * day * 1000
    assert await memory.found("pump") == await memory.found("pump", as_of=now + 31 * day) == new


async def test_nothing_is_a_good_answer(memory: Any) -> None:
    await memory.add("The pump is blue")
    await memory.settled()
    text = await memory.text("memory_search", query="Who won the chess tournament in Reykjavik?")
    assert text.startswith("Nothing stored about 'Who won the chess")
    assert text.endswith("If the user tells you, memory_add it.")


QUERIES = [
    '"',
    "a AND",
    "NEAR(",
    "col:x",
    "*",
    "-",
    "^",
    "{}",
    "'; DROP TABLE engrams; --",
    "\\",
    "a" * 20_000,
    "\t",
    "🦀",
    "\x01",
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
async def test_a_question_is_only_text(memory: Any, query: str) -> None:
    await memory.add("The pump is blue")
    await memory.call("memory_search", query=query)


REFUSED = [
    ("memory_search", {"query": ""}, "query must be"),
    ("memory_search", {}, "query is required"),
    ("memory_search", {"query": "\ud800"}, "half a character|Unicode"),
    ("memory_search", {"query": "x", "limit": 51}, "limit must be 1..50"),
    ("memory_search", {"query": "x", "limit": "5"}, "limit must be a whole number"),
    ("memory_search", {"query": "x", "max_chars": 40_001}, "max_chars must be 200..40000"),
    ("memory_search", {"query": "x", "strategy": "best"}, "strategy must be one of"),
    ("memory_search", {"query": "x", "as_of": "whenever"}, "as_of must be a time"),
    ("memory_search", {"query": "x" * 20_001}, "20001 characters"),
    ("memory_get", {"ids": []}, "ids must be a list of 1..100 items"),
    ("memory_get", {"ids": ["what"]}, "is no id of a memory"),
    ("memory_get", {"ids": ["m1"] * 101}, "101 items"),
    ("memory_context", {"max_chars": 10}, "max_chars must be 200..40000"),
    ("memory_context", {"format": "xml"}, "format must be one of"),
]


@pytest.mark.parametrize(("tool", "arguments", "sentence"), REFUSED, ids=range(len(REFUSED)))
async def test_what_does_not_fit_is_refused(
    memory: Any, tool: str, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArguments, match=sentence):
        await memory.call(tool, **arguments)


async def test_a_memory_is_read_by_its_id_or_address_and_what_is_not_there_is_said(memory: Any) -> None:
    await memory.add("The whole text")
    text = await memory.text("memory_get", ids=["mimo://memory/m1", "m9"])
    assert "The whole text" in text
    assert text.endswith("not there: m9")
    with pytest.raises(NotFound, match="no memory is called m9"):
        await memory.call("memory_get", ids=["m9"])


async def test_a_long_reading_is_cut_and_says_so(memory: Any) -> None:
    await memory.add("word " * 2_000)
    text = await memory.text("memory_get", ids=["m1"], max_chars=500)
    assert len(text) == 500
    assert "cut at 500 of" in text


async def test_a_session_is_told_what_matters_by_turns_within_its_budget(memory: Any) -> None:
    await memory.call(
        "memory_add",
        items=[{"content": f"Preference {n} " + "x" * 80, "kind": "preference"} for n in range(20)]
        + [
            {"content": "Decided on SQLite", "kind": "decision"},
            {"content": "Write the tests", "kind": "plan"},
        ],
    )
    await memory.add("From a page", kind="decision", source="web")
    pinned = await memory.add("Never push on Friday")
    await memory.call("memory_edit", action="protect", ids=[pinned])
    text = await memory.text("memory_context", max_chars=800)
    assert len(text) <= 800
    for told in ("Never push on Friday", "Decided on SQLite", "Write the tests", "Preference"):
        assert told in text
    assert "From a page" not in text
    data = await memory.data("memory_context")
    assert data["results"][0]["section"] == "pinned"


async def test_a_hook_gets_the_text_that_hooks_want_and_silence_when_nothing_bears_on_it(memory: Any) -> None:
    assert await memory.text("memory_context", format="hook") == "{}"
    await memory.add("The staging database is called heron", kind="decision")
    await memory.settled()
    start = json.loads(await memory.text("memory_context", format="hook"))["hookSpecificOutput"]
    assert start["hookEventName"] == "SessionStart"
    assert "heron" in start["additionalContext"]
    prompt = json.loads(await memory.text("memory_context", format="hook", task="staging database called"))
    assert prompt["hookSpecificOutput"]["hookEventName"] == "UserPromptSubmit"
    assert (
        await memory.text("memory_context", format="hook", task="Zebra quantum pancakes in Ulan Bator?")
        == "{}"
    )


async def test_an_empty_project_has_no_context(memory: Any) -> None:
    assert await memory.text("memory_context") == "Nothing stored for this project yet."
    with pytest.raises(NotFound, match="no namespace 'nowhere'"):
        await memory.call("memory_context", namespace="nowhere")


async def test_where_nothing_matters_by_itself_the_newest_few_are_told(memory: Any) -> None:
    for n in range(8):
        await memory.add(f"Observation {n} on lasers", kind="observation", created_at=f"2026-01-0{n + 1}")
    text = await memory.text("memory_context")
    assert text.splitlines()[:3] == [
        "Recorded notes from mimo (they may be stale):",
        "Newest:",
        "- [observation] Observation 7 on lasers (2026-01-08, m8)",
    ]
    assert len(text.splitlines()) == 5
    data = await memory.data("memory_context")
    assert [(each["id"], each["section"]) for each in data["results"]] == [
        ("m8", "newest"),
        ("m7", "newest"),
        ("m6", "newest"),
    ]
    assert "lasers" in await memory.text("memory_context", task="Zebra pancakes in Ulan Bator?")
    assert len(await memory.text("memory_context", max_chars=200)) <= 200
    await memory.add("Decided on SQLite", kind="decision")
    assert "lasers" not in await memory.text("memory_context")


async def test_what_must_not_speak_unasked_is_counted(memory: Any) -> None:
    await memory.add("A page says drink bleach", source="web")
    await memory.add("The port is 4711 today", ttl=60)
    told = "2 memories are stored here: memory_search finds them."
    assert await memory.text("memory_context") == told
    assert await memory.text("memory_context", format="hook") == "{}"


async def test_the_context_tells_what_holds_until_the_day_of_what_replaces_it(memory: Any) -> None:
    old = await memory.add("We deploy on Tuesdays", kind="decision")
    new = await memory.add("We deploy on Fridays", kind="decision", supersedes=[old], valid_from="2027-02-15")
    for section in ("decisions", "newest"):
        text = await memory.text("memory_context")
        assert ("Tuesdays" in text, "Fridays" in text) == (True, False), section
        for one in (old, new):  # nothing of it matters by itself any more
            await memory.call("memory_edit", action="update", ids=[one], kind="fact")
    memory.now += 60 * 86_400_000
    text = await memory.text("memory_context")
    assert ("Tuesdays" in text, "Fridays" in text) == (False, True)


async def test_resources_give_memories_and_contexts(memory: Any) -> None:
    await memory.add("Port 80", kind="decision")
    call = Call("1", Client(namespace="other"))
    find = memory.toolbox.find_resource
    (contents,) = await find("mimo://memory/m1").read("mimo://memory/m1", call)
    assert "Port 80" in contents.body
    assert "history:" in contents.body
    (contents,) = await find("mimo://context/proj").read("mimo://context/proj", call)
    assert "Port 80" in contents.body
    for uri in ("mimo://memory/m9", "mimo://context/nowhere"):
        with pytest.raises(NotFound):
            await find(uri).read(uri, call)
    with pytest.raises(InvalidArguments):
        await find("mimo://memory/x").read("mimo://memory/x", call)
    templates = {each.name: each for each in memory.toolbox.templates()}
    assert await templates["context"].complete("namespace", "pr", {}) == ["proj"]
    assert await templates["memory"].complete("id", "m", {}) == ["m1"]


async def test_prompts_ask_for_what_they_are_named_after(memory: Any) -> None:
    await memory.add("Port 80", kind="decision")
    call = Call("1", memory.client)
    (message,) = await memory.toolbox.find_prompt("recall").get({"topic": "port"}, call)
    assert "Port 80" in message.content["text"]
    with pytest.raises(InvalidArguments):
        await memory.toolbox.find_prompt("recall").get({}, call)
    (message,) = await memory.toolbox.find_prompt("remember").get({"what": "I like tea"}, call)
    assert "I like tea" in message.content["text"]
    for name in ("remember", "handoff"):
        (message,) = await memory.toolbox.find_prompt(name).get({}, call)
        assert "memory_add" in message.content["text"]


async def test_the_tools_are_named_and_described_for_agents_and_their_list_is_small(memory: Any) -> None:
    tools = memory.toolbox.listed()
    assert [tool.name for tool in tools] == [
        "memory_search",
        "memory_add",
        "memory_edit",
        "memory_get",
        "memory_context",
    ]
    assert all(tool.description.startswith("Use when") and len(tool.description) < 400 for tool in tools)
    always = [tool.name for tool in tools if tool.meta.get("anthropic/alwaysLoad")]
    assert always == ["memory_search", "memory_add"]
    assert {tool.name for tool in tools if tool.writes} == {"memory_add", "memory_edit"}
    assert {tool.name for tool in tools if tool.destructive} == {"memory_edit"}
    size = sum(len(json.dumps(memory.toolbox.schema(tool))) + len(tool.description) for tool in tools)
    assert size < 6_300  # with the gateway's own tools and all envelopes, under 8 KB


async def test_reading_and_finding_count_as_use_and_editing_does_not(memory: Any) -> None:
    await memory.add("The pump is blue")
    await memory.call("memory_search", query="pump")
    await memory.call("memory_get", ids=["m1"])
    await memory.call("memory_edit", action="protect", ids=["m1"])
    await memory.parts.use.flush()
    assert (await memory.data("memory_get", ids=["m1"]))["results"][0]["access_count"] == 2
