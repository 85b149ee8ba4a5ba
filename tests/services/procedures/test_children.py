"""Children that are stopped take back what they did before their parents do, and no kill makes them go on alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from trio.abc import Clock

from mimo.errors import Conflict
from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import Act, Bear, Began, Finished, Interrupt, Stop, TimePassed
from mimo.services.procedures.runs import Status
from mimo.storage.sql import run as execute


def do(what: str, tool: str = "read") -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


def undo(what: str) -> dict[str, Any]:
    return {"action": do(what)}


INNER = {
    "x": {"action": do("inner"), "transitions": to("y"), "compensate": undo("not inner")},
    "y": {"action": {"type": "wait", "seconds": 1_000}, "transitions": to("ok")},
}
CALL = {"type": "procedure", "procedure": "inner"}
OUTER: dict[str, Any] = {
    "first": {"action": do("first"), "transitions": to("it"), "compensate": undo("not first")},
    "it": {"action": CALL, "transitions": to("ok"), "compensate": undo("not it")},
}


async def begun(house: Any, outer: Any = OUTER) -> tuple[str, str]:
    """The parent and its child, which waits after its first step."""
    await house.define(INNER, name="inner")
    await house.define(outer)
    run = await house.start()
    await house.until(run, "waiting", "it")
    child = f"r{int(run[1:]) + 1}"
    while True:
        changed = house.parts.runner.changed(int(child[1:]))
        runs = (await house.data("list", name="inner"))["runs"]
        if runs and runs[0]["state"] == "y":
            return run, child
        await changed.wait()


async def test_a_child_has_taken_back_what_it_did_before_its_parent_begins_to(
    house: Any, autojump_clock: Clock
) -> None:
    run, child = await begun(house)
    held = house.hand.hold("not inner")
    await house.data("interrupt", run=run, rollback=True)
    await house.hand.begun["not inner"].wait()
    told = await house.data("status", run=run)
    assert told["status"] == "compensating"
    assert "a child takes back what it did: inner" in await house.text("status", run=run)
    with pytest.raises(Conflict, match="taken back already"):
        await house.data("interrupt", run=run, rollback=True)
    held.set()
    assert (await house.ended(run))["status"] == "rolled_back"
    assert (await house.data("status", run=child))["status"] == "rolled_back"
    assert house.hand.done == ["first", "inner", "not inner", "not first"]


async def test_a_child_that_took_too_long_takes_itself_back_while_its_parent_goes_on(
    house: Any, autojump_clock: Clock
) -> None:
    late = {"action": CALL, "timeout": 5, "transitions": [*to("ok"), {"event": "timeout", "to": "other"}]}
    other = {"action": do("other"), "transitions": to("ok")}
    run, child = await begun(house, {"first": OUTER["first"], "it": late, "other": other})
    assert (await house.ended(run))["status"] == "completed"
    assert (await house.ended(child))["status"] == "rolled_back"
    assert sorted(house.hand.done) == ["first", "inner", "not inner", "other"]


AGAIN: dict[str, Any] = {**OUTER["it"], "timeout": 5, "retry": {"attempts": 2, "backoff": 0}}


async def test_the_next_attempt_waits_until_a_late_child_has_taken_back_what_it_did(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        run, child = await begun(idle, {"first": OUTER["first"], "it": AGAIN})
        idle.hand.hold("not inner")
        await idle.hand.begun["not inner"].wait()
        await trio.sleep(100)
        assert idle.hand.done == ["first", "inner"]
        assert "a child takes back what it did: inner" in await idle.text("status", run=run)
    idle.hand.held.clear()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "rolled_back"
        assert (await idle.data("status", run=child))["status"] == "rolled_back"
    assert idle.hand.done == ["first", "inner", "not inner", "inner", "not inner", "not first"]


async def test_who_takes_all_back_while_a_late_child_does_has_no_next_attempt(
    house: Any, autojump_clock: Clock
) -> None:
    run, _ = await begun(house, {"first": OUTER["first"], "it": AGAIN})
    held = house.hand.hold("not inner")
    await house.hand.begun["not inner"].wait()
    await house.data("interrupt", run=run, rollback=True)
    held.set()
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["first", "inner", "not inner", "not first"]


async def test_a_late_branch_is_waited_for_until_its_next_attempt_is_over(
    house: Any, autojump_clock: Clock
) -> None:
    branches = {
        "late": {key: AGAIN[key] for key in ("action", "timeout", "retry")},
        "quick": {"action": do("quick")},
    }
    await house.define(INNER, name="inner")
    await house.define({"p": {"action": {"type": "parallel", "branches": branches}, "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "timeout")
    assert [each for each in house.hand.done if each != "quick"] == ["inner", "not inner"] * 2


def test_a_late_child_that_was_done_before_it_could_stop_is_not_begun_again() -> None:
    states = {"it": AGAIN, "ok": {"terminal": "success"}}
    text = json.dumps({"name": "outer", "initial": "it", "states": states})
    definition = Definition.model_validate_json(text)
    start = advance(definition, new_run(1, "uid", definition, {}, 0), Began(), 0)
    (bear,) = start.intents
    assert isinstance(bear, Bear)
    late = advance(definition, start.run, TimePassed(), 6_000)
    assert late.intents == (Stop(bear.step, 1, rollback=True),)
    done = advance(definition, late.run, Finished(bear.step, 1, "its output"), 6_001)
    assert (done.run.status, done.intents) == (Status.COMPLETED, ())


async def test_the_order_of_taking_back_outlasts_a_restart(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        run, _ = await begun(idle)
        idle.hand.hold("not inner")
        await idle.data("interrupt", run=run, rollback=True)
        await idle.hand.begun["not inner"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "rolled_back"
    assert idle.hand.done == ["first", "inner", "not inner", "not first"]


async def test_a_child_that_was_to_stop_when_mimo_was_killed_stops_when_it_begins_again(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        run, child = await begun(idle)
        waits = (await idle.data("status", run=run))["waits_for"][0]
    # As it is between the turn of the parent that stops the child, and that of the child.
    await idle.database.write(_leave, int(run[1:]), waits["step"])
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "rolled_back"
        assert (await idle.data("status", run=child))["status"] == "rolled_back"
    assert idle.hand.done == ["first", "inner", "not inner", "not first"]


async def test_a_child_goes_on_after_a_restart_though_its_procedure_was_deactivated(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        run, _ = await begun(idle)
        await idle.data("deactivate", name="inner")
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"
    assert idle.hand.done == ["first", "inner"]


async def test_a_child_whose_parent_has_ended_without_it_is_taken_back(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        run, child = await begun(idle)
    await idle.database.write(_end, int(run[1:]))
    async with idle.restarted():
        assert (await idle.ended(child))["status"] == "rolled_back"
        assert (await idle.data("status", run=run))["status"] == "completed"


async def test_a_way_back_that_was_stopped_by_hand_goes_on_and_is_not_begun_twice(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({**OUTER, "it": {"action": do("boom"), "transitions": to("ok")}})
    house.hand.fail("boom", Conflict("no"))
    held = house.hand.hold("not first")
    run = await house.start()
    await house.hand.begun["not first"].wait()
    with pytest.raises(Conflict, match="taken back already"):
        await house.data("interrupt", run=run, rollback=True)
    await house.data("interrupt", run=run)
    held.set()
    await house.data("interrupt", run=run, rollback=True)
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["first", "not first"]


SLOW = {
    "x": {"action": do("inner"), "transitions": to("y")},
    "y": {"action": do("later"), "transitions": to("ok")},
}


async def paused_in(house: Any) -> tuple[str, str, Any]:
    """A parent that is paused while its child's first action is in flight."""
    await house.define(SLOW, name="inner")
    await house.define(OUTER)
    held = house.hand.hold("inner")
    run = await house.start()
    await house.hand.begun["inner"].wait()
    told = await house.data("pause", run=run)
    child = told["waits_for"][0]["run"]
    await house.until(child, "running", "x")
    while not (await house.data("status", run=child))["paused"]:
        await trio.testing.wait_all_tasks_blocked()
    return run, child, held


