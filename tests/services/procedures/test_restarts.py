"""What outlasts mimo: every run goes on where it was, and what nobody can know is asked of a person."""

from __future__ import annotations

from typing import Any

import trio
from trio.abc import Clock

from mimo.errors import Unavailable
from mimo.storage.sql import run as execute


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


TWO: dict[str, Any] = {
    "a": {"action": do("one", "read"), "transitions": to("b")},
    "b": {"action": do("two", "read"), "transitions": to("ok")},
}


async def test_what_was_in_flight_and_is_harmless_is_done_again_under_its_key(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(TWO)
        idle.hand.hold("two")
        run = await idle.start()
        await idle.hand.begun["two"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"
        assert idle.hand.done == ["one", "two"]
        assert "recovered" in await idle.kinds(run)
        assert idle.hand.keys[1].endswith(" 4 1")


async def test_what_was_in_flight_and_may_harm_needs_attention_and_is_settled_by_a_person(
    idle: Any, autojump_clock: Clock
) -> None:
    states = {**TWO, "a": {"action": do("one"), "transitions": to("b")}}
    async with idle.running():
        await idle.define(states)
        idle.hand.hold("one")
        runs = [await idle.start() for _ in range(3)]
        await idle.hand.begun["one"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        for run in runs:
            told = await idle.ended(run)
            assert (told["status"], told["error"]["kind"]) == ("needs_attention", "lost")
        await idle.data("retry", run=runs[0])
        await idle.data("signal", run=runs[1], event="done", data={"what": "it was done"})
        await idle.data("signal", run=runs[2], event="error", data={"why": "it was not"})
        ended = [(await idle.ended(run))["status"] for run in runs]
        assert ended == ["completed", "completed", "failed"]
        errors = [(await idle.data("status", run=run))["error"] for run in runs]
        assert [each and each["kind"] for each in errors] == [None, None, "settled"]
        assert sorted(idle.hand.done) == ["one", "two", "two"]
        assert idle.hand.keys[idle.hand.done.index("one")].endswith(" 2 2")


async def test_an_action_may_say_itself_that_it_is_harmless(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define({"a": {"action": do("one", idempotent=True), "transitions": to("ok")}})
        idle.hand.hold("one")
        run = await idle.start()
        await idle.hand.begun["one"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"


async def test_a_tool_that_is_about_to_answer_when_mimo_stops_may(idle: Any, autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery, idle.running():
        await idle.define({**TWO, "a": {"action": do("one"), "transitions": to("b")}})
        held = idle.hand.hold("one")
        run = await idle.start()
        await idle.hand.begun["one"].wait()

        async def soon() -> None:
            await trio.sleep(1)
            held.set()

        nursery.start_soon(soon)
    assert idle.hand.done == ["one"]
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"
        assert idle.hand.done == ["one", "two"]


async def test_waits_retries_events_and_approvals_outlast_a_restart(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define(
            {"a": {"action": {"type": "wait", "seconds": 120}, "transitions": to("ok")}}, name="wait"
        )
        await idle.define(
            {"a": {"action": do("one"), "transitions": to("ok"), "retry": {"attempts": 2, "backoff": 90}}},
            name="again",
        )
        await idle.define(
            {
                "a": {"action": do("two"), "transitions": to("b")},
                "b": {
                    "action": {"type": "await", "events": ["go"]},
                    "transitions": [{"event": "go", "to": "ok"}],
                },
            },
            name="asked",
        )
        idle.hand.fail("one", Unavailable("away", done=False))
        waiting, again, asked = [await idle.start(name) for name in ("wait", "again", "asked")]
        await idle.until(again, "waiting")
        await idle.until(asked, "waiting", "b")
        began = trio.current_time()
    async with idle.restarted():
        assert (await idle.data("signal", run=asked, event="go"))["outcome"] == "taken"
        for run in (asked, again, waiting):
            assert (await idle.ended(run))["status"] == "completed"
        assert 100 < trio.current_time() - began < 130


async def test_what_became_due_while_mimo_was_away_is_due_at_once(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define({"a": {"action": {"type": "wait", "seconds": 100}, "transitions": to("ok")}})
        run = await idle.start()
    await trio.sleep(500)
    began = trio.current_time()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"
    assert trio.current_time() - began < 5


async def test_when_the_clock_was_set_back_meanwhile_no_wait_becomes_longer(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(
            {"a": {"action": {"type": "wait", "seconds": 100}, "transitions": to("ok")}}, timeout=200
        )
        run = await idle.start()
    idle.set_back = 86_400_000
    began = trio.current_time()
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "completed"
    assert 95 < trio.current_time() - began < 105


async def test_a_compensation_goes_on_after_a_restart(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define(
            {
                "a": {
                    "action": do("a"),
                    "transitions": to("b"),
                    "compensate": {"action": do("not a", idempotent=True)},
                },
                "b": {"action": do("b"), "transitions": to("c"), "compensate": {"action": do("not b")}},
                "c": {
                    "action": {"type": "fail", "message": "enough"},
                    "transitions": [{"event": "never", "to": "ok"}],
                },
            }
        )
        idle.hand.hold("not a")
        run = await idle.start()
        await idle.hand.begun["not a"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        told = await idle.ended(run)
        assert (told["status"], told["error"]) == ("rolled_back", {"kind": "failed", "message": "enough"})
        assert idle.hand.done == ["a", "b", "not b", "not a"]


async def test_a_child_is_begun_once_and_its_end_is_told_though_mimo_was_away(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(
            {
                "x": {"action": do("inner", "read"), "transitions": to("end")},
                "end": {"terminal": "success", "output": "in"},
            },
            name="inner",
        )
        await idle.define(
            {
                "a": {
                    "action": {"type": "procedure", "procedure": "inner", "save": "got"},
                    "transitions": to("end"),
                },
                "end": {"terminal": "success", "output": "${got}"},
            }
        )
        idle.hand.hold("inner")
        run = await idle.start()
        await idle.hand.begun["inner"].wait()
    idle.hand.held.clear()
    async with idle.restarted():
        assert (await idle.ended(run))["output"] == "in"
        assert len((await idle.data("list", name="inner"))["runs"]) == 1
    # The child has ended, and the parent was never told.
    await idle.database.write(_forget_the_end, int(run[1:]))
    async with idle.restarted():
        assert (await idle.ended(run))["output"] == "in"
        assert len((await idle.data("list", name="inner"))["runs"]) == 1


def _forget_the_end(db: Any, id_: int) -> None:
    """The parent as it was while its child ran."""
    activity = '{"step": 2, "state": "a", "phase": "child", "call": {"procedure": "inner", "version": null, "input": {}}}'
    execute(
        db,
        "UPDATE procedure_executions SET status = 'waiting', state = 'a', ended_at = NULL,"
        " run = json_set(run, '$.state', 'a', '$.activities', json(?), '$.output', NULL) WHERE id = ?",
        (f"[{activity}]", id_),
    )


async def test_runs_that_queued_for_a_place_still_do(idle: Any, house_of: Any, autojump_clock: Clock) -> None:
    idle.hand.hold("one")
    async with house_of(2) as house:
        await house.define(TWO)
        runs = [await house.start() for _ in range(5)]
        await house.hand.begun["one"].wait()
        told = [(await house.data("status", run=run))["status"] for run in runs]
        assert sorted(told) == ["pending"] * 3 + ["running"] * 2
    idle.hand.held.clear()
    async with house_of(2) as house:
        for run in runs:
            assert (await house.ended(run))["status"] == "completed"
    assert sorted(house.hand.done) == ["one"] * 5 + ["two"] * 5


async def test_a_damaged_definition_stops_its_own_runs_only(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        await idle.define(TWO)
        await idle.define(TWO, name="other")
        idle.hand.hold("one")
        run, other = await idle.start(), await idle.start("other")
        await idle.hand.begun["one"].wait()
    idle.hand.held.clear()
    await idle.database.write(_damage)
    async with idle.restarted():
        assert (await idle.ended(other))["status"] == "completed"
        told = await idle.database.read(_status, int(run[1:]))
        assert told == "needs_attention"


def _damage(db: Any) -> None:
    execute(db, "UPDATE procedure_definitions SET body = replace(body, 'one', 'eins') WHERE name = 'job'")


def _status(db: Any, id_: int) -> str:
    return db.execute("SELECT status FROM procedure_executions WHERE id = ?", (id_,)).get


async def test_who_is_ended_while_the_runs_of_before_are_read_ends(idle: Any, autojump_clock: Clock) -> None:
    """Whatever the moment: the first step of the loop after its beginning, the second, and so on."""
    async with idle.running():
        await idle.define({"a": {"action": {"type": "wait", "seconds": 50}, "transitions": to("ok")}})
        await idle.start()
    for steps in range(12):
        idle.begin_anew()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(idle.door.run)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
