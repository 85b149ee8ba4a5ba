"""Vectors made in the background, kept in memory, and rebuilt: nothing waits for them, nothing is lost with them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from mimo.services.memory.embedding import BATCH, QUIET
from mimo.storage.changes import last_seq, prune_changes
from mimo.storage.engrams.vectors import count_waiting, models, store_vectors, vector_of, waiting

from .conftest import Words

pytestmark = pytest.mark.vectors


async def test_an_embedder_that_is_down_keeps_nobody_from_adding_and_finding(memory: Any) -> None:
    memory.embedder.down = True
    await memory.add("The boat leaves at nine")
    found = await memory.data("memory_search", query="boat", namespace="proj")
    assert [hit["content"] for hit in found["results"]] == ["The boat leaves at nine"]
    assert found["arms"]["words"] == "ran"
    assert found["arms"]["meaning"] != "ran"
    assert await memory.database.read(count_waiting) == 1
    with trio.fail_after(10):
        while not memory.told("system:degraded"):
            await trio.testing.wait_all_tasks_blocked(0.005)
    memory.embedder.down = False
    await memory.settled()
    assert (await memory.data("memory_search", query="boat", namespace="proj"))["arms"]["meaning"] == "ran"
    assert [event.what for event in memory.told("system:degraded")] == ["meaning"]


async def test_the_queue_survives_and_drains_after_a_restart(database: Any, living: Any) -> None:
    first = living()
    first.embedder.down = True
    async with first.running():
        for n in range(5):
            await first.add(f"note number {n}")
    assert await database.read(count_waiting) == 5
    second = living()
    async with second.running():
        await second.settled()
        assert len(second.parts.meaning.near()) == 5


async def test_a_lean_memory_finds_the_same_with_a_sixteenth_of_the_vectors(
    database: Any, living_with: Any
) -> None:
    things, places = "kiln wheel glaze bowl brush".split(), "cellar attic garden yard studio".split()
    items = [
        {
            "content": f"the {thing} number {n} stands in the {place}",
            **({"session": f"s{n}", "position": at} if n % 2 else {}),
        }
        for n in range(8)
        for at, (thing, place) in enumerate(zip(things, places[n % 5 :] + places[: n % 5], strict=True))
    ]
    told: dict[bool, list[Any]] = {}
    for lean in (False, True):
        it = living_with(database, Words(), lean=lean)
        async with it.running():
            if not lean:
                await it.call("memory_add", items=items)
            await it.settled()
            near = it.parts.meaning.near()
            assert near.holds is not lean
            assert len(near) == len(items)
            asked = ["glaze in the attic", "where is bowl number 3", "stands in the yard"]
            told[lean] = [
                await it.data("memory_search", query=one, namespace="proj", why=True) for one in asked
            ]
            assert all(one["arms"]["meaning"] == "ran" for one in told[lean])
            told[lean] = [[(hit["id"], hit["why"]) for hit in one["results"]] for one in told[lean]]
    for full, lean in zip(told[False], told[True], strict=True):
        assert [id_ for id_, _ in full] == [id_ for id_, _ in lean]
        for (_, here), (_, there) in zip(full, lean, strict=True):
            assert here == pytest.approx(there, abs=2e-3)


async def test_vectors_are_read_again_at_the_start(living: Any) -> None:
    first = living()
    async with first.running():
        await first.call("memory_add", items=[{"content": f"note number {n}"} for n in range(40)])
        await first.call("memory_edit", action="forget", ids=["m3"])
        await first.settled()
    second = living()
    async with second.running():
        await second.settled()
        near = second.parts.meaning.near()
        assert len(near) == 39
        assert 3 not in near
        assert second.embedder.asked == []


async def test_a_gap_in_the_change_log_is_answered_by_reading_everything_again(memory: Any) -> None:
    await memory.add("One")
    await memory.settled()

    def behind_its_back(db: Any) -> None:
        """A hundred changes and no log of them."""
        for n in range(2, 7):
            db.execute(
                "INSERT INTO engrams (namespace, state_since, content, content_hash, created_at, stored_at, changed_at,"
                " accessed_at) VALUES ('proj', 0, ?, zeroblob(32), 0, 0, 0, 0)",
                (f"number {n}",),
            ).fetchall()
        made = [(each, b"\x00\x3c" + bytes(126)) for each in waiting(db, 1 << 60, 100)]
        store_vectors(db, "words", 64, made)
        prune_changes(db, keep=0)
        db.execute("INSERT INTO change (kind, id, op) VALUES ('note', 1, 'add')").fetchall()

    await memory.database.write(behind_its_back)
    await memory.parts.meaning.caught_up(await memory.database.read(last_seq))
    assert len(memory.parts.meaning.near()) == 6


async def test_a_changed_model_takes_over_when_it_has_everything(database: Any, living: Any) -> None:
    old = living("old")
    async with old.running():
        for n in range(3):
            await old.add(f"note number {n}")
        await old.settled()
    new = living("new", "old")
    new.embedder.down = True
    async with new.running():
        await new.parts.meaning.caught_up(await database.read(last_seq))
        assert new.parts.meaning.model == "old"
        found = await new.data("memory_search", query="note number 2", namespace="proj")
        assert found["arms"]["meaning"] == "ran"
    assert [model.name for model in await database.read(models)] == ["old"]
    later = living("new", "old")
    async with later.running():
        await later.settled()
        with trio.fail_after(5):
            seq = database.changed.last
            while [model.name for model in await database.read(models)] != ["new"]:
                seq = await database.changed.wait(seq)
        await later.parts.meaning.caught_up(await database.read(last_seq))
        assert later.parts.meaning.model == "new"
        assert len(later.parts.meaning.near()) == 3
        assert (await later.data("memory_search", query="note", namespace="proj"))["arms"]["meaning"] == "ran"


async def test_a_text_that_was_reworded_while_it_was_embedded_waits_for_its_new_vector(
    database: Any, living: Any
) -> None:
    one = living()
    one.embedder.down = True
    async with one.running():
        await one.add("Before")
        batch = await database.read(waiting, 1 << 60, 10)
        await one.call("memory_edit", action="update", ids=["m1"], content="After")
        kept = await database.write(store_vectors, "words", 64, [(batch[0], b"\x00\x3c" + bytes(126))])
    assert kept == 0
    assert await database.read(count_waiting) == 1
    assert await database.read(vector_of, "words", 1) is None


async def test_who_adds_a_library_goes_before_those_who_embed_it(
    memory: Any, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    entered, gate = trio.Event(), trio.Event()
    embed = memory.embedder.embed

    async def slow(texts: Any) -> Any:
        entered.set()
        await gate.wait()
        return await embed(texts)

    monkeypatch.setattr(memory.embedder, "embed", slow)

    async def add(count: int, name: str) -> None:
        await memory.call("memory_add", items=[{"content": f"{name} {n}"} for n in range(count)])

    await add(80, "first")
    await entered.wait()
    assert b"mimo_embedding_waiting 80.0" in memory.metrics.render()
    await add(80, "second")
    gate.set()
    while not memory.told("memory:embedded"):
        await trio.testing.wait_all_tasks_blocked(0.005)
    for name in ("third", "fourth"):
        await add(10, name)
        await trio.testing.wait_all_tasks_blocked(0.005)
    assert len(memory.embedder.asked) == BATCH
    mock_clock.jump(QUIET)
    await memory.settled()  # the clock stands still: nobody writes any more, and nothing is waited for
    assert len(memory.embedder.asked) == 180


async def test_many_and_long_texts_come_through_in_portions(memory: Any) -> None:
    items = [{"content": f"{n} " + "word " * 3_000} for n in range(20)] + [
        {"content": f"short {n}"} for n in range(60)
    ]
    await memory.call("memory_add", items=items)
    await memory.settled()
    assert len(memory.parts.meaning.near()) == 80
    while (
        told := sum(event.count for event in memory.told("memory:embedded"))
    ) < 80:  # it follows the vectors
        await trio.testing.wait_all_tasks_blocked(0.005)
    assert told == 80


async def test_a_question_asked_again_is_not_embedded_again(memory: Any) -> None:
    await memory.add("The boat leaves at nine")
    await memory.settled()
    memory.embedder.asked.clear()
    answers = [await memory.data("memory_search", query="when is the boat") for _ in range(3)]
    assert memory.embedder.asked == ["when is the boat"]
    assert [answer["results"] for answer in answers] == [answers[0]["results"]] * 3
    told = [
        (event.kind, event.key_type)
        for kind in ("missed", "hit")
        for event in memory.told(f"system:cache_{kind}")
    ]
    assert told == [("system:cache_missed", "query"), *[("system:cache_hit", "query")] * 2]
    numbers = memory.metrics.render().decode()
    assert 'mimo_cache_hits_total{cache="query"} 2.0' in numbers
    assert 'mimo_cache_misses_total{cache="query"} 1.0' in numbers
    assert 'mimo_cache_bytes{cache="classifier"} 0.0' not in numbers
    assert memory.parts.sizes["cache_entries"]() == 1
    assert memory.parts.sizes["cache_bytes"]() > 0
    assert memory.parts.sizes["vectors"]() == 1
    assert memory.parts.sizes["vector_bytes"]() > 0


async def test_after_a_purge_no_question_is_kept(memory: Any) -> None:
    secret = await memory.add("The boat leaves at nine")
    await memory.settled()
    await memory.found("The boat leaves at nine")
    assert memory.parts.sizes["cache_entries"]() == 1
    await memory.call("memory_edit", action="forget", ids=[secret])
    await memory.settled()
    assert memory.parts.sizes["cache_entries"]() == 1, "what is forgotten may be restored"
    await memory.call("memory_edit", action="purge", ids=[secret])
    await memory.settled()
    assert memory.parts.sizes["cache_entries"]() == 0


async def test_memories_are_counted_by_what_they_are(memory: Any, nursery: trio.Nursery) -> None:
    first = await memory.add("The boat leaves at nine")
    await memory.add("The train leaves at ten")
    await memory.call("memory_edit", action="forget", ids=[first])
    async with trio.open_nursery() as mine:
        await mine.start(memory.parts.census.run)
        with trio.fail_after(10):
            while "mimo_memories{" not in memory.metrics.render().decode():
                await trio.testing.wait_all_tasks_blocked(0.005)
        mine.cancel_scope.cancel()
    numbers = memory.metrics.render().decode()
    for state, count in {"live": 1, "forgotten": 1, "working": 0, "archived": 0}.items():
        assert f'mimo_memories{{state="{state}"}} {count}.0' in numbers
