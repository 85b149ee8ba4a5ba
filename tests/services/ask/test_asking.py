"""One question to all stores of a whole house, over HTTP, and the threads of questions."""

import json
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import Unavailable
from mimo.services.ask.asking import Asking
from mimo.services.ask.stores import FACTS, MEMORIES, PROCEDURES, Found, Piece, Store, memories
from mimo.services.ask.threads import Threads, refers_back
from mimo.tool import Answer, Call, Client

from .conftest import Open

CALL = Call("q1", Client(name="tests"))


def store(name: str, *pieces: Piece, seconds: float = 0, error: Exception | None = None) -> Store:
    async def find(text: str, call: Call) -> Found:
        await trio.sleep(seconds)
        if error is not None:
            raise error
        return Found(pieces)

    return Store(name, find)


def piece(name: str, id_: str = "m1", content: str = "tea", score: float = 0.9) -> Piece:
    return Piece(name, id_, content, score)


async def test_a_question_finds_memories_facts_and_procedures(door: Open) -> None:
    await door.remember("Ilse waters the tomatoes on Tuesdays", "The harbour closes at nine")
    only = await door.ask("When does Ilse water the tomatoes?")
    assert set(only) == {"query_id", "router_decision", "results", "synthesis", "context_id", "latency_ms"}
    assert only["results"][0]["store"] == "memories"
    assert "tomatoes" in only["results"][0]["content"]
    assert only["router_decision"]["asked"] == ["memories"]  # the others have nothing in them yet
    assert only["router_decision"]["stores"]["facts"]["status"] == "absent"
    assert only["synthesis"] is None
    await door.tool("knowledge", operation="teach", triples=[["Ilse", "manages", "Bob"]], graph="user")
    definition = {
        "name": "water_tomatoes",
        "version": "1.0",
        "description": "Waters the tomatoes in the garden.",
        "initial": "done",
        "states": {"done": {"terminal": "success"}},
    }
    await door.tool("procedure", operation="define", definition=definition)
    told = await door.ask("Ilse asks: how do I water the tomatoes in the garden?")
    assert {each["store"] for each in told["results"]} == {"memories", "facts", "procedures"}, told
    assert len({each["id"] for each in told["results"]}) == len(told["results"])
    assert any(each["content"] == "Ilse manages Bob" for each in told["results"])
    assert told["router_decision"]["fallback"] is None
    assert not any("harbour" in each["content"] for each in told["results"])


async def test_where_other_stores_find_nothing_the_memories_stand_in_and_it_is_said(door: Open) -> None:
    await door.tool("knowledge", operation="teach", triples=[["Ilse", "manages", "Bob"]], graph="user")
    await door.remember("The harbour closes at nine in the evening")
    told = await door.ask("When does the harbour close?")
    assert [each["store"] for each in told["results"]] == ["memories"]
    assert told["router_decision"]["fallback"] == "memories"
    assert "facts found nothing" in told["router_decision"]["reason"]


