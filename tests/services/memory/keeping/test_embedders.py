"""A whole memory whose embedder is behind an address, and does what such services do: it refuses, waits, and changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from mimo.embedding.ollama import ollama
from mimo.embedding.openai import openai
from mimo.embedding.questions import PATIENCE
from mimo.resilience import Retry
from mimo.services.memory import embedding
from mimo.storage.changes import last_seq
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import HOPELESS, queue

from ....embedding.conftest import Said, StandIn, standing_in
from .conftest import Living, Words

pytestmark = pytest.mark.vectors
ONCE = Retry(attempts=1)
MINUTE = 60_000


@asynccontextmanager
async def remembering(
    database: Database, there: StandIn, make: Callable[..., Any] = openai
) -> AsyncIterator[Living]:
    it = Living(database, make("m", there.url, dim=there.dim, retry=ONCE))
    async with it.running():
        yield it


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "FIRST_PAUSE", 0.01)


async def until(true: Callable[[], Any]) -> None:
    with trio.fail_after(10):
        while not true():
            await trio.testing.wait_all_tasks_blocked(0.005)


def poison(status: int) -> Callable[[list[str]], Said | None]:
    return lambda texts: Said(status, b'{"error": "no"}') if any("POISON" in text for text in texts) else None


class Beside(Words):
    """Somebody writes while it embeds, so many times; it notes how much it is given at a time."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.given: list[int] = []
        self.write: Callable[[], Any] = trio.lowlevel.checkpoint

    async def embed(self, texts: Sequence[str]) -> Any:
        self.given.append(len(texts))
        if len(self.given) <= self.times:
            await self.write()
        return await super().embed(texts)


async def with_a_library(database: Database, beside: Beside) -> Living:
    """Of which a hundred pages are there, and a hundred come at a time."""
    it = Living(database, beside)
    written = iter(range(1_000))

    async def write() -> None:
        await it.call("memory_add", items=[{"content": f"page {next(written)}"} for _ in range(100)])

    await write()
    beside.write = write
    return it


async def test_who_adds_a_library_comes_first(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "QUIET", 0.001)
    monkeypatch.setattr(embedding, "LONGEST_WAY", 0.005)
    beside = Beside(times=4)
    it = await with_a_library(database, beside)
    async with it.running():
        await until(lambda: len(it.parts.meaning.near() or ()) == 500)
    assert beside.given[:5] == [32, 8, 8, 8, 8]
    assert set(beside.given[5:-1]) == {32}