async def test_who_pauses_a_parent_pauses_its_child_and_it_goes_on_with_it(
    house: Any, autojump_clock: Clock
) -> None:
    run, child, held = await paused_in(house)
    held.set()
    await house.until(child, "waiting", "y")
    await trio.sleep(500)
    assert house.hand.done == ["first", "inner"]
    await house.data("resume", run=run)
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["first", "inner", "later"]


async def test_a_child_that_is_held_stays_so_after_a_restart_and_goes_on_with_its_parent(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        run, child, _ = await paused_in(idle)
    idle.hand.held.clear()
    async with idle.restarted():
        await idle.until(child, "waiting", "y")
        await trio.sleep(500)
        assert "later" not in idle.hand.done
        await idle.data("resume", run=run)
        assert (await idle.ended(run))["status"] == "completed"


async def test_a_child_that_was_paused_by_itself_does_not_go_on_with_its_parent(
    house: Any, autojump_clock: Clock
) -> None:
    run, child = await begun(house)
    await house.data("pause", run=child)
    await house.data("pause", run=run)
    await house.data("resume", run=run)
    await trio.sleep(5_000)
    assert (await house.data("status", run=child))["paused"]
    await house.data("resume", run=child)
    assert (await house.ended(run))["status"] == "completed"


async def test_a_parent_names_its_child(house: Any, autojump_clock: Clock) -> None:
    run, child = await begun(house)
    (waits,) = (await house.data("status", run=run))["waits_for"]
    assert (waits["call"], waits["run"]) == ("inner", child)
    assert f"its child runs (inner, {child})" in await house.text("status", run=run)
    lines = (await house.data("history", run=run))["history"]
    (line,) = [each for each in lines if each["kind"] == "child"]
    assert line["detail"] == {"procedure": "inner", "run": child}
    assert child in await house.text("history", run=run)


def test_a_child_that_was_done_before_it_could_stop_is_taken_back_by_its_parent() -> None:
    text = json.dumps(
        {"name": "outer", "initial": "first", "states": {**OUTER, "ok": {"terminal": "success"}}}
    )
    definition = Definition.model_validate_json(text)

    def after(before: Any, happening: Any) -> Any:
        return advance(definition, before.run, happening, 1_000)

    start = advance(definition, new_run(1, "uid", definition, {}, 0), Began(), 0)
    (act,) = start.intents
    assert isinstance(act, Act)
    called = after(start, Finished(act.step, 1))
    (bear,) = called.intents
    assert isinstance(bear, Bear)
    stopped = after(called, Interrupt(rollback=True))
    assert stopped.intents == (Stop(bear.step, 1, rollback=True),)
    assert stopped.run.status is Status.COMPENSATING
    done = after(stopped, Finished(bear.step, 1, "its output"))
    (back,) = done.intents
    assert isinstance(back, Act)
    assert back.arguments == {"what": "not it"}


def _leave(db: Any, id_: int, step: int) -> None:
    activity = {"step": step, "state": "it", "phase": "leaving"}
    execute(
        db,
        "UPDATE procedure_executions SET status = 'compensating', run = json_set(run, '$.activities', json(?),"
        " '$.ending', json(?)) WHERE id = ?",
        (json.dumps([activity]), '["interrupted", "it was interrupted", false, false]', id_),
    )


def _end(db: Any, id_: int) -> None:
    execute(
        db,
        "UPDATE procedure_executions SET status = 'completed', ended_at = changed_at,"
        " run = json_remove(run, '$.activities') WHERE id = ?",
        (id_,),
    )