async def test_a_question_goes_on_from_the_one_before(door: Open) -> None:
    await door.tool("knowledge", operation="teach", triples=[["Ilse", "manages", "Bob"]], graph="user")
    first = await door.ask("What is known of Ilse?")
    alone = await door.ask("And who does she manage?")
    assert not any(each["store"] == "facts" for each in alone["results"])
    after = await door.ask("And who does she manage?", context_id=first["context_id"])
    assert after["context_id"] == first["context_id"]
    assert after["results"][0]["content"] == "Ilse manages Bob"
    assert "before" in after["router_decision"]["context"]
    unknown = await door.ask("And who does she manage?", context_id="0" * 24)
    assert unknown["context_id"] != "0" * 24
    assert "new one" in unknown["router_decision"]["context"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " "},
        {"query": 5},
        {"query": "x" * 20_001},
        {"query": "a", "more": 1},
        {"query": "a", "context_id": 5},
        {"query": "a", "context_id": "x" * 65},
        *({"query": "a", "timeout_ms": each} for each in (0, -1, 60_001, 1.5, True, "5")),
        {"query": "\ud800"},
    ],
)
async def test_what_is_no_question_is_refused(door: Open, body: dict[str, Any]) -> None:
    refused = await door.client.post(
        "/v1/mimo/ask", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert refused.status_code in {400, 422}, refused.text
    assert refused.json()["error"]["message"]


async def test_a_nul_and_other_odd_text_are_asked_like_any_other(door: Open) -> None:
    for odd in ("\0", '"', "'; DROP TABLE engrams; --", "🙂" * 100, "(((", "AND OR NOT *"):
        assert (await door.ask(odd))["results"] == []


async def test_what_was_found_until_the_deadline_is_the_answer(autojump_clock: Any) -> None:
    asking = Asking([store(MEMORIES, piece(MEMORIES)), store(FACTS, piece(FACTS, "t1"), seconds=60)])
    began = trio.current_time()
    told = await asking.ask("tea?", CALL, seconds=0.5)
    assert trio.current_time() - began == pytest.approx(0.5)
    assert [each["store"] for each in told["results"]] == ["memories"]
    assert told["router_decision"]["cut"] == ["facts"]
    assert told["router_decision"]["stores"]["facts"]["status"] == "cut"
    assert "facts was cut" in told["router_decision"]["reason"]


@pytest.mark.parametrize("error", [Unavailable("the graph is away"), RuntimeError("a secret")])
async def test_a_store_that_fails_costs_only_itself(error: Exception, autojump_clock: Any) -> None:
    asking = Asking([store(MEMORIES, piece(MEMORIES)), store(FACTS, error=error)])
    told = await asking.ask("tea?", CALL)
    assert [each["store"] for each in told["results"]] == ["memories"]
    assert told["router_decision"]["fallback"] == "memories"
    assert told["router_decision"]["stores"]["facts"]["status"] == "failed"
    assert "secret" not in json.dumps(told)


async def test_where_all_fail_the_question_fails(autojump_clock: Any) -> None:
    with pytest.raises(Unavailable, match="disk"):
        await Asking([store(MEMORIES, error=Unavailable("the disk"))]).ask("tea?", CALL)


async def test_a_search_by_words_alone_says_so() -> None:
    """The embedder's service is down: words find it, and the answer says what did not run."""
    arms = {"words": "ran", "meaning": "did not run: the service is away"}
    hit = {"id": "m1", "content": "tea", "score": 0.9, "references": []}

    async def call_tool(name: str, arguments: object, call: Call) -> Answer:
        await trio.lowlevel.checkpoint()
        return Answer(data={"results": [hit], "arms": arms, "abstained": False})

    told = await Asking([memories(call_tool)]).ask("tea?", CALL)
    assert [each["content"] for each in told["results"]] == ["tea"]
    assert "the service is away" in told["router_decision"]["reason"]


async def test_a_procedure_is_not_told_twice(autojump_clock: Any) -> None:
    both = store(MEMORIES, piece(MEMORIES, "m7")), store(PROCEDURES, piece(PROCEDURES, "m7"))
    told = await Asking(both).ask("tea?", CALL)
    assert [each["store"] for each in told["results"]] == ["procedures"]


async def test_threads_are_bounded_end_and_are_nobody_elses(autojump_clock: Any) -> None:
    threads, client = Threads(most=2, seconds=10), Client(name="a", key="k1")
    one = threads.note(None, client, "first")
    assert threads.before(one, client) == "first"
    assert threads.before(one, Client(name="a", key="k2")) is None
    await trio.sleep(11)
    assert threads.before(one, client) is None
    for _ in range(5):
        threads.note(None, client, "x")
    assert len(threads) == 2


@pytest.mark.parametrize("text", ["And who does she manage?", "why?", "what about Bob and Ann", "is it red"])
def test_what_needs_the_question_before(text: str) -> None:
    assert refers_back(text)


@pytest.mark.parametrize("text", ["Who manages Bob Miller now", "When does Harbour Street open on Sunday"])
def test_what_stands_alone(text: str) -> None:
    assert not refers_back(text)


@given(st.text(max_size=200))
def test_every_text_refers_back_or_does_not(text: str) -> None:
    assert refers_back(text) in {True, False}
