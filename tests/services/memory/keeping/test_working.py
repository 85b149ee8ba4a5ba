"""Working memory: kept for a while, found meanwhile, promoted or gone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory.consolidation import worth
from mimo.services.memory.merging import same_words
from mimo.storage.engrams.working import MOST_IN_SESSION, Held, held

SECOND = 1_000


async def state_of(memory: Any, id_: str) -> str:
    return (await memory.data("memory_get", ids=[id_]))["results"][0]["state"]


async def test_an_item_is_kept_for_ten_minutes_when_nobody_says_how_long(memory: Any) -> None:
    id_ = await memory.add("The port is 4711 today", ttl=0)
    assert await memory.found("port 4711") == ["The port is 4711 today"]
    assert await state_of(memory, id_) == "working"
    memory.now += 599 * SECOND
    assert await memory.found("port 4711") == ["The port is 4711 today"]
    memory.now += 2 * SECOND
    assert await memory.found("port 4711") == []


async def test_a_session_keeps_a_thousand_and_the_first_to_expire_leaves_first(memory: Any) -> None:
    await memory.add("The very short one", ttl=5, session="s")
    items = [{"content": f"item {n}", "ttl": 600 + n, "session": "s"} for n in range(MOST_IN_SESSION)]
    await memory.add("Of another session", ttl=1, session="t")
    await memory.call("memory_add", items=items)
    kept = await memory.database.read(held)
    assert len(kept) == MOST_IN_SESSION + 1
    assert 1 not in {each.id for each in kept}
    await memory.add("One more", ttl=3600, session="s")
    kept = await memory.database.read(held)
    assert len(kept) == MOST_IN_SESSION + 1
    assert 3 not in {each.id for each in kept}


async def test_what_is_worth_it_stays_and_what_is_over_goes(memory: Any) -> None:
    weighty = await memory.add("We chose the blue design", ttl=600, importance=0.95)
    plain = await memory.add("Lunch is at noon", ttl=600)
    short = await memory.add("The elevator is stuck", ttl=60, importance=0.1)
    await memory.settled()
    memory.now += 301 * SECOND
    dry = await memory.parts.consolidation.consolidate(dry_run=True)
    assert [(each.id, each.outcome) for each in dry] == [(3, "expire"), (1, "promote"), (2, "keep")]
    assert await state_of(memory, weighty) == "working"
    assert await memory.parts.consolidation.consolidate() == dry
    assert await state_of(memory, weighty) == "live"
    assert await state_of(memory, plain) == "working"
    assert "not there: " + short in await memory.text("memory_get", ids=[weighty, short])
    assert [event.id for event in memory.told("memory:promoted")] == [weighty]
    assert [event.ids for event in memory.told("memory:expired")] == [(short,)]
    history = (await memory.data("memory_get", ids=[weighty], history=True))["results"][0]["history"]
    assert [each["op"] for each in history] == ["added", "promoted"]


async def test_what_is_known_already_is_less_new(memory: Any) -> None:
    await memory.add("The blue design was chosen by all of us")
    await memory.add("The blue design was chosen by us", ttl=600, importance=0.6)
    await memory.add("Penguins cannot fly", ttl=600, importance=0.6)
    await memory.settled()
    known, new = await memory.parts.consolidation.consolidate(dry_run=True)
    assert known.score < new.score


async def test_working_memory_said_again_without_an_end_stays(memory: Any) -> None:
    id_ = await memory.add("The build is green", ttl=60)
    assert (
        await memory.text("memory_add", content="The build is green") == f"promoted {id_} from working memory"
    )
    assert await state_of(memory, id_) == "live"
    memory.now += 61 * SECOND
    await memory.parts.consolidation.consolidate()
    assert await memory.found("build") == ["The build is green"]


async def expiry_of(memory: Any, id_: str) -> str | None:
    return (await memory.data("memory_get", ids=[id_]))["results"][0]["expires_at"]


@pytest.mark.parametrize(
    "edit", [{"action": "protect"}, {"action": "update", "protected": True}], ids=["protect", "update"]
)
async def test_what_is_protected_stays(memory: Any, edit: dict[str, Any]) -> None:
    id_ = await memory.add("The gondola is booked", ttl=3)
    said = await memory.text("memory_edit", ids=[id_], **edit)
    assert said.endswith("m1\nm1 was working memory, and stays from now on.")
    memory.now += 4 * SECOND
    await memory.parts.consolidation.consolidate()
    assert await memory.found("gondola") == ["The gondola is booked"]
    assert (await state_of(memory, id_), await expiry_of(memory, id_)) == ("live", None)


async def test_taking_a_protection_back_gives_the_item_its_time_again(memory: Any) -> None:
    id_ = await memory.add("The gondola is booked", ttl=60)
    until = await expiry_of(memory, id_)
    await memory.call("memory_edit", action="protect", ids=[id_])
    assert await memory.text("memory_edit", action="undo") == "as before m1 (it was protected)"
    assert (await state_of(memory, id_), await expiry_of(memory, id_)) == ("working", until)


async def test_taking_a_protection_back_too_late_leaves_the_item_to_be_had_again(memory: Any) -> None:
    id_ = await memory.add("The gondola is booked", ttl=60)
    await memory.call("memory_edit", action="protect", ids=[id_])
    memory.now += 61 * SECOND
    said = await memory.text("memory_edit", action="undo")
    assert said.startswith("m1 is forgotten now (it was protected): its time as working memory is over")
    await memory.parts.consolidation.consolidate()
    assert await state_of(memory, id_) == "forgotten"


@pytest.mark.parametrize("back", ["restore", "undo"])
async def test_what_comes_back_has_the_time_it_had(memory: Any, back: str) -> None:
    id_ = await memory.add("The lift is stuck", ttl=60)
    until = await expiry_of(memory, id_)
    await memory.call("memory_edit", action="forget", ids=[id_])
    said = await memory.text("memory_edit", action=back, **({"ids": [id_]} if back == "restore" else {}))
    assert said.startswith("restored m1")
    assert (await state_of(memory, id_), await expiry_of(memory, id_)) == ("working", until)
    assert await memory.found("lift") == ["The lift is stuck"]


@pytest.mark.parametrize("back", ["restore", "undo"])
async def test_what_would_come_back_too_late_is_not_lost(memory: Any, back: str) -> None:
    id_ = await memory.add("The lift is stuck", ttl=60)
    await memory.call("memory_edit", action="forget", ids=[id_])
    memory.now += 61 * SECOND
    said = await memory.text("memory_edit", action=back, **({"ids": [id_]} if back == "restore" else {}))
    assert "its time as working memory is over" in said
    assert "restored" not in said
    assert await state_of(memory, id_) == "forgotten"
    await memory.call("memory_edit", action="protect", ids=[id_])
    assert await memory.text("memory_edit", action="restore", ids=[id_]) == "restored m1"
    assert (await state_of(memory, id_), await expiry_of(memory, id_)) == ("live", None)


async def test_working_memory_that_was_not_forgotten_needs_no_restoring(memory: Any) -> None:
    id_ = await memory.add("The lift is stuck", ttl=60)
    assert await memory.text("memory_edit", action="restore", ids=[id_]) == "m1 was so already"
    assert await state_of(memory, id_) == "working"


@given(st.floats(0, 1), st.integers(0, 100), st.floats(0, 1), st.integers(0, 10**7))
def test_the_worth_of_an_item_is_the_formula(importance: float, uses: int, novelty: float, age: int) -> None:
    item = Held(1, 1, importance, uses, 0, 0)
    expected = 0.4 * importance + 0.3 * min(1, uses / 10) + 0.2 * novelty + 0.1 * min(1, age / 300_000)
    assert worth(item, novelty, age) == pytest.approx(expected)
    assert 0 <= worth(item, novelty, age) <= 1 + 1e-9


async def test_what_says_the_same_in_the_same_words_is_found_under_the_older_one(memory: Any) -> None:
    await memory.parts.consolidation._merging.begin()
    old = await memory.add("The user likes tea in the morning", reference="a")
    new = await memory.add("In the morning the user likes tea", reference="b", importance=0.9)
    other = await memory.add("The user likes no tea in the morning")
    await memory.settled()
    assert await memory.parts.consolidation._merging.look() == [(2, 1)]
    hits = (await memory.data("memory_search", query="tea morning", namespace="proj"))["results"]
    assert {hit["id"] for hit in hits} == {old, other}
    assert next(hit for hit in hits if hit["id"] == old)["references"] == ["a", "b"]
    got = (await memory.data("memory_get", ids=[new]))["results"][0]
    assert (got["state"], got["superseded_by"]) == ("forgotten", old)
    await memory.call("memory_edit", action="restore", ids=[new])
    assert len((await memory.data("memory_search", query="tea morning", namespace="proj"))["results"]) == 3


async def test_the_same_words_in_another_order_are_another_memory(memory: Any) -> None:
    await memory.parts.consolidation._merging.begin()
    await memory.add("Alice owes Bob some money")
    await memory.add("Bob owes Alice some money")
    await memory.settled()
    assert await memory.parts.consolidation._merging.look() == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The build is red.", "build is red", True),
        ("Use Tabs", "use tabs", True),
        ("it is not red", "it is red", False),
        ("run -A", "run -a", False),
        ("meet at 5", "meet at 6", False),
        ("a != b", "a == b", False),
        ("Ann met Bob", "Ann met Bob Bob", False),
        ("Ann owes Bob money", "Bob owes Ann money", False),
        ("Use tabs, not spaces", "Use spaces, not tabs", False),
        ("Deploy before the backup", "backup before the deploy", False),
        ("In the evening she runs", "She runs in the evening.", True),
        ("at 48.1, 11.5", "at 11.5, 48.1", False),
        ("48.1, 11.5", "11.5, 48.1", False),
        ("The build is red?", "The build is red.", False),
        ("", "", True),
    ],
)
def test_same_words(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) is same
