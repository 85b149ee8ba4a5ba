"""Finding engrams in a real file: by words, by meaning, by what stands beside them; and not finding them."""

from __future__ import annotations

import os
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimo.errors import Unavailable
from mimo.services.memory.found import Question
from mimo.services.memory.search import Search
from mimo.services.memory.strategies import strategies
from mimo.storage.engrams import gather, search, windows
from mimo.storage.engrams.search import Filter
from mimo.storage.sql import rows, run

DAY = 86_400_000
NOW_MS = 1_700_000_000_000
TALK = [
    {"content": "Ann: What did you do last weekend?", "session": "s1", "position": 0},
    {"content": "Bob: I went to the pottery studio and made a bowl", "session": "s1", "position": 1},
    {"content": "Ann: Nice! Can I see it?", "session": "s1", "position": 2},
    {"content": "Ann: The car needs new tyres before winter", "session": "s2", "position": 0},
    {"content": "Bob: Let us call the garage on the corner", "session": "s2", "position": 1},
]


async def test_what_was_said_is_found_by_its_words(store: Any) -> None:
    await store.put(*TALK)
    found = await store.find("What bowl was made at the pottery studio?")
    assert found.hits[0].content.startswith("Bob: I went to the pottery")
    assert found.arms == {"meaning": "ran", "words": "ran", "context": "ran"}
    assert not found.abstained


async def test_an_answer_without_the_words_of_the_question_is_found_beside_them(store: Any) -> None:
    await store.put(*TALK, "Somebody else's remark about nothing", "One more remark")
    found = await store.find("new tyres for the car before winter")
    assert [hit.session for hit in found.hits[:2]] == ["s2", "s2"]


async def test_a_question_about_something_else_is_answered_with_nothing(store: Any) -> None:
    await store.put(*TALK)
    found = await store.find("Which quantum chromodynamics lattice did Zoe simulate?")
    assert found.abstained


async def test_an_empty_store_says_nothing_and_does_not_fail(store: Any) -> None:
    found = await store.find("anything")
    assert found.abstained
    assert found.hits == ()


async def test_namespaces_do_not_see_one_another(store: Any) -> None:
    await store.put({"content": "The launch code is blue", "namespace": "work"}, "The launch is at noon")
    assert {hit.namespace for hit in (await store.find("launch")).hits} == {"home"}
    assert {hit.namespace for hit in (await store.find("launch", None)).hits} == {"home", "work"}
    assert (await store.find("launch", "nowhere")).hits == ()


@pytest.mark.parametrize("state", ["archived", "forgotten"])
async def test_a_forgotten_engram_is_not_recalled(store: Any, state: str) -> None:
    await store.put({"content": "The cellar key hangs behind the door", "state": state})
    assert (await store.find("Where is the cellar key?")).hits == ()


async def test_working_memory_is_found_with_the_rest_and_stands_a_little_higher(store: Any) -> None:
    await store.put(
        "The build uses port 8123",
        {"content": "The build uses port 8124", "state": "working", "expires_at": 1_700_000_600_000},
        {"content": "The build uses port 8125", "state": "working", "expires_at": 1_699_999_999_000},
    )
    found = await store.find("Which port does the build use?")
    assert [hit.content[-4:] for hit in found.hits] == ["8124", "8123"]


async def test_filters_narrow_every_arm(store: Any) -> None:
    await store.put(
        {"content": "tea is preferred in the morning", "kind": "preference", "tags": ["drinks", "morning"]},
        {
            "content": "tea was bought in the morning",
            "kind": "fact",
            "created_at": (1_700_000_000 - 90_000) * 1000,
        },
    )
    assert [h.kind for h in (await store.find("tea in the morning", kinds=("preference",))).hits] == [
        "preference"
    ]
    assert [h.kind for h in (await store.find("tea", tags=("drinks", "morning"))).hits] == ["preference"]
    assert (await store.find("tea", tags=("drinks", "evening"))).hits == ()
    since = (1_700_000_000 - 80_000) * 1000
    assert [h.kind for h in (await store.find("tea", since=since)).hits] == ["preference"]
    assert [h.kind for h in (await store.find("tea", until=since)).hits] == ["fact"]


