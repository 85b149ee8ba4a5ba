"""A run that stands still asks for nothing: no place, no turn, no processor; and goes on as if nothing had been."""

from __future__ import annotations

from typing import Any

import trio
from trio.abc import Clock

from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import Began, Granted, Interrupt, Pause, Resume
from mimo.services.procedures.runs import Status
from mimo.storage.sql import run as execute


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


ONE: dict[str, Any] = {"a": {"action": do("one"), "transitions": to("ok")}}


async def two_runs(house: Any) -> tuple[str, str, trio.Event]:
    """One that has the only place, and one that queues for it."""
    await house.define({"a": {"action": do("first"), "transitions": to("ok")}}, name="first")
    await house.define(ONE)
    held = house.hand.hold("first")
    first = await house.start("first")
    await house.hand.begun["first"].wait()
    queued = await house.start()
    assert (await house.data("status", run=queued))["status"] == "pending"
    return first, queued, held


async def test_a_queued_run_that_is_paused_lets_the_others_go_first_and_costs_no_turn(
    house_of: Any, autojump_clock: Clock
) -> None:
    async with house_of(1) as house:
        first, queued, held = await two_runs(house)
        assert (await house.data("pause", run=queued))["status"] == "waiting"
        assert house.parts.runner.places.waiting == 0
        held.set()
        assert (await house.ended(first))["status"] == "completed"
        turns = house.parts.runner.turns
        await trio.sleep(60)
        assert house.parts.runner.turns == turns
        assert house.parts.runner.places.running == 0
        assert (await house.ended(await house.start("first")))["status"] == "completed"
        await house.data("resume", run=queued)
        assert (await house.ended(queued))["status"] == "completed"
        assert house.hand.done == ["first", "first", "one"]


async def test_a_queued_run_that_is_interrupted_goes_on_when_it_is_resumed(
    house_of: Any, autojump_clock: Clock
) -> None:
    async with house_of(1) as house:
        first, queued, held = await two_runs(house)
        await house.data("interrupt", run=queued)
        held.set()
        await house.ended(first)
        assert house.parts.runner.places.running == 0
        await house.data("resume", run=queued)
        assert (await house.ended(queued))["status"] == "completed"


async def test_a_run_that_is_paused_while_its_place_is_on_the_way_gives_it_back(
    house_of: Any, autojump_clock: Clock
) -> None:
    async with house_of(1) as house:
        first, queued, held = await two_runs(house)
        runner = house.parts.runner
        with house.database.holding_the_clock():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.ask, int(queued[1:]), Pause())
                runner.places.queue(int(queued[1:]))
                held.set()
        await house.ended(first)
        await trio.sleep(1)
        assert runner.places.running == 0
        await house.data("resume", run=queued)
        assert (await house.ended(queued))["status"] == "completed"


async def test_a_home_with_a_paused_run_that_was_saved_as_queued_starts(
    idle: Any, house_of: Any, autojump_clock: Clock
) -> None:
    async with house_of(1) as house:
        _, queued, _ = await two_runs(house)
    house.hand.held.clear()
    await idle.database.write(_paused, int(queued[1:]))
    async with house_of(1) as house:
        await trio.sleep(5)
        assert house.parts.runner.places.running == 0
        assert (await house.data("status", run=queued))["paused"]
        await house.data("resume", run=queued)
        assert (await house.ended(queued))["status"] == "completed"


async def test_a_place_that_nobody_asked_for_is_given_back_and_not_asked_for_again(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({"a": {"action": {"type": "wait", "seconds": 50}, "transitions": to("ok")}})
    run = await house.start()
    house.parts.runner.places.queue(int(run[1:]))
    await trio.sleep(1)
    assert house.parts.runner.places.running == 0
    house.parts.runner.places.queue(99)  # there is no such run
    await trio.sleep(1)
    assert house.parts.runner.places.running == 0
    assert (await house.ended(run))["status"] == "completed"


def test_what_stands_still_needs_no_place_until_it_goes_on() -> None:
    definition = Definition.model_validate(
        {"name": "q", "initial": "a", "states": {**ONE, "ok": {"terminal": "success"}}}
    )
    begun = advance(definition, new_run(1, "u", definition, {}, 0), Began(), 0, may_act=False).run
    assert (begun.status, begun.needs_place) == (Status.PENDING, True)
    for still in (Pause(), Interrupt()):
        stands = advance(definition, begun, still, 1).run
        assert not stands.needs_place
        granted = advance(definition, stands, Granted(), 2)
        assert (granted.entries, granted.run.needs_place) == ((), False)
        goes_on = advance(definition, granted.run, Resume(), 3, may_act=False).run
        assert (goes_on.status, goes_on.needs_place) == (Status.PENDING, True)


def _paused(db: Any, id_: int) -> None:
    """As a queued run was saved when it was paused, before that was thought of."""
    execute(
        db,
        "UPDATE procedure_executions SET status = 'pending', run = json_set(run, '$.paused_at', 1900000000000)"
        " WHERE id = ?",
        (id_,),
    )
