"""The rounds that the memory makes by itself, as children of the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.home import Home
from mimo.services.memory import fading
from mimo.services.memory.consolidation import Consolidation
from mimo.services.memory.fading import Fade
from mimo.services.memory.merging import Merging
from mimo.storage.database import Database
from mimo.storage.engrams.engram import active_day

DAY = 86_400_000
SOON = 0.001


async def test_working_memory_is_consolidated_and_doubles_are_merged_again_and_again(memory: Any) -> None:
    def clock() -> int:
        return memory.now

    merging = Merging(memory.database, memory.parts.meaning, memory.events, clock=clock)
    rounds = Consolidation(
        memory.database, memory.parts.meaning, merging, memory.events, every=SOON, clock=clock
    )
    async with (
        memory.events.subscribe("memory:promoted", "memory:merged") as news,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(rounds.run)
        await memory.add("A weighty thing to keep", ttl=600, importance=1)
        memory.now += 301_000
        await memory.add("The user likes tea in the morning")
        await memory.settled()
        await memory.add("In the morning the user likes tea")
        with trio.fail_after(20):
            told = {event.kind async for event in _some(news, 2)}
        nursery.cancel_scope.cancel()
    assert told == {"memory:promoted", "memory:merged"}


async def test_what_fades_is_swept_again_and_again(memory: Any) -> None:
    await memory.add("A passing remark", importance=0.11)
    await memory.database.write(lambda db: [active_day(db, memory.now + n * DAY) for n in range(30)])
    fade = Fade(memory.database, memory.events, every=SOON, clock=lambda: memory.now)
    async with memory.events.subscribe("memory:archived") as news, trio.open_nursery() as nursery:
        await nursery.start(fade.run)
        with trio.fail_after(20):
            (told,) = [event async for event in _some(news, 1)]
        nursery.cancel_scope.cancel()
    assert told.ids == ("m1",)


async def test_a_sweep_that_is_due_comes_soon_after_every_start(memory: Any) -> None:
    """A daemon that an editor starts seldom lives for an hour."""
    await memory.add("A passing remark", importance=0.11)
    await memory.add("Nothing that anybody wants", importance=0.9)
    await memory.call("memory_edit", action="forget", ids=["m2"])
    await memory.parts.fade.sweep()
    await memory.database.write(lambda db: [active_day(db, memory.now + n * DAY) for n in range(31)])
    memory.now += 31 * DAY
    started_again = Fade(memory.database, memory.events, soon=SOON, clock=lambda: memory.now)
    async with (
        memory.events.subscribe("memory:archived", "memory:gone") as news,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(started_again.run)
        with trio.fail_after(20):
            told = [event.kind async for event in _some(news, 2)]
        nursery.cancel_scope.cancel()
    assert told == ["memory:archived", "memory:gone"]


async def test_when_a_sweep_was_is_remembered(memory: Any) -> None:
    def started_again() -> Fade:
        return Fade(memory.database, memory.events, clock=lambda: memory.now)

    assert await started_again().due_in() == fading.SOON
    await started_again().sweep()
    memory.now += 60_000
    assert await started_again().due_in() == fading.EVERY - 60
    memory.now -= 120_000  # the clock was set
    assert await started_again().due_in() == fading.EVERY
    memory.now += 2 * 3_600_000
    assert await started_again().due_in() == fading.SOON


async def test_a_sweep_that_fails_is_left_for_later(
    memory: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fade = Fade(Database(Home(tmp_path / "not open")), memory.events, every=60)
    async with trio.open_nursery() as nursery:
        await nursery.start(fade.run)
        with trio.fail_after(20):
            while "what fades is left for later" not in caplog.text:
                await memory.database.pulse()
        nursery.cancel_scope.cancel()


async def _some(news: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(news)
