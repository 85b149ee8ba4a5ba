"""When nothing is the answer, and when it is not: by the model in the box, over few notes and over many alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mimo.embedding.box import Box
from mimo.storage.database import Database

NOTES = {
    "We deploy on Tuesdays, never on Fridays": "when do we ship?",
    "Maria is allergic to peanuts": "what food must Maria avoid?",
    "Backups are kept for 30 days": "how long do we retain backups?",
    "Tom's birthday is on 4 March": "when was Tom born?",
    "We chose Postgres over MySQL because of JSONB": "which database did we pick and why?",
    "Customer Acme pays net 60": "what are the payment terms for Acme?",
}
OTHERS = [
    "what is the capital of Mongolia?",
    "how do penguins sleep?",
    "best way to prune apple trees?",
    "how does a jet engine work?",
    "favourite film of Jonas",
    "who designed the T-shirt?",
]


@pytest.fixture
async def real(database: Database, living_with: Callable[..., Any]) -> AsyncIterator[Any]:
    it = living_with(database, Box())
    async with it.running():
        yield it


async def is_answered(memory: Any, query: str) -> bool:
    return not (await memory.data("memory_search", query=query))["abstained"]


async def test_the_first_notes_answer_what_they_are_asked_in_other_words(real: Any) -> None:
    await real.data("memory_add", items=[{"content": note} for note in NOTES])
    await real.settled()
    assert [question for question in NOTES.values() if not await is_answered(real, question)] == []
    assert [question for question in OTHERS if await is_answered(real, question)] == []


async def test_a_single_note_is_found_by_what_it_means(real: Any) -> None:
    await real.add("We deploy on Tuesdays, never on Fridays")
    await real.settled()
    assert await is_answered(real, "when do we ship?")
    assert not await is_answered(real, "how do penguins sleep?")


async def test_a_word_that_is_in_every_note_is_no_question_about_nothing(real: Any) -> None:
    rows = [{"content": f"Base row {n} about penguins and compilers"} for n in range(50)]
    await real.data("memory_add", items=rows)
    await real.settled()
    assert await is_answered(real, "penguins")
    assert await is_answered(real, "penguins and compilers")
    assert not await is_answered(real, "how does a jet engine work?")


async def test_words_alone_answer_who_asks_for_them_all(memory: Any) -> None:
    memory.embedder.down = True
    notes = [{"content": f"The quarterly budget of team {n} is approved"} for n in range(12)]
    await memory.data("memory_add", items=notes)
    assert await is_answered(memory, "quarterly budget")
    assert not await is_answered(memory, "chess tournament in Reykjavik")


async def test_what_was_forgotten_and_restored_says_no_more_of_chance_than_before(memory: Any) -> None:
    id_ = await memory.add("We deploy on Tuesdays, never on Fridays")
    await memory.settled()
    before = memory.parts.meaning.chance
    for _ in range(3):
        await memory.call("memory_edit", action="forget", ids=[id_])
        await memory.settled()
        await memory.call("memory_edit", action="restore", ids=[id_])
        await memory.settled()
        assert len(memory.parts.meaning.near()) == 1
    assert memory.parts.meaning.chance == before