async def test_what_was_superseded_is_found_only_as_of_then(store: Any) -> None:
    now = 1_700_000_000_000
    (newer,) = await store.put({"content": "The office is in Graz", "created_at": now - DAY})
    await store.put({"content": "The office is in Linz", "created_at": now - 9 * DAY, "superseded_by": newer})
    assert [h.content for h in (await store.find("Where is the office?")).hits] == ["The office is in Graz"]
    then = await store.find("Where is the office?", as_of=now - 5 * DAY)
    assert [h.content for h in then.hits] == ["The office is in Linz"]


async def test_an_identifier_is_found_by_its_parts_and_its_parts_by_it(store: Any) -> None:
    await store.put("parseHttpRequest fails on folded headers", "unrelated text about gardens")
    assert (await store.find("http request")).hits[0].content.startswith("parseHttp")
    assert (await store.find("parseHttpRequest")).hits[0].content.startswith("parseHttp")


async def test_what_is_not_embedded_yet_is_found_by_words(store: Any) -> None:
    await store.put({"content": "The heron nests at the mill", "embedded": False}, "Something else entirely")
    found = await store.find("heron mill")
    assert found.hits[0].content == "The heron nests at the mill"
    assert not found.abstained
    assert (await store.find("submarine volcano")).abstained


async def test_the_first_of_all_is_an_answer_before_it_is_embedded(store: Any) -> None:
    await store.put({"content": "The heron nests at the mill", "embedded": False})
    assert not (await store.find("Where does the heron nest?")).abstained


async def test_when_the_embedder_is_down_words_answer_and_it_is_said(store: Any) -> None:
    class Down:
        model = "hashing"

        async def embed(self, texts: object) -> Any:
            raise Unavailable("no answer from the embedder")

    await store.put(*TALK)
    store.search = Search(store.database, Down(), lambda: store.segment, clock=lambda: 1_700_000_000)
    found = await store.find("pottery studio bowl")
    assert found.hits[0].content.startswith("Bob: I went")
    assert found.arms["meaning"] == "did not run: no answer from the embedder"


async def test_a_cursor_goes_on_where_the_page_ended(store: Any) -> None:
    await store.put(*[f"note number {n} about the harvest" for n in range(7)])
    first, second = await store.find("harvest", limit=4), await store.find("harvest", limit=4, offset=4)
    assert first.more
    assert not second.more
    assert len({hit.id for hit in first.hits + second.hits}) == 7


async def test_why_shows_the_part_of_each_arm(store: Any) -> None:
    await store.put(*TALK)
    (hit,) = (await store.find("What did Bob make in the pottery studio?", limit=1, why=True)).hits
    assert hit.why is not None
    assert {"words", "meaning", "speaker"} <= set(hit.why)


async def test_a_name_is_known_by_who_speaks_and_is_not_nearness_too(store: Any) -> None:
    for name in ("Ann", "Ben"):
        for n in range(10):
            place = {"session": "talk", "position": 2 * n + (name == "Ben")}
            await store.put({"content": f"{name}: word{n} of{n} {name.lower()}", **place})
    hits = (await store.find("Ann boat", limit=20, why=True)).hits
    near = {
        name: [hit.why["own_meaning"] for hit in hits if hit.content.startswith(name)]
        for name in ("Ann", "Ben")
    }
    assert all(hit.why["speaker"] > 0 for hit in hits if hit.content.startswith("Ann"))
    assert len(near["Ann"]) == len(near["Ben"]) == 10
    assert abs(sum(near["Ann"]) - sum(near["Ben"])) / 10 < 0.1


async def test_strategies_change_the_order(store: Any) -> None:
    now = 1_700_000_000_000
    await store.put(
        {
            "content": "the plan for the garden",
            "created_at": now - 400 * DAY,
            "importance": 1.0,
            "reference": "old",
        },
        {"content": "the plan for the garden", "created_at": now, "importance": 0.1, "reference": "new"},
        {
            "content": "the plan for the garden",
            "created_at": now - 400 * DAY,
            "uses": 500,
            "reference": "used",
        },
    )
    for strategy, expected in {"recent": "new", "important": "old", "popular": "used"}.items():
        assert (await store.find("plan garden", strategy=strategy)).hits[0].references == (expected,)


