"""Every scenario of a state machine that one would draw, played against procedures that live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.errors import Busy, Conflict, InvalidArguments, NotFound, Unavailable


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def step(what: str, *to: str | Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A state that does this and goes on; `to` are names of states or whole transitions."""
    return {"action": do(what), "transitions": ways(*to), **more}


def ways(*to: str | Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"to": each} if isinstance(each, str) else dict(each) for each in to]


ERROR = {"event": "error", "to": "bad"}


async def test_the_happy_path_does_each_step_once_and_in_order(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": step("first", "b"), "b": step("second", "ok")})
    run = await house.start()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["first", "second"]
    assert await house.lines(run) == [
        ("started", "a"),
        ("entered", "a"),
        ("acting", "a"),
        ("done", "a"),
        ("entered", "b"),
        ("acting", "b"),
        ("done", "b"),
        ("entered", "ok"),
        ("completed", "ok"),
    ]


async def test_a_result_is_saved_and_shapes_what_follows_and_the_output(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.answers["count"] = {"rows": [1, 2, 3]}
    await house.define(
        {
            "a": {"action": do("count", save="counted"), "transitions": ways("b")},
            "b": {
                "action": {
                    "type": "tool",
                    "tool": "work",
                    "arguments": {
                        "what": "${input.label} ${length(counted.rows)}",
                        "number": "${counted.rows[2]}",
                    },
                },
                "transitions": ways("end"),
            },
            "end": {"terminal": "success", "output": {"last": "${result.number}", "said": "${result.what}"}},
        },
        input={"type": "object", "properties": {"label": {"type": "string", "default": "rows:"}}},
    )
    told = await house.data("run", name="job")
    assert (told["status"], told["output"]) == ("completed", {"last": 3, "said": "rows: 3"})


async def test_a_branch_is_taken_by_its_guard(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {
            "a": {"transitions": ways({"to": "big", "guard": "input.size > 10"}, "small")},
            "big": step("big", "ok"),
            "small": step("small", "ok"),
        }
    )
    await house.ended(await house.start(size=11))
    await house.ended(await house.start(size=10))
    assert house.hand.done == ["big", "small"]


async def test_choose_gives_the_event_of_the_first_that_holds(house: Any, autojump_clock: Clock) -> None:
    choices = [{"when": "input.n > 100", "event": "huge"}, {"when": "input.n > 10", "event": "big"}]
    await house.define(
        {
            "a": {
                "action": {"type": "choose", "choices": choices, "otherwise": "small"},
                "transitions": ways(*({"event": each, "to": each} for each in ("huge", "big", "small"))),
            },
            **{each: step(each, "ok") for each in ("huge", "big", "small")},
        }
    )
    for n in (1000, 50, 5):
        await house.ended(await house.start(n=n))
    assert house.hand.done == ["huge", "big", "small"]


async def test_a_loop_ends_by_its_exit_and_is_bounded(house: Any, autojump_clock: Clock) -> None:
    loop = {
        "begin": {"action": {"type": "set", "values": {"n": 0}}, "transitions": ways("body")},
        "body": step("turn", "count", max_visits=5),
        "count": {
            "action": {"type": "set", "values": {"n": "${n + 1}"}},
            "transitions": ways({"to": "body", "guard": "n < input.times"}, "ok"),
        },
    }
    await house.define(loop)
    assert (await house.ended(await house.start(times=3)))["status"] == "completed"
    assert house.hand.done == ["turn"] * 3
    told = await house.ended(await house.start(times=9))
    assert told["status"] == "failed"
    assert told["error"] == {"kind": "bound", "message": "body was entered more than 5 times"}


async def test_an_error_goes_to_its_transition_which_can_tell_its_kind(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("a", Conflict("taken already"))
    await house.define(
        {
            "a": step(
                "a", "ok", {"event": "error", "to": "mend", "guard": "error.kind == 'conflict'"}, {**ERROR}
            ),
            "mend": step("mend ${error.message}", "ok"),
        }
    )
    run = await house.start()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["mend taken already"]


async def test_a_failed_attempt_is_repeated_after_a_pause_that_doubles_and_then_succeeds(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("a", Unavailable("away", done=False), Unavailable("away still", done=False))
    await house.define({"a": step("a", "ok", retry={"attempts": 3, "backoff": 60})})
    began = trio.current_time()
    run = await house.start()
    assert (await house.ended(run))["status"] == "completed"
    assert 180 <= trio.current_time() - began < 190
    assert (await house.kinds(run)).count("retrying") == 2
    uid = house.hand.keys[0].split()[1]
    assert house.hand.keys == [f"procedure {uid} 2 3"]


async def test_when_its_attempts_are_used_up_the_error_goes_its_way(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("a", *(Unavailable("away", done=False) for _ in range(5)))
    await house.define(
        {"a": step("a", "ok", {"event": "error", "to": "b"}, retry={"attempts": 2}), "b": step("b", "ok")}
    )
    assert (await house.ended(await house.start()))["status"] == "completed"
    assert house.hand.done == ["b"]
    assert len(house.hand.failing["a"]) == 3


async def test_what_the_caller_did_wrong_is_not_repeated(house: Any, autojump_clock: Clock) -> None:
    house.hand.fail("a", InvalidArguments("never right"), Unavailable("not reached", done=False))
    await house.define({"a": step("a", "ok", retry={"attempts": 5})})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "invalid_arguments")
    assert len(house.hand.failing["a"]) == 1


async def test_when_no_guard_lets_it_out_a_state_fails(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": step("a", {"to": "ok", "guard": "result.number > 5"}, ERROR)})
    run = await house.start()
    told = await house.ended(run)
    assert told["status"] == "failed"
    assert "blocked" in await house.kinds(run)
    assert "no guard lets 'done' out of a" in told["error"]["message"]


async def test_a_state_that_takes_too_long_is_left_by_its_timeout(house: Any, autojump_clock: Clock) -> None:
    house.hand.hold("slow")
    await house.define(
        {"a": step("slow", "ok", {"event": "timeout", "to": "late"}, timeout=30), "late": step("late", "ok")}
    )
    run = await house.start()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["late"]


async def test_an_event_while_an_action_runs_is_kept_until_it_is_asked_for(
    house: Any, autojump_clock: Clock
) -> None:
    held = house.hand.hold("a")
    await house.define(
        {
            "a": step("a", "b"),
            "b": {
                "action": {"type": "await", "events": ["go"], "save": "said"},
                "transitions": ways({"event": "go", "to": "end"}),
            },
            "end": {"terminal": "success", "output": "${said.word}"},
        }
    )
    run = await house.start()
    await house.hand.begun["a"].wait()
    told = await house.data("signal", run=run, event="go", data={"word": "hop"})
    assert told["outcome"] == "kept"
    held.set()
    told = await house.ended(run)
    assert (told["status"], told["output"]) == ("completed", "hop")


async def test_an_event_that_the_state_listens_for_goes_before_the_end_of_its_action(
    house: Any, autojump_clock: Clock
) -> None:
    held = house.hand.hold("a")
    await house.define(
        {"a": step("a", "ok", {"event": "stop", "to": "stopped"}), "stopped": step("tidy", "ok")}
    )
    run = await house.start()
    await house.hand.begun["a"].wait()
    await house.data("signal", run=run, event="stop")
    held.set()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["a", "tidy"]  # the action was not torn apart


async def test_an_event_ends_a_wait_at_once_if_its_guard_holds(house: Any, autojump_clock: Clock) -> None:
    skip = {"event": "skip", "to": "ok", "guard": "event.data.sure == true"}
    await house.define(
        {
            "a": {"action": {"type": "wait", "seconds": 86_400}, "transitions": ways("late", skip)},
            "late": step("late", "ok"),
        }
    )
    run = await house.start()
    assert (await house.data("signal", run=run, event="skip", data={"sure": False}))["outcome"] == "blocked"
    assert (await house.data("signal", run=run, event="skip", data={"sure": True}))["outcome"] == "taken"
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == []


async def test_an_event_for_a_run_that_has_ended_is_refused(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": step("a", "ok")})
    run = await house.start()
    await house.ended(run)
    with pytest.raises(Conflict, match=r"has ended .completed.*comes too late"):
        await house.data("signal", run=run, event="go")
    with pytest.raises(NotFound, match="no run r99"):
        await house.data("signal", run="r99", event="go")


async def test_only_so_many_events_are_kept_and_none_that_actions_end_with(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.hold("a")
    await house.define({"a": step("a", "ok")})
    run = await house.start()
    await house.hand.begun["a"].wait()
    for _ in range(100):
        await house.data("signal", run=run, event="go")
    with pytest.raises(Busy, match="no more are kept"):
        await house.data("signal", run=run, event="go")
    with pytest.raises(InvalidArguments, match="is what actions end with"):
        await house.data("signal", run=run, event="done")
    await house.data("interrupt", run=run)


async def test_a_wait_lasts_as_long_as_it_says_and_costs_nothing_meanwhile(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(
        {"a": {"action": {"type": "wait", "seconds": "${input.minutes * 60}"}, "transitions": ways("ok")}}
    )
    began = trio.current_time()
    run = await house.start(minutes=5)
    assert (await house.data("status", run=run))["status"] == "waiting"
    assert (await house.ended(run))["status"] == "completed"
    assert 300 <= trio.current_time() - began < 305


async def test_an_approval_is_asked_for_and_its_answer_decides(house: Any, autojump_clock: Clock) -> None:
    ask = {"type": "await", "approval": "Ship ${input.what}?"}
    ends = ways({"event": "approved", "to": "ship"}, {"event": "rejected", "to": "bad"})
    await house.define({"a": {"action": ask, "transitions": ends}, "ship": step("ship", "ok")})
    told = await house.data(
        "run", name="job", input={"what": "v2"}
    )  # comes back as soon as somebody is asked
    assert told["waits_for"][0]["prompt"] == "Ship v2?"
    assert house.told("procedure:update")[-1].prompt == "Ship v2?"
    await house.data("signal", run=told["run"], event="approved")
    assert (await house.ended(told["run"]))["status"] == "completed"
    other = await house.start(what="v3")
    await house.data("signal", run=other, event="rejected")
    assert (await house.ended(other))["status"] == "failed"
    assert house.hand.done == ["ship"]


async def test_an_approval_has_a_deadline(house: Any, autojump_clock: Clock) -> None:
    ask = {"type": "await", "approval": "Ship?"}
    ends = ways(
        {"event": "approved", "to": "ok"},
        {"event": "rejected", "to": "bad"},
        {"event": "timeout", "to": "remind"},
    )
    await house.define(
        {"a": {"action": ask, "transitions": ends, "timeout": 300}, "remind": step("remind", "ok")}
    )
    assert (await house.ended(await house.start()))["status"] == "completed"
    assert house.hand.done == ["remind"]
