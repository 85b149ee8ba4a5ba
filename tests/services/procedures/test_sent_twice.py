"""An event that is sent again under its key is one event: nobody approves twice who approved once. Without a key it is two."""

from __future__ import annotations

from typing import Any

import pytest
from trio.abc import Clock

from mimo.errors import Conflict
from mimo.storage.sql import run as execute
from mimo.tool import Call

ENDS = [{"event": "rejected", "to": "bad"}]
TWICE: dict[str, Any] = {
    "a": {
        "action": {"type": "await", "approval": "The first?"},
        "transitions": [{"event": "approved", "to": "b"}, *ENDS],
    },
    "b": {
        "action": {"type": "await", "approval": "The second, production?"},
        "transitions": [{"event": "approved", "to": "ok"}, *ENDS],
    },
}


async def test_an_approval_that_is_sent_twice_under_one_key_approves_once(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(TWICE)
        run = await idle.start()
        for _ in range(2):
            told = await idle.data("signal", run=run, event="approved", key="one")
            assert (told["outcome"], told["state"]) == ("taken", "b")
    async with idle.restarted():
        assert (await idle.data("signal", run=run, event="approved", key="one"))["state"] == "b"
        assert (await idle.data("signal", run=run, event="approved", key="two"))["status"] == "completed"
        lines = len(await idle.lines(run))
        assert (await idle.data("signal", run=run, event="approved", key="two"))["outcome"] == "taken"
        assert len(await idle.lines(run)) == lines
        with pytest.raises(Conflict, match="comes too late"):
            await idle.data("signal", run=run, event="approved", key="three")


async def test_the_key_may_come_with_the_call_and_is_its_clients_own(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(TWICE)
    run = await house.start()
    for _ in range(2):
        await house.call("signal", Call("1", house.client, key="one"), run=run, event="approved")
    assert (await house.data("status", run=run))["state"] == "b"


async def test_what_was_kept_is_kept_once_and_a_key_is_for_one_event(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({"a": {"action": {"type": "wait", "seconds": 900}, "transitions": [{"to": "ok"}]}})
    run = await house.start()
    for _ in range(3):
        assert (await house.data("signal", run=run, event="go", key="one"))["outcome"] == "kept"
    assert (await house.kinds(run)).count("kept") == 1
    with pytest.raises(Conflict, match="under this key the run was sent 'go'"):
        await house.data("signal", run=run, event="stop", key="one")
    assert (await house.data("signal", run=run, event="go"))["outcome"] == "kept"
    assert (await house.kinds(run)).count("kept") == 2


async def test_an_event_that_no_state_asks_for_is_kept_with_a_doubt(
    house: Any, autojump_clock: Clock
) -> None:
    listens = {"type": "await", "events": ["delivered"]}
    states: dict[str, Any] = {
        "a": {"action": {"type": "wait", "seconds": 900}, "transitions": [{"to": "b"}]},
        "b": {
            "action": {"type": "parallel", "branches": {"x": {"action": listens}}},
            "transitions": [{"to": "c"}],
        },
        "c": {"transitions": [{"to": "ok"}, {"event": "go", "to": "ok"}]},
    }
    await house.define(states)
    run = await house.start()
    for event in ("delivered", "go"):
        told = await house.data("signal", run=run, event=event)
        assert told["outcome"] == "kept"
        assert "warning" not in told
    told = await house.data("signal", run=run, event="deliverd")
    assert told["outcome"] == "kept"
    assert told["warning"] == "no state of job 1.0 asks for it; did you mean 'delivered'?"
    said = await house.text("signal", run=run, event="xyz")
    assert "xyz: kept, but no state of job 1.0 asks for it; they ask for delivered, go" in said
    await house.define(
        {"a": {"action": {"type": "wait", "seconds": 900}, "transitions": [{"to": "ok"}]}}, "deaf"
    )
    said = await house.text("signal", run=await house.start("deaf"), event="xyz")
    assert "no state of deaf 1.0 asks for it; its states ask for no event" in said


KEPT = "the event 'amount' with other data"


async def test_a_key_is_for_one_event_with_its_data(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define({"a": {"action": {"type": "wait", "seconds": 900}, "transitions": [{"to": "ok"}]}})
        run = await idle.start()
        for data in ({"n": 1, "m": 2}, {"m": 2, "n": 1}):
            told = await idle.data("signal", run=run, event="amount", data=data, key="one")
            assert told["outcome"] == "kept"
        for data in ({"n": 2, "m": 2}, None):
            with pytest.raises(Conflict, match=KEPT):
                await idle.data("signal", run=run, event="amount", data=data, key="one")
        assert (await idle.kinds(run)).count("kept") == 1
        told = await idle.data("signal", run=run, event="amount", data={"n": 2, "m": 2}, key="two")
        assert told["outcome"] == "kept"
    async with idle.restarted():
        with pytest.raises(Conflict, match=KEPT):
            await idle.data("signal", run=run, event="amount", data={"n": 3}, key="one")
    # As it was written when nothing was kept of the data.
    await idle.database.write(_forget_data, int(run[1:]))
    async with idle.restarted():
        told = await idle.data("signal", run=run, event="amount", data={"n": 3}, key="one")
        assert told["outcome"] == "kept"
        assert (await idle.kinds(run)).count("kept") == 2


def _forget_data(db: Any, id_: int) -> None:
    execute(
        db,
        "UPDATE procedure_executions SET run = json_remove(run, '$.heard[0][3]', '$.heard[1][3]') WHERE id = ?",
        (id_,),
    )


TICKS: dict[str, Any] = {
    "a": {
        "action": {"type": "await", "events": ["tick"], "save": "first"},
        "transitions": [{"event": "tick", "to": "b"}],
    },
    "b": {
        "action": {"type": "await", "events": ["tick"], "save": "second"},
        "transitions": [{"event": "tick", "to": "ok"}],
    },
    "ok": {"terminal": "success", "output": ["${first}", "${second}"]},
}


@pytest.mark.parametrize("data", [[{"n": 1}, {"n": 2}], [None, None]])
async def test_two_events_without_a_key_that_come_while_a_run_is_paused_are_two(
    house: Any, autojump_clock: Clock, data: list[Any]
) -> None:
    await house.define(TICKS)
    run = await house.start()
    await house.data("pause", run=run)
    for each in data:
        assert (await house.data("signal", run=run, event="tick", data=each))["outcome"] == "kept"
    told = await house.data("resume", run=run)
    assert (told["status"], told["output"]) == ("completed", data)
    assert (await house.kinds(run)).count("event") == 2


async def test_two_events_that_come_while_a_tool_works_are_two(
    house: Any, hand: Any, autojump_clock: Clock
) -> None:
    go = hand.hold("slow")
    work = {"type": "tool", "tool": "work", "arguments": {"what": "slow"}}
    await house.define({"w": {"action": work, "transitions": [{"to": "a"}]}, **TICKS})
    run = await house.start()
    await hand.begun["slow"].wait()
    for number in (1, 2):
        await house.data("signal", run=run, event="tick", data={"n": number})
    go.set()
    assert (await house.ended(run))["output"] == [{"n": 1}, {"n": 2}]


async def test_an_event_of_another_name_is_kept_when_the_one_that_was_awaited_leads_on(
    house: Any, autojump_clock: Clock
) -> None:
    again = {"event": "stop", "to": "bad"}
    await house.define(
        {name: {**state, "transitions": [*state["transitions"], again]} for name, state in TICKS.items() if name != "ok"}
        | {"ok": TICKS["ok"]}
    )  # fmt: skip
    run = await house.start()
    await house.data("pause", run=run)
    await house.data("signal", run=run, event="tick")
    await house.data("signal", run=run, event="stop")
    assert (await house.data("resume", run=run))["status"] == "failed"
    assert [line for line in await house.lines(run) if line[0] == "event"] == [("event", "a"), ("event", "b")]


async def test_an_awaited_event_that_no_guard_lets_on_leaves_the_way_to_one_that_came_with_it(
    house: Any, autojump_clock: Clock
) -> None:
    ways = [{"event": "tick", "guard": "event.data.n > 1", "to": "ok"}]
    await house.define(
        {"a": {"action": {"type": "await", "events": ["tick"]}, "transitions": ways}, "ok": {"terminal": "success"}}
    )  # fmt: skip
    run = await house.start()
    await house.data("pause", run=run)
    for number in (1, 2):
        await house.data("signal", run=run, event="tick", data={"n": number})
    assert (await house.data("resume", run=run))["status"] == "completed"