async def test_a_day_named_in_the_question_prefers_what_is_from_that_day(store: Any) -> None:
    may, june = 1_683_460_000_000, 1_686_400_000_000  # 7 May and 10 June 2023
    await store.put({"content": "We walked along the lake", "created_at": june}, "filler one", "filler two")
    await store.put({"content": "We walked along the lake!", "created_at": may})
    found = await store.find("Where did we walk on 7 May 2023?")
    assert found.hits[0].created_at == may


@settings(
    max_examples=50_000 if os.environ.get("MIMO_FAULTS") == "full" else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
    | st.text("\"'*^:()AND OR NOT{}-+\0x", max_size=40)
)
def test_no_text_of_a_question_is_syntax(engrams: apsw.Connection, text: str) -> None:
    """Any text that a question can be is looked up without an error."""
    said = gather.by_words(engrams, text, "", Filter(("home",)), 0, gather.Known())
    assert all(term.word for term in said.terms)


async def test_common_words_are_found_together_however_many_rows_were_expected(store: Any) -> None:
    await store.put(*(f"the kiln is {'hot' if n % 3 else 'cold'} on day {n}" for n in range(30)))

    def found(db: apsw.Connection) -> None:
        for limit in (1, 3, 50):
            match = search.match_of(["kiln", "hot"], ("home",), together=True)
            newest = list(search.rows_with(db, match, limit))
            assert newest == [n + 1 for n in range(29, -1, -1) if n % 3][:limit]
            assert list(search.few_rows_with(db, match, limit)) == newest

    await store.database.read(found)


@pytest.mark.parametrize("filters", [{}, {"kinds": ("fact",)}], ids=["no filter", "a filter"])
async def test_what_has_all_words_is_found_however_common_each_is_and_however_old_it_is(
    store: Any, filters: Any
) -> None:
    """Words alone, and of each word only the newest rows are read; a word that few or none have takes nothing away."""
    store.search = Search(store.database, None, lambda: None, clock=lambda: 1e9)
    words = ["kiln", "glaze", "stoneware"]
    old = "kiln, then glaze, on stoneware"
    items = [old, *(f"{words[n % 3]} on day {n}" for n in range(3 * search.MOST_ROWS + 30))]
    await store.put(*({"content": each, "kind": "fact"} for each in items))
    for more in ("", " please", " 7"):
        found = await store.find(f"kiln glaze stoneware{more}", **filters)
        assert old in [hit.content for hit in found.hits], more


async def test_what_is_new_is_found_by_a_word_that_is_in_all_and_was_just_asked_for(store: Any) -> None:
    store.search = Search(store.database, None, lambda: None, clock=lambda: 1e9)
    await store.put(*(f"the kiln on day {n}" for n in range(search.MOST_ROWS + 30)))
    for n in range(3):
        assert (await store.find("kiln")).hits
        await store.put(f"kiln number {n}")
        assert f"kiln number {n}" in [hit.content for hit in (await store.find("kiln")).hits]


