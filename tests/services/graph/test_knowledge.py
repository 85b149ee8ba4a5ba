"""What is taught is known, for as long as it holds, and who asks is told what follows and why."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from mimo.errors import Conflict, InvalidArguments, MimoError, NotFound
from mimo.storage.sql import rows, value

NOW = 1_800_000_000_000
DAY = 86_400_000


@pytest.fixture
def fast_clock() -> trio.testing.MockClock:
    """A clock that jumps would jump over what threads are doing."""
    return trio.testing.MockClock(rate=50)


Living = Any  # conftest's


async def test_what_is_taught_is_asked_for_by_either_end(graph: Living) -> None:
    assert await graph.teach(("Ann", "manages", "Bob"), ("Bob", "Uses", "Git")) == ["t1", "t2"]
    assert await graph.facts(subject="bob", inferred=False) == {("Bob", "uses", "Git")}
    assert await graph.facts(object="Bob", inferred=False) == {("Ann", "manages", "Bob")}
    assert await graph.facts(predicate="uses") == {("Bob", "uses", "Git")}
    assert (await graph.data("query", pattern="?x manages ?y, ?y uses Git"))["bindings"] == [
        {"x": "Ann", "y": "Bob"}
    ]
    assert len(graph.told("graph:taught")) == 1


async def test_what_is_said_again_is_one_fact_with_two_speakers(graph: Living) -> None:
    await graph.teach({"subject": "Ann", "predicate": "likes", "object": "tea", "confidence": 0.5})
    told = await graph.data(
        "teach", subject="ann", predicate="likes", object="Tea", confidence=0.7, source="a letter"
    )
    assert (told["results"][0]["id"], told["results"][0]["op"]) == ("t1", "raised")
    again = await graph.data("teach", subject="Ann", predicate="likes", object="tea", confidence=0.6)
    assert again["results"][0]["op"] == "known"
    why = await graph.data("why", subject="Ann", predicate="likes")
    assert why["results"][0]["confidence"] == 0.7
    assert [each["source"] for each in why["results"][0]["said"]] == ["", "a letter"]


async def test_a_batch_under_a_key_is_taught_once(graph: Living) -> None:
    one = await graph.data("teach", triples=[["a", "p", "b"]], key="k")
    two = await graph.data("teach", triples=[["a", "p", "b"]], key="k")
    assert one == two
    assert one["results"][0]["op"] == "added"


async def test_a_key_is_not_taken_for_another_batch(graph: Living) -> None:
    await graph.data("teach", triples=[["a", "p", "b"]], key="k")
    with pytest.raises(Conflict, match="key 'k' was used for something else"):
        await graph.data("teach", triples=[["a", "p", "c"]], key="k")
    assert {each[2] for each in await graph.facts()} == {"b"}


async def test_a_batch_with_one_bad_item_is_not_taught(graph: Living) -> None:
    with pytest.raises(InvalidArguments, match=r"triples\[1\]"):
        await graph.teach(("a", "p", "b"), {"subject": "a", "predicate": "!!", "object": "b"})
    assert await graph.facts() == set()


async def test_a_functional_predicate_ends_what_it_contradicts_and_deletes_nothing(graph: Living) -> None:
    await graph.teach(("Ann", "reports_to", "Bob"))
    graph.now += DAY
    told = await graph.data("teach", subject="Ann", predicate="reports_to", object="Cid")
    assert told["results"][0]["superseded"] == ["t1"]
    said = {"predicate": "reports_to", "inferred": False}
    assert await graph.facts(subject="Ann", **said) == {("Ann", "reports_to", "Cid")}
    assert await graph.facts(subject="Ann", as_of=(NOW + 1) / 1000, **said) == {("Ann", "reports_to", "Bob")}
    # What did we know yesterday? That it was Bob, without an end.
    known = await graph.data("query", subject="Ann", known_at=(NOW + 1) / 1000, as_of=(NOW + 3 * DAY) / 1000)
    assert [each["object"] for each in known["results"]] == ["Bob"]
    known = await graph.data(
        "query", subject="Ann", known_at=(NOW + DAY) / 1000, as_of=(NOW + 3 * DAY) / 1000
    )
    assert [each["object"] for each in known["results"]] == ["Cid"]
    # A retracted contradiction was none.
    await graph.call("retract", ids=["t" + told["results"][0]["id"][1:]])
    assert await graph.facts(subject="Ann", **said) == {("Ann", "reports_to", "Bob")}


async def test_what_was_believed_at_a_time_can_be_asked_in_every_way(graph: Living) -> None:
    await graph.teach(("web", "depends_on", "api"), ("api", "depends_on", "db"))
    await graph.teach({"subject": "Ann", "predicate": "reports_to", "object": "Bob"})
    then = (NOW + DAY // 2) / 1000
    graph.now += DAY
    await graph.call("retract", subject="api", object="db")
    await graph.teach(("api", "depends_on", "cache"), ("Ann", "reports_to", "Cid"))
    await graph.call("merge", subject="db", to="cache")
    await graph.call("undo")
    assert await graph.facts(known_at=then) == {
        ("web", "depends_on", "api"), ("api", "depends_on", "db"), ("Ann", "reports_to", "Bob"),
    }  # fmt: skip
    assert await graph.facts(known_at=then, subject="api", object="cache") == set()
    assert await graph.facts(known_at=then, predicate="reports_to") == {("Ann", "reports_to", "Bob")}
    asked = {"pattern": "web depends_on ?x, ?x depends_on ?y"}
    assert (await graph.data("query", **asked, known_at=then))["bindings"] == [{"x": "api", "y": "db"}]
    for operation, expected in (("closure", ["api", "db"]), ("neighbours", ["api"])):
        found = await graph.data(operation, subject="web", known_at=then)
        assert [each["name"] for each in found["results"]] == expected
    [path] = (await graph.data("path", subject="web", object="db", known_at=then))["paths"]
    assert path["names"] == ["web", "api", "db"]
    broken = await graph.data("impact", subject="db", known_at=then)
    assert [each["name"] for each in broken["results"]] == ["api", "web"]
    assert (await graph.data("impact", subject="db"))["results"] == []
    # That it would end was not known then; and before anything was said, nothing was.
    assert "until" not in await graph.text("query", subject="Ann", known_at=then)
    assert await graph.facts(known_at=(NOW - DAY) / 1000) == set()
    with pytest.raises(InvalidArguments, match="known_at goes with query"):
        await graph.call("why", subject="api", predicate="depends_on", known_at=then)


async def test_what_had_expired_by_then_was_not_believed(graph: Living) -> None:
    await graph.teach({"subject": "a", "predicate": "p", "object": "b", "ttl": 3600.0})
    graph.now += DAY
    assert await graph.facts(known_at=(NOW + 1000) / 1000) == {("a", "p", "b")}
    assert await graph.facts(known_at=(NOW + DAY // 2) / 1000) == set()


async def test_dated_facts_keep_their_times_whatever_the_order(graph: Living) -> None:
    await graph.teach(
        {"subject": "Ann", "predicate": "reports_to", "object": "Bob", "valid_from": "2024-01-01"},
        {"subject": "Ann", "predicate": "reports_to", "object": "Old", "valid_from": "2020-01-01"},
    )
    said = {"subject": "Ann", "predicate": "reports_to", "inferred": False}
    assert await graph.facts(as_of="2022-06-01", **said) == {("Ann", "reports_to", "Old")}
    assert await graph.facts(as_of="2025-06-01", **said) == {("Ann", "reports_to", "Bob")}
    assert await graph.facts(as_of="2019-06-01", **said) == set()
    # Conclusions hold when their premises do.
    managed = {"object": "Ann", "predicate": "manages"}
    assert await graph.facts(as_of="2022-06-01", **managed) == {("Old", "manages", "Ann")}


async def test_what_expires_is_gone_in_time_with_what_follows_from_it(
    graph: Living, nursery: trio.Nursery, fast_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    graph.door._clock = lambda: NOW + round((trio.current_time() - began) * 1000)
    await nursery.start(graph.door.run)
    await graph.teach({"subject": "Ann", "predicate": "manages", "object": "Bob", "ttl": 20.0})
    assert len(await graph.facts()) == 2
    async with graph.events.subscribe("graph:expired") as told:
        await told.__anext__()
    assert 20 <= trio.current_time() - began < 60
    assert await graph.facts() == set()
    assert await graph.database.read(value, "SELECT retired_why FROM semantic_triples") == "expired"


async def test_conclusions_are_written_half_a_second_after_a_change(
    graph: Living, nursery: trio.Nursery, fast_clock: trio.testing.MockClock
) -> None:
    await nursery.start(graph.door.run)
    await graph.teach(("Ann", "manages", "Bob"))
    async with graph.events.subscribe("graph:inferred", since=0) as told:
        event: Any = await told.__anext__()
    assert (event.drawn, event.bounded) == (1, False)
    sql = "SELECT subject, predicate, object, rule FROM semantic_triples WHERE origin = 'inferred'"
    assert await graph.database.read(rows, sql) == [
        ("Bob", "reports_to", "Ann", "reports_to is the inverse of manages")
    ]


async def test_a_conclusion_falls_with_its_premise_in_the_file_at_once(graph: Living) -> None:
    await graph.call(
        "teach",
        triples=[["a", "manages", "b"], ["b", "manages", "c"]],
        rules=["x manages y, y manages z -> x senior_to z"],
    )
    await graph.call("infer")
    assert ("a", "senior_to", "c") in await graph.facts()
    await graph.call("retract", subject="b", predicate="manages", object="c")
    assert await graph.facts() == {("a", "manages", "b"), ("b", "reports_to", "a")}
    left = await graph.database.read(value, "SELECT count(*) FROM semantic_triples WHERE origin = 'inferred'")
    assert left == 1
    assert len(graph.told("graph:retracted")) == 1


async def test_a_rule_can_be_retracted_and_what_it_concluded_falls(graph: Living) -> None:
    rule = "x manages y -> x knows y"
    await graph.call("teach", triples=[["a", "manages", "b"]], rules=[rule])
    assert ("a", "knows", "b") in await graph.facts()
    assert (await graph.data("stats"))["rules"] == [{"rule": rule, "confidence": 1.0}]
    await graph.call("retract", rules=["x manages y->x knows y"])
    assert ("a", "knows", "b") not in await graph.facts()
    assert (await graph.data("stats"))["rules"] == []


async def test_a_rules_confidence_bounds_its_conclusions(graph: Living) -> None:
    await graph.call("teach", rules=["x p y -> x q y"], confidence=0.5)
    await graph.teach({"subject": "a", "predicate": "p", "object": "b", "confidence": 0.8})
    [fact] = (await graph.data("query", predicate="q"))["results"]
    assert fact["confidence"] == 0.4
    assert (await graph.data("query", predicate="q", confidence=0.5))["results"] == []


async def test_why_goes_back_to_the_sentence_and_the_speaker(graph: Living) -> None:
    await graph.call("teach", text="The API depends on Redis. Redis depends on Linux!", source="README")
    text = await graph.text("why", subject="API", predicate="depends on", object="Linux")
    assert "concluded: depends_on is transitive" in text
    assert "said by tester (README)" in text
    assert '"The API depends on Redis."' in text
    assert "0.64" in text
    not_so = await graph.text("why", subject="Linux", predicate="depends on", object="API")
    assert "nobody ever said so" in not_so
    await graph.call("retract", subject="API")
    before = await graph.data("why", subject="API", predicate="depends_on")
    assert before["before"][0]["retired_why"] == "retracted"


async def test_facts_come_from_memories_and_lose_their_sentence_with_them(graph: Living) -> None:
    with pytest.raises(NotFound):
        await graph.call("teach", text="Ann manages Bob.", engram="m1")
    sql = (
        "INSERT INTO engrams (namespace, state_since, content, content_hash, created_at, stored_at, changed_at,"
        " accessed_at) VALUES ('n', 0, 'x', zeroblob(32), 0, 0, 0, 0)"
    )
    await graph.database.write(rows, "INSERT INTO namespaces (name, created_at) VALUES ('n', 0)")
    await graph.database.write(rows, sql)
    await graph.call("teach", text="Ann manages Bob.", engram="m1")
    assert "[m1]" in await graph.text("why", subject="Ann", predicate="manages")
    await graph.database.write(rows, "DELETE FROM engrams")
    [row] = await graph.database.read(
        rows, "SELECT evidence, engram_id FROM semantic_triples WHERE origin = 'asserted'"
    )
    assert row == ("", None)


async def test_a_fact_lives_in_several_graphs(graph: Living) -> None:
    await graph.teach(("a", "p", "b"), graphs=["one", "two"])
    assert await graph.facts(graph="one") == await graph.facts(graph="two") == {("a", "p", "b")}
    await graph.call("retract", subject="a", graph="one")
    assert await graph.facts(graph="one") == set()
    assert await graph.facts(graph="two") == {("a", "p", "b")}


async def test_paths_and_what_would_break(graph: Living) -> None:
    await graph.teach(
        ("web", "depends_on", "api"),
        ("api", "requires", "db"),
        ("disk", "required_by", "db"),
        ("web", "uses", "cdn"),
    )
    assert await graph.text("path", subject="web", object="disk") == (
        "web -depends_on-> api -requires-> db <-required_by- disk"
    )
    assert "no way leads" in await graph.text("path", subject="disk", object="web", direction="out")
    broken = await graph.data("impact", subject="disk")
    assert [each["name"] for each in broken["results"]] == ["db", "api", "web"]
    near = await graph.data("neighbours", subject="api")
    assert {each["name"] for each in near["results"]} == {"web", "db"}
    all_ = await graph.data("closure", subject="web")
    assert {each["name"] for each in all_["results"]} == {"api", "db", "cdn"}
    await graph.teach(("cat", "is_a", "animal"), ("dog", "is_a", "animal"), ("animal", "is_a", "thing"))
    common = await graph.data("ancestors", subject="cat", object="dog")
    assert [each["name"] for each in common["results"]] == ["animal", "thing"]


async def test_one_fact_from_which_much_follows_holds_up_nobody(graph: Living) -> None:
    """Two chains become one: the loop goes on meanwhile, which every test is held to (see LoopHeldUp)."""
    await graph.teach(*((f"{side}{n}", "depends_on", f"{side}{n + 1}") for side in "ab" for n in range(80)))
    assert len(await graph.facts(subject="a0")) == 80
    await graph.teach(("a80", "depends_on", "b0"))
    turns = 0
    done = trio.Event()

    async def ask() -> None:
        assert len(await graph.facts(subject="a0")) == 161
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 20


async def test_types_narrow_what_is_found(graph: Living) -> None:
    await graph.teach(
        {
            "subject": "Ann",
            "subject_type": "person",
            "predicate": "uses",
            "object": "Git",
            "object_type": "tool",
        },
        {"subject": "CI", "subject_type": "job", "predicate": "uses", "object": "Git"},
    )
    assert await graph.facts(predicate="uses", types=["person"]) == {("Ann", "uses", "Git")}
    assert len(await graph.facts(predicate="uses", types=["tool"])) == 2


async def test_a_question_without_a_name_is_limited_and_says_so(graph: Living) -> None:
    await graph.teach(*((f"a{n}", "p", f"b{n}") for n in range(80)))
    text = await graph.text("query")
    assert "50 are shown" in text
    assert "without a name" in text
    assert len((await graph.data("query", pattern="?a ?b ?c", limit=10))["results"]) == 10


async def test_at_most_two_sure_facts_are_suggested_and_not_twice(graph: Living) -> None:
    await graph.teach(
        ("Atlas", "owned_by", "Ann"), ("Atlas", "uses", "Git"), ("Atlas", "uses", "Rust"),
        {"subject": "Atlas", "predicate": "uses", "object": "PHP", "confidence": 0.5},
    )  # fmt: skip
    first = (await graph.data("suggest", text="who knows about Atlas and Ann?"))["results"]
    assert len(first) == 2
    assert first[0]["object"] == "Ann" or first[0]["subject"] == "Ann"
    second = (await graph.data("suggest", text="Atlas again"))["results"]
    assert not {each["id"] for each in first} & {each["id"] for each in second}
    assert all(each["object"] != "PHP" for each in second)
    assert (await graph.data("suggest", text="nothing that is known"))["results"] == []


async def test_the_vocabulary_grows_by_a_file(graph: Living) -> None:
    path = trio.Path(graph.database.home) / "vocabulary.toml"
    await path.write_text('[blocks]\ntransitive = true\ninverse = "blocked by"\nimplies = ["relates to"]\n')
    await graph.teach(("a", "blocks", "b"), ("b", "blocks", "c"))
    facts = await graph.facts(object="a")
    assert {("c", "blocked_by", "a"), ("b", "relates_to", "a")} <= facts


@pytest.mark.parametrize(
    "name",
    [
        "a -> b",
        "a, b",
        'say "hi"',
        "it's",
        "👩‍💻 dev",
        "x" * 10_000,
        "?x",
        "100%",
        "a\tb",
        "SELECT * FROM t; --",
        "é",
    ],
)
async def test_any_name_is_kept_as_it_is(graph: Living, name: str) -> None:
    await graph.teach((name, "likes", "tea"), ("bob", "likes", name))
    assert await graph.facts(subject=name) == {(name, "likes", "tea")}
    assert await graph.facts(object=name) == {("bob", "likes", name)}
    assert (await graph.data("resolve", subject=name))["name"] == name
    assert (await graph.data("path", subject="bob", object="tea"))["paths"][0]["names"] == [
        "bob",
        name,
        "tea",
    ]


@pytest.mark.parametrize(
    ("operation", "arguments", "told"),
    [
        ("teach", {"triples": [["a\0b", "p", "c"]]}, "NUL"),
        ("teach", {"triples": [["x" * 10_300, "p", "c"]]}, "10,240"),
        ("teach", {"triples": [["a", "p"]]}, "triples"),
        ("teach", {"triples": [["a", "p", "\ud800"]]}, "surrogate"),
        ("teach", {"triples": [["a", " ", "c"]]}, "empty"),
        ("teach", {"triples": [{"subject": "a", "predicate": "p", "object": "b", "confidence": 1.5}]}, "0 to 1"),
        ("teach", {"subject": "a", "predicate": "p", "object": "b", "confidence": 1.5}, "confidence"),
        ("teach", {"subject": "a", "predicate": "p"}, "a fact has"),
        ("teach", {}, "nothing to teach"),
        ("teach", {"rules": ["x p y -> x q z"]}, "z stands after the arrow only"),
        ("teach", {"aliases": ["b"]}, "say which"),
        ("teach", {"triples": [{"subject": "a", "predicate": "p", "object": "b", "valid_from": "2025-01-01", "valid_to": "2024-01-01"}]}, "after valid_from"),
        ("teach", {"subject": "a", "predicate": "p", "object": "b", "valid_from": "soon"}, "valid_from"),
        ("query", {"pattern": "a b"}, "not understood"),
        ("query", {"pattern": "a p b", "subject": "a"}, "pattern, or"),
        ("query", {"graph": "nowhere"}, "no graph 'nowhere'"),
        ("query", {"graph": "*"}, "one graph at a time"),
        ("path", {"subject": "a"}, "needs object"),
        ("why", {}, "needs subject"),
        ("why", {"ids": ["t999"]}, "no fact here"),
        ("why", {"ids": ["x"]}, "no id of a fact"),
        ("retract", {}, "needs ids"),
        ("merge", {"subject": "a"}, "needs subject and to"),
        ("split", {"subject": "a", "to": "b"}, "needs ids"),
        ("suggest", {}, "needs text"),
        ("resolve", {}, "needs subject"),
        ("explode", {}, "operation"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_with_the_cure(
    graph: Living, operation: str, arguments: dict[str, Any], told: str
) -> None:
    await graph.teach(("a", "q", "z"))
    with pytest.raises(MimoError, match=told):
        await graph.call(operation, **arguments)
    assert await graph.facts() == {("a", "q", "z")}


async def test_a_thing_that_relates_to_itself_harms_nobody(graph: Living) -> None:
    await graph.teach(("a", "depends_on", "a"), ("a", "depends_on", "b"), ("b", "depends_on", "a"))
    assert await graph.text("path", subject="a", object="a") == "(it is the same thing)"
    assert len((await graph.data("closure", subject="a"))["results"]) == 1
    await graph.call("infer")
    await graph.call("retract", subject="a", object="b")
    assert await graph.facts() == {("a", "depends_on", "a"), ("b", "depends_on", "a")}


async def test_what_only_reads_cannot_write(graph: Living) -> None:
    await graph.teach(("a", "p", "b"))
    assert "a p b" in (await graph.call("query", tool="knowledge_ask")).as_text()
    with pytest.raises(InvalidArguments, match="changes the graph"):
        await graph.call("retract", tool="knowledge_ask", subject="a")
    assert "teach" in await graph.text("help")


async def test_a_question_is_answered_by_facts_else_by_memories_and_that_is_said(graph: Living) -> None:
    await graph.remembers("memory_add", content="The kettle in the kitchen is blue")
    await graph.teach(("Ann", "manages", "Bob"), ("Ann", "likes", "tea"))
    assert await graph.text("ask", text="who manages Bob?") == "Ann manages Bob (t1)"
    told = await graph.text("ask", text="which colour is the kettle in the kitchen?")
    assert told == "no fact is known of this; from the memories:\n- The kettle in the kitchen is blue (m1)"
    told = await graph.data("ask", text="zzz")
    assert (told["by"], told["results"]) == ("memories", [])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who manages Bob?", ["Ann manages Bob"]),
        ("whom does Bob manage", ["Bob manages Cid"]),
        ("who is Bob managed by?", ["Ann manages Bob"]),
        ("Who is managed by Bob?", ["Bob manages Cid"]),
        ("does Ann manage Bob?", ["Ann manages Bob"]),
        ("What does Atlas use?", ["Atlas uses Git"]),
        ("what uses Atlas", ["Web uses Atlas"]),
        ("who owns Atlas?", ["Atlas owned_by Ann"]),
        ("who is Atlas owned by", ["Atlas owned_by Ann"]),
        ("what is owned by Ann?", ["Atlas owned_by Ann"]),
    ],
)
async def test_a_question_is_answered_by_the_end_that_it_asks_for(
    graph: Living, question: str, answer: list[str]
) -> None:
    await graph.teach(
        ("Ann", "manages", "Bob"), ("Bob", "manages", "Cid"), ("Atlas", "uses", "Git"), ("Web", "uses", "Atlas"),
        ("Atlas", "owned_by", "Ann"),
    )  # fmt: skip
    told = await graph.data("ask", text=question, inferred=False)
    assert [f"{each['subject']} {each['predicate']} {each['object']}" for each in told["results"]] == answer


async def test_a_new_context_brings_facts_once(graph: Living) -> None:
    await graph.teach(("Atlas", "owned_by", "Ann"))
    first = (await graph.remembers("memory_context", task="fix the tests of Atlas")).as_text()
    assert "Known for certain:\n- Atlas owned_by Ann (t1)" in first
    again = (await graph.remembers("memory_context", task="fix the docs of Atlas")).as_text()
    assert "Atlas owned_by Ann" not in again
    assert len(graph.told("graph:suggested")) == 1


async def test_a_search_finds_the_memory_behind_a_fact_by_another_name(graph: Living) -> None:
    found = (
        await graph.remembers("memory_add", content="They moved everything to the new ledger", format="json")
    ).data
    engram = found["results"][0]["id"]
    await graph.call("teach", text="Payments Team owns ledger.", engram=engram)
    await graph.call("teach", subject="Payments Team", aliases=["team-pay"])
    asked = {"query": "team-pay", "namespace": "proj", "format": "json"}
    told = (await graph.remembers("memory_search", **asked)).data
    assert told["arms"]["facts"] == "ran"
    assert [each["id"] for each in told["results"]] == [engram]
    told = (await graph.remembers("memory_search", **asked | {"query": "something else"})).data
    assert "facts" not in told["arms"]
