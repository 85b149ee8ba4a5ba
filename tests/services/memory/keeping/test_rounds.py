"""The rounds that the memory makes by itself, as children of the tree."""

from __future__ import annotations

from typing import Any

import trio

from mimo.services.memory.consolidation import Consolidation
from mimo.services.memory.fading import Fade
from mimo.services.memory.merging import Merging
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


async def _some(news: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(news)
