"""What nobody uses fades, by days on which mimo was used; and comes back when asked for."""

from __future__ import annotations

from typing import Any

import trio

from mimo.storage.engrams.engram import active_day, last_active_day, load

DAY = 86_400_000


async def live_through(memory: Any, days: int) -> None:
    """So many days on which mimo is used."""

    def use(db: Any) -> None:
        for n in range(1, days + 1):
            active_day(db, memory.now + n * DAY)

    await memory.database.write(use)
    memory.now += days * DAY


async def test_what_is_weak_and_unused_is_archived_and_what_matters_stays(memory: Any) -> None:
    await memory.add("A passing remark", importance=0.11)
    await memory.add("A firm decision", importance=0.95)
    pinned = await memory.add("A pinned remark", importance=0.11)
    await memory.call("memory_edit", action="protect", ids=[pinned])
    await live_through(memory, 30)
    assert [fate.id for fate in await memory.parts.fade.preview()] == [1]
    assert await memory.parts.fade.sweep() == [1]
    assert set(await memory.found("remark decision")) == {"A firm decision", "A pinned remark"}
    assert [event.ids for event in memory.told("memory:archived")] == [("m1",)]


async def test_a_holiday_makes_nobody_forget(memory: Any) -> None:
    await memory.add("A passing remark", importance=0.11)
    memory.now += 3650 * DAY
    await memory.add("Back again")
    assert await memory.parts.fade.sweep() == []


async def test_use_keeps_a_memory(memory: Any) -> None:
    await memory.call(
        "memory_add", items=[{"content": f"Weak thing {n}", "importance": 0.12} for n in range(2)]
    )
    await live_through(memory, 10)
    await memory.call("memory_get", ids=["m2"])
    await memory.parts.use.flush()
    (used,) = await memory.database.read(load, [2])
    assert (used.access_count, used.accessed_at) == (1, memory.now)
    assert used.accessed_day == await memory.database.read(last_active_day)
    await live_through(memory, 3)
    assert await memory.parts.fade.sweep() == [1]


async def test_the_archived_come_back_by_their_id_and_do_not_fade_at_once(memory: Any) -> None:
    await memory.add("A passing remark", importance=0.11)
    await live_through(memory, 30)
    await memory.parts.fade.sweep()
    await memory.call("memory_edit", action="restore", ids=["m1"])
    assert await memory.parts.fade.sweep() == []
    assert await memory.found("remark") == ["A passing remark"]


async def test_saying_it_again_brings_the_archived_back(memory: Any) -> None:
    await memory.add("A passing remark", importance=0.11)
    await live_through(memory, 30)
    await memory.parts.fade.sweep()
    assert await memory.text("memory_add", content="A passing remark") == "merged into m1"
    assert await memory.found("remark") == ["A passing remark"]


async def test_after_a_month_the_archived_and_the_forgotten_are_gone(memory: Any) -> None:
    await memory.call(
        "memory_add",
        items=[{"content": "Faded", "importance": 0.11}, {"content": "Forgotten"}, {"content": "Kept"}],
    )
    await memory.call("memory_edit", action="forget", ids=["m2"])
    await live_through(memory, 25)
    await memory.parts.fade.sweep()
    memory.now += 20 * DAY
    await memory.parts.fade.sweep()
    assert [engram.id for engram in await memory.database.read(load, [1, 2, 3])] == [1, 3]
    memory.now += 11 * DAY
    await memory.parts.fade.sweep()
    assert [engram.id for engram in await memory.database.read(load, [1, 2, 3])] == [3]


async def test_the_ones_at_risk_are_told_the_first_first(memory: Any) -> None:
    importances = [0.3, 0.11, 0.5, 0.104]
    await memory.call(
        "memory_add", items=[{"content": f"Thing {n}", "importance": i} for n, i in enumerate(importances)]
    )
    await live_through(memory, 1)
    assert [fate.id for fate in await memory.parts.fade.at_risk(days=5)] == [4, 2]
    data = await memory.parts.controls.methods()["mimo/fading"]({"days": 5}, memory.client)
    assert [[each["id"] for each in data[when]] for when in ("due", "at_risk")] == [["m4"], ["m2"]]


async def test_what_is_due_is_not_told_a_second_time_as_at_risk(memory: Any) -> None:
    for importance in (0.05, 0.11):
        await memory.add(f"Of importance {importance}", importance=importance)
    await live_through(memory, 1)
    data = await memory.parts.controls.methods()["mimo/fading"]({"days": 5}, memory.client)
    assert [[each["id"] for each in data[when]] for when in ("due", "at_risk")] == [["m1"], ["m2"]]


async def test_a_sweep_over_many_goes_in_portions(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": f"Weak {n}", "importance": 0.05} for n in range(450)])
    assert await memory.parts.fade.sweep() == []
    await live_through(memory, 1)
    assert len(await memory.parts.fade.sweep()) == 450


async def test_use_is_written_in_batches_of_a_hundred_and_at_the_end(living: Any, database: Any) -> None:
    one = living()
    async with one.running():
        await one.call("memory_add", items=[{"content": f"Thing {n}"} for n in range(120)])
        one.parts.use.note(range(1, 101))
        with trio.fail_after(5):
            while not (await database.read(load, [100]))[0].access_count:
                await database.pulse()
        one.parts.use.note([101])
    assert (await database.read(load, [101]))[0].access_count == 1
