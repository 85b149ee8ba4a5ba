"""A child that takes something back, and is late with it, is waited for: nothing is taken back twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.errors import Conflict
from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import Again, Bear, Began, Finished, Interrupt, Signalled, Stop


def do(what: str) -> dict[str, Any]:
    return {"type": "tool", "tool": "work", "arguments": {"what": what}}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


BACK: dict[str, Any] = {
    "w": {"action": {"type": "wait", "seconds": 30}, "transitions": to("u")},
    "u": {"action": do("undo"), "transitions": to("ok")},
}


async def late(house: Any, back: Any = BACK, **more: Any) -> tuple[str, str]:
    """A run whose way back takes longer than it may, and the child that goes it."""
    await house.define(back, name="back")
    call = {"action": {"type": "procedure", "procedure": "back"}, "timeout": 10, **more}
    await house.define({"a": {"action": do("effect"), "compensate": call, "transitions": to("bad")}})
    run = await house.start()
    told = await house.until(run, "needs_attention")
    assert told["error"]["kind"] == "timeout"
    (waits,) = told["waits_for"]
    assert "not done within 10 s" in waits["problem"]
    return run, waits["run"]


@pytest.mark.parametrize("more", [{}, {"retry": {"attempts": 3, "backoff": 1}}])
async def test_a_way_back_that_is_late_needs_a_person_and_settles_itself_when_it_is_done(
    house: Any, autojump_clock: Clock, more: Any
) -> None:
    run, child = await late(house, **more)
    assert (
        f"needs attention in a: what takes it back is not done within 10 s; it goes on (back, {child})"
        in (await house.text("status", run=run))
    )
    refused = (
        {"operation": "retry"},
        {"operation": "retry", "state": "a"},
        {"operation": "signal", "event": "done"},
    )
    for told in refused:
        with pytest.raises(Conflict, match="still runs, and might take it back twice"):
            await house.data(run=run, **told)
    told = await house.until(run, "rolled_back")
    assert told["error"]["kind"] == "failed"
    assert house.hand.done == ["effect", "undo"]
    assert len((await house.data("list", name="back"))["runs"]) == 1


async def test_a_late_way_back_goes_on_after_a_restart(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        run, child = await late(idle)
    async with idle.restarted():
        assert (await idle.data("status", run=run))["status"] == "needs_attention"
        await idle.until(run, "rolled_back")
        assert (await idle.data("status", run=child))["status"] == "completed"
    assert idle.hand.done == ["effect", "undo"]


async def test_a_late_way_back_that_fails_in_the_end_may_be_gone_again(
    house: Any, autojump_clock: Clock
) -> None:
    run, child = await late(house)
    await house.data("interrupt", run=child, rollback=True)
    await trio.sleep(1)
    told = await house.data("status", run=run)
    assert (told["status"], told["error"]["kind"]) == ("needs_attention", "child")
    assert house.hand.done == ["effect"]
    await house.data("retry", run=run)
    await house.until(run, "rolled_back")
    assert house.hand.done == ["effect", "undo"]


async def test_a_late_way_back_that_fails_is_gone_again_by_itself_where_it_is_said_so(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("undo", Conflict("not yet"))
    run, _ = await late(house, retry={"attempts": 2, "backoff": 1})
    told = await house.until(run, "compensating")
    assert told["error"]["kind"] == "failed", (
        "the trouble of the run itself, and no more that of the way back"
    )
    await house.until(run, "needs_attention")
    await house.until(run, "rolled_back")
    assert house.hand.done == ["effect", "undo"]


def test_a_way_back_that_was_gone_though_nobody_waited_for_it_is_not_gone_again() -> None:
    call = {"action": {"type": "procedure", "procedure": "back"}}
    states = {
        "a": {"action": do("effect"), "compensate": call, "transitions": to("b")},
        "b": {"action": {"type": "await", "events": ["go"]}, "transitions": [{"event": "go", "to": "bad"}]},
        "bad": {"terminal": "failure"},
    }
    definition = Definition.model_validate_json(json.dumps({"name": "job", "initial": "a", "states": states}))

    def after(before: Any, happening: Any) -> Any:
        return advance(definition, before.run, happening, 1_000)

    start = advance(definition, new_run(1, "uid", definition, {}, 0), Began(), 0)
    waiting = after(start, Finished(start.intents[0].step, 1))
    backwards = after(waiting, Interrupt(rollback=True))
    (bear,) = backwards.intents
    assert isinstance(bear, Bear)
    elsewhere = after(backwards, Again("b"))
    assert elsewhere.intents == (Stop(bear.step, 1, rollback=True),)
    gone = after(elsewhere, Finished(bear.step, 1))
    assert gone.run.done == ()
    assert after(gone, Signalled("go")).intents == ()