async def test_a_note_stands_in_no_queue_behind_a_library(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it wait until the library has been added."""
    monkeypatch.setattr(embedding, "LONGEST_WAY", 60.0)
    monkeypatch.setattr(embedding, "QUIET", 60.0)
    beside = Beside(times=2)
    it = await with_a_library(database, beside)
    async with it.running():
        await until(lambda: it.parts.embedding.queue.waiting > 100)  # and it has begun to give way
        await it.add("the boiler hums")
        await until(lambda: "the boiler hums" in beside.asked)
        assert len(beside.given) == 2
        assert it.parts.embedding.queue.waiting > 100


@pytest.mark.parametrize("make", [ollama, openai])
@pytest.mark.parametrize("status", [400, 413, 429, 500])
async def test_a_text_that_is_refused_is_set_aside_and_the_others_get_their_vectors(
    database: Database, make: Any, status: int
) -> None:
    async with standing_in() as there:
        there.refuse = poison(status)
        async with remembering(database, there, make) as memory:
            texts = [f"note number {'x' * n}" for n in range(20)]
            texts[7] = texts[15] = "POISON"
            texts[15] += " again"
            await memory.call("memory_add", items=[{"content": text} for text in texts])
            await until(lambda: memory.parts.embedding.queue.set_aside == 2)
            await until(lambda: not memory.parts.embedding.queue.waiting)
            await until(lambda: len(memory.parts.meaning.near() or ()) == 18)
            assert len(there.asked) < 40, "a few for each half"
            assert memory.parts.embedding.down == ""
            found = await memory.data("memory_search", query="note number", namespace="proj")
            assert found["arms"]["meaning"] == "ran"
            assert await memory.found("POISON again") != []


async def test_what_was_set_aside_is_tried_again_later_and_later_and_at_every_start(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def told(words: str) -> bool:
        return words in caplog.text

    async with standing_in() as there:
        there.refuse = poison(400)
        async with remembering(database, there) as memory:
            await memory.add("POISON, my dear")
            await until(lambda: told("again in 1 minutes"))
            for minutes in (1, 2, 4, 8):
                assert (await database.read(queue, 0)).next_try == memory.now + minutes * MINUTE
                memory.now += minutes * MINUTE
                await memory.add(f"something else, {minutes} minutes later")
                await until(partial(told, f"again in {2 * minutes} minutes"))
        async with remembering(database, there):
            await until(lambda: told("again in 32 minutes"))
        assert "my dear" not in caplog.text
        there.refuse = lambda texts: None
        async with remembering(database, there) as memory:
            await memory.settled()
            await until(lambda: len(memory.parts.meaning.near() or ()) == 5)


async def test_the_time_to_try_again_comes_though_nothing_else_happens(
    database: Database, mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with standing_in() as there:
        there.refuse = poison(400)
        async with remembering(database, there) as memory:
            await memory.add("POISON")
            await until(lambda: memory.parts.embedding.queue.next_try)
            await trio.testing.wait_all_tasks_blocked(0.05)
            asked = len(there.asked)
            memory.now += MINUTE
            mock_clock.jump(61)
            await until(lambda: "again in 2 minutes" in caplog.text)
            assert len(there.asked) > asked


async def test_a_text_that_was_reworded_is_taken(database: Database) -> None:
    async with standing_in() as there:
        there.refuse = poison(400)
        async with remembering(database, there) as memory:
            id_ = await memory.add("POISON")
            await until(lambda: memory.parts.embedding.queue.set_aside)
            numbers = memory.metrics.render().decode()
            assert "mimo_embedding_waiting 0.0" in numbers
            assert "mimo_embedding_set_aside 1.0" in numbers
            assert 'mimo_embedding_refused_total{embedder="openai:m"} 1.0' in numbers
            await memory.call("memory_edit", action="update", ids=[id_], content="honey")
            await until(lambda: len(memory.parts.meaning.near() or ()) == 1)


async def test_a_service_that_refuses_everything_is_down_and_nobody_is_blamed(database: Database) -> None:
    async with standing_in() as there:
        there.refuse = lambda texts: Said(400, b'{"error": "no such parameter"}')
        async with remembering(database, there) as memory:
            await memory.call("memory_add", items=[{"content": f"note number {n}"} for n in range(5)])
            await until(lambda: memory.parts.embedding.down)
            assert "no such parameter" in memory.parts.embedding.down
            found = await memory.data("memory_search", query="note number 3", namespace="proj")
            assert found["results"][0]["content"] == "note number 3"
            there.refuse = lambda texts: None
            await memory.settled()
            assert memory.parts.embedding.queue == (0, 0, None)


async def test_who_is_told_to_wait_waits_so_long_and_loses_nothing(
    database: Database, mock_clock: trio.testing.MockClock
) -> None:
    async with standing_in() as there:
        there.faults = [Said(429, headers=(("Retry-After", "7"),))]
        async with remembering(database, there) as memory:
            await memory.add("The boat leaves at nine")
            while not memory.parts.embedding.down:
                await trio.testing.wait_all_tasks_blocked(0.005)
            mock_clock.jump(6.9)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(there.asked) == 1
            mock_clock.jump(0.2)
            await memory.settled()
            assert memory.parts.embedding.queue.set_aside == 0


async def test_an_old_model_leaves_though_a_text_is_refused_again_and_again(
    database: Database, living: Any
) -> None:
    old = living("old")
    async with old.running():
        await old.add("note number 1")
        await old.add("POISON")
        await old.settled()
    async with standing_in() as there:
        there.refuse = poison(400)
        new = Living(database, openai("m", there.url, dim=there.dim, retry=ONCE), old.embedder)
        async with new.running():
            await new.parts.meaning.caught_up(await database.read(last_seq))
            for _ in range(HOPELESS):
                assert new.parts.meaning.model == "old"
                await until(lambda: (new.parts.embedding.queue.next_try or 0) > new.now)
                new.now = (new.parts.embedding.queue.next_try or 0) + 1
                await new.add(f"another at {new.now}")
            await until(lambda: new.parts.meaning.model == "openai:m")


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 429, 500])
async def test_a_question_that_is_refused_is_answered_by_words(database: Database, status: int) -> None:
    async with standing_in() as there, remembering(database, there) as memory:
        await memory.add("The boat leaves at nine")
        await memory.settled()
        there.refuse = lambda texts: Said(status, b'{"error": "not now"}')
        found = await memory.data("memory_search", query="when is the boat", namespace="proj")
        assert [hit["content"] for hit in found["results"]] == ["The boat leaves at nine"]
        assert found["arms"]["meaning"].startswith("did not run: ")
        assert f"answered {status}: not now" in found["arms"]["meaning"]
        assert f"answered {status}: not now" in await memory.text("memory_search", query="the boat")


async def test_a_slow_embedder_delays_a_question_for_a_moment_and_its_answer_is_kept(
    database: Database, mock_clock: trio.testing.MockClock
) -> None:
    async with standing_in() as there, remembering(database, there) as memory:
        await memory.add("The boat leaves at nine")
        await memory.settled()
        there.faults = [Said(after=25, body=there.embeddings("", ["when is the boat"]))]
        asked = len(there.asked)
        found: list[Any] = []

        async def search() -> None:
            found.append(await memory.data("memory_search", query="when is the boat", namespace="proj"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(search)
            while len(there.asked) == asked:
                await trio.testing.wait_all_tasks_blocked(0.005)
            mock_clock.jump(PATIENCE + 0.01)
        assert trio.current_time() < 3
        assert [hit["content"] for hit in found[0]["results"]] == ["The boat leaves at nine"]
        assert found[0]["arms"]["meaning"] == "did not run: openai:m took longer than 2 s"
        assert found[0]["arms"]["words"] == "ran"
        await trio.testing.wait_all_tasks_blocked(0.05)
        mock_clock.jump(24)
        while memory.parts.sizes["cache_entries"]() == 0:
            await trio.testing.wait_all_tasks_blocked(0.005)
        await search()
        assert found[1]["arms"]["meaning"] == "ran"
        assert len(there.asked) == asked + 1


@pytest.mark.parametrize("make", [ollama, openai])
async def test_a_question_is_asked_once_and_waits_for_no_breaker(
    database: Database, make: Any, mock_clock: trio.testing.MockClock
) -> None:
    async with standing_in() as there:
        memory = Living(database, make("m", there.url, dim=there.dim))  # with all its tries
        async with memory.running():
            await memory.add("The boat leaves at nine")
            await memory.settled()
            there.refuse = lambda texts: Said(500, b'{"error": "boom"}')
            asked = len(there.asked)
            arms = [
                (await memory.data("memory_search", query=f"boat {n}", namespace="proj"))["arms"]["meaning"]
                for n in range(7)
            ]
            assert trio.current_time() == 0, "nobody has waited"
            opens = 3 if make is ollama else 5
            assert all("answered 500: boom" in arm for arm in arms[:opens])
            assert all("is left alone for another" in arm for arm in arms[opens:])
            assert len(there.asked) - asked == opens