async def test_rows_of_frequent_words_only_are_kept_and_only_so_many(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(*(f"kiln kiln{n % 2} day{n}" for n in range(2 * search.MOST_ROWS)))
    monkeypatch.setattr(gather, "MOST_KEPT", 2)

    def look(db: apsw.Connection) -> None:
        known = gather.Known()
        for text, kept in (("day5", 0), ("kiln", 1), ("kiln", 1), ("kiln0 kiln1", 2)):
            gather.by_words(db, text, "", Filter(("home",)), 0, known)
            assert len(known.newest) == kept
        assert not known.counts().newest

    await store.database.read(look)


DEAD: dict[str, dict[str, Any]] = {
    "forgotten": {"state": "forgotten"},
    "expired": {"state": "working", "expires_at": 1},
    "not yet valid": {"valid_from": NOW_MS + DAY},
    "no longer valid": {"valid_to": 1},
    "elsewhere": {"namespace": "work"},
}


@pytest.mark.parametrize("why", DEAD)
@pytest.mark.parametrize("meaning", [True, False], ids=["with meaning", "by words alone"])
async def test_what_may_not_be_shown_takes_no_place_from_what_may(
    store: Any, why: str, meaning: bool
) -> None:
    if not meaning:
        store.search = Search(store.database, None, lambda: None, clock=lambda: NOW_MS / 1000)
    await store.put(
        "The gantry belongs to hall seven",
        *(f"Something else about number {n}" for n in range(400)),
        *({"content": f"The gantry has bolt {n}", **DEAD[why]} for n in range(80)),
    )
    found = await store.find("gantry")
    assert [hit.content for hit in found.hits][:1] == ["The gantry belongs to hall seven"]


async def test_pages_are_those_of_one_list(store: Any) -> None:
    await store.put(*(f"the lantern of room {n}" for n in range(300)))
    seen: list[int] = []
    while True:
        found = await store.find("lantern room", offset=len(seen))
        seen += [hit.id for hit in found.hits]
        if not found.more:
            break
    assert len(seen) == len(set(seen)) >= 50


async def test_every_query_uses_an_index(store: Any) -> None:
    await store.put(*TALK)
    asked: list[tuple[str, Any]] = []

    def traced(db: apsw.Connection) -> None:
        def note(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
            asked.append((sql, bindings))
            return True

        db.exec_trace = note
        narrow = Filter(("home",), kinds=("fact",), tags=("x",), since=0, as_of=5)
        for allowed in (Filter(("home",)), Filter(), narrow):
            said = gather.by_words(db, "pottery bowl", "", allowed, 0, gather.Known())
            ids = [id_ for ids in said.rows for id_ in ids.tolist()] or [1]
            for model in ("hashing", None):
                windows.windows_around(db, ids, allowed, 0, model)
            search.shown(db, ids, allowed, 0)
        search.few_rows_with(db, search.match_of(["pottery", "bowl"], ("home",), together=True))
        db.exec_trace = None
        run(db, "SELECT * FROM engrams WHERE namespace = ?", ("home",))
        for sql, bindings in asked:
            for _, _, _, step in rows(db, "EXPLAIN QUERY PLAN " + sql, bindings):
                # A subquery has a step of its own, which is looked at, too.
                table = step.startswith("SCAN") and not step.startswith("SCAN (subquery")
                whole = table and "VIRTUAL TABLE" not in step and "USING" not in step
                assert not whole, (step, sql)

    await store.database.read(traced)
    assert len(asked) > 10


async def test_the_namespace_alone_uses_an_index(store: Any) -> None:
    sql = "EXPLAIN QUERY PLAN SELECT * FROM engrams WHERE namespace = ?"
    plan = await store.database.read(rows, sql, ("home",))
    assert "USING INDEX engrams_by_namespace" in plan[0][3]


async def test_the_weights_of_the_settings_change_what_comes_first(store: Any) -> None:
    await store.put(
        {"content": "the kiln is hot", "importance": 0.1},
        {"content": "the kiln is cold", "importance": 0.9},
    )
    usual = await store.find("kiln hot")
    assert usual.hits[0].content == "the kiln is hot"
    store.search = Search(
        store.database,
        store.embedder,
        lambda: store.segment,
        clock=lambda: 1_700_000_000,
        weights=strategies({"importance": 100.0}),
    )
    assert (await store.find("kiln hot")).hits[0].content == "the kiln is cold"


async def test_the_threshold_decides_when_nothing_is_the_answer(store: Any) -> None:
    await store.put("the kiln is hot")
    found = await store.find("kiln hot")
    assert not found.abstained
    store.search = Search(
        store.database,
        store.embedder,
        lambda: store.segment,
        clock=lambda: 1_700_000_000,
        threshold=min(1.0, found.relevance + 0.001),
    )
    assert (await store.find("kiln hot")).abstained


async def test_nearness_that_chance_gives_is_no_answer(store: Any) -> None:
    """The same cosines bear on the question or do not, by what any two memories here have."""
    await store.put("the kiln is hot today and tomorrow")
    rare, common = (
        Search(
            store.database,
            store.embedder,
            lambda: store.segment,
            clock=lambda: 1_700_000_000,
            chance=lambda level=level: level,
        )
        for level in (0.0, 0.9)
    )
    question = Question("warm kiln", Filter(("home",)))
    assert (await rare.find(question)).relevance > (await common.find(question)).relevance
