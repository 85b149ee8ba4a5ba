"""A changed model: the vectors are made anew, the old model answers where it can be asked, and it is told how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from mimo.embedding.box import Box
from mimo.embedding.embedder import Embedder
from mimo.embedding.ollama import ollama
from mimo.embedding.openai import openai
from mimo.resilience import Retry
from mimo.services.memory import embedding
from mimo.storage.changes import last_seq
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import models

from ....embedding.conftest import Said, StandIn, standing_in
from .conftest import Living

pytestmark = pytest.mark.vectors
ONCE = Retry(attempts=1)
HARMLESS = embedding.HARMLESS
NOTES = [f"The note about the {what}" for what in ("boat", "harbour", "violin", "lantern", "orchard")]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "FIRST_PAUSE", 0.5)


async def until(true: Callable[[], Any]) -> None:
    with trio.fail_after(10):
        while not true():
            await trio.testing.wait_all_tasks_blocked(0.005)


def at(there: StandIn) -> Callable[[str, int], Embedder | None]:
    """What the settings of a new model say of an old one: the same service, by another name."""

    def made(name: str, dim: int) -> Embedder | None:
        provider, _, model = name.partition(":")
        return openai(model, there.url, dim=dim, retry=ONCE) if provider == "openai" else None

    return made


async def remembered(database: Database, embedder: Any) -> None:
    it = Living(database, embedder)
    async with it.running():
        await it.call("memory_add", items=[{"content": note} for note in NOTES])
        await it.settled()
        assert await arm(it) == "ran"


async def arm(memory: Living) -> str:
    found = await memory.data("memory_search", query="where is the boat", namespace="proj")
    assert "boat" in found["results"][0]["content"]
    return found["arms"]["meaning"]


def not_for(there: StandIn, model: str) -> Callable[[], None]:
    """This model is not there but for questions, until what this gives is called."""
    answer = there.answer

    def unwilling(path: str, asked: str, texts: list[str]) -> Said:
        if asked == model and any(text == HARMLESS or "note" in text for text in texts):
            return Said(503, b'{"error": "loading"}')
        return answer(path, asked, texts)

    def again() -> None:
        there.answer = answer

    there.answer = unwilling
    return again


async def taken_over(memory: Living, model: str) -> None:
    await memory.settled()
    await until(lambda: memory.parts.meaning.model == model)
    with trio.fail_after(10):
        while [each.name for each in await memory.database.read(models)] != [model]:
            await trio.testing.wait_all_tasks_blocked(0.005)
    await until(lambda: memory.parts.progress().waiting == 0)
    told = memory.parts.progress()
    assert (told.model, told.serving, told.done) == (model, model, len(NOTES))
    assert await arm(memory) == "ran"


async def test_the_old_model_of_the_same_service_answers_until_the_new_one_has_all(
    database: Database,
) -> None:
    async with standing_in() as there:
        there.known = {"old": 8, "new": 12}
        await remembered(database, openai("old", there.url, dim=8, retry=ONCE))
        new = Living(database, openai("new", there.url, dim=12, retry=ONCE), former=at(there))
        again = not_for(there, "new")
        async with new.running():
            await until(lambda: new.parts.meaning.near() is not None and new.parts.embedding.down)
            assert await arm(new) == "ran"
            told = new.parts.progress()
            assert (told.model, told.serving) == ("openai:new", "openai:old")
            assert (told.done, told.waiting) == (0, len(NOTES))
            again()
            await taken_over(new, "openai:new")


@pytest.mark.parametrize("how", ["another provider", "gone", "replaced"])
async def test_who_cannot_be_asked_any_more_does_not_answer_and_that_is_said(
    database: Database, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with standing_in() as there:
        await remembered(database, openai("old", there.url, dim=there.dim, retry=ONCE))
        make = ollama if how == "another provider" else openai
        former = at(there) if how != "another provider" else (lambda name, dim: None)
        if how == "gone":
            there.known = {"new": there.dim}
        if how == "replaced":
            there.turn = 1000
        again = not_for(there, "new")
        new = Living(database, make("new", there.url, dim=there.dim, retry=ONCE), former=former)
        async with new.running():
            await until(lambda: new.parts.embedding.down)
            await new.parts.meaning.caught_up(await database.read(last_seq))
            if how != "another provider":
                first = await arm(new)
                assert first.startswith("did not run: ")
                assert ("not found" if how == "gone" else "another model answers as openai:old") in first
                assert "openai:old cannot be asked any more" in caplog.text
            said = await arm(new)
            assert said == f"did not run: 5 of 5 memories have no vector of {make.__name__}:new yet"
            assert said in await new.text("memory_search", query="where is the boat")
            again()
            await taken_over(new, f"{make.__name__}:new")


async def test_an_answer_says_over_how_much_it_ran(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "BATCH", 4)
    monkeypatch.setattr(embedding, "FIRST_PAUSE", 3600)
    async with standing_in() as there:
        await remembered(database, openai("old", there.url, dim=there.dim, retry=ONCE))
        there.refuse = lambda texts: Said(503) if texts == NOTES[:1] else None
        new = Living(database, ollama("new", there.url, dim=there.dim, retry=ONCE))
        async with new.running():
            await until(lambda: new.parts.embedding.down and new.parts.progress().done == 4)
            said = "ran over a part: 1 of 5 memories have no vector of ollama:new yet"
            assert await arm(new) == said
            assert said in await new.text("memory_search", query="where is the boat")
        later = Living(database, ollama("new", there.url, dim=there.dim, retry=ONCE))
        there.refuse = lambda texts: None
        async with later.running():
            await taken_over(later, "ollama:new")


async def test_what_comes_while_the_new_model_is_down_is_missed_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "FIRST_PAUSE", 3600)
    box = Box()
    await remembered(database, box)
    async with standing_in() as there:
        not_for(there, "new")
        new = Living(database, openai("new", there.url, dim=there.dim, retry=ONCE), box, former=at(there))
        async with new.running():
            await until(lambda: new.parts.embedding.down and new.parts.meaning.near() is not None)
            for more in (1, 2):
                await new.add(f"What came since, number {more}")
                await until(lambda more=more: new.parts.progress().waiting == len(NOTES) + more)
                said = (
                    f"ran over a part: {more} of {len(NOTES) + more} memories have no vector of {box.model}"
                )
                assert await arm(new) == said


async def test_what_comes_while_the_model_answers_questions_only_is_missed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "FIRST_PAUSE", 3600)
    async with standing_in() as there:
        there.known = {"one": 8}
        it = Living(database, openai("one", there.url, dim=8, retry=ONCE))
        async with it.running():
            await it.call("memory_add", items=[{"content": note} for note in NOTES])
            await it.settled()
            not_for(there, "one")
            await it.add("One more note")
            await until(lambda: it.parts.embedding.down)
            assert await arm(it) == "ran over a part: 1 of 6 memories have no vector of openai:one yet"


async def test_from_the_box_to_a_service_and_back(database: Database) -> None:
    box = Box()
    await remembered(database, box)
    async with standing_in() as there:
        again = not_for(there, "new")
        new = Living(database, openai("new", there.url, dim=there.dim, retry=ONCE), box, former=at(there))
        async with new.running():
            await until(lambda: new.parts.embedding.down and new.parts.meaning.near() is not None)
            assert new.parts.progress().serving == box.model
            assert await arm(new) == "ran"
            await new.add("What came since")
            await until(lambda: new.parts.progress().waiting == 6)
            assert await arm(new) == f"ran over a part: 1 of 6 memories have no vector of {box.model}"
            await new.call("memory_edit", action="purge", ids=["m6"])
            again()
            await taken_over(new, "openai:new")
    back = Living(database, Box())
    async with back.running():
        await taken_over(back, box.model)
