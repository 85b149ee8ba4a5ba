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


def undo(what: str) -> dict[str, Any]:
    return {"action": do(what)}


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
    house.hand.fail("a", Unavailable("away"), Unavailable("away still"))
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
    house.hand.fail("a", *(Unavailable("away") for _ in range(5)))
    await house.define(
        {"a": step("a", "ok", {"event": "error", "to": "b"}, retry={"attempts": 2}), "b": step("b", "ok")}
    )
    assert (await house.ended(await house.start()))["status"] == "completed"
    assert house.hand.done == ["b"]
    assert len(house.hand.failing["a"]) == 3


async def test_what_the_caller_did_wrong_is_not_repeated(house: Any, autojump_clock: Clock) -> None:
    house.hand.fail("a", InvalidArguments("never right"), Unavailable("not reached"))
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


async def test_the_run_as_a_whole_has_a_timeout_and_takes_back_what_was_done(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.hold("slow")
    await house.define(
        {"a": step("quick", "b", compensate=undo("unquick")), "b": step("slow", "ok", ERROR, timeout=3_000)},
        timeout=600,
    )
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("rolled_back", "timeout")
    assert house.hand.done == ["quick", "unquick"]


async def test_what_was_done_is_taken_back_in_reverse_order_with_its_results(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("c", Conflict("no"))
    house.hand.answers["a"] = {"id": "A7"}
    await house.define(
        {
            "a": step("a", "b", compensate=undo("not ${result.id}")),
            "b": step("b", "c", compensate=undo("not b")),
            "c": step("c", "ok", compensate=undo("not c")),
        }
    )
    run = await house.start()
    told = await house.ended(run)
    assert (told["status"], told["error"]) == ("rolled_back", {"kind": "conflict", "message": "no"})
    assert house.hand.done == ["a", "b", "not b", "not A7"]
    assert [kind for kind in await house.kinds(run) if "und" in kind] == ["undoing", "undone"] * 2


async def test_a_failure_that_was_drawn_takes_back_too_unless_it_says_not_to(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("b", *(Conflict("no") for _ in range(2)))
    states = {"a": step("a", "b", compensate=undo("not a")), "b": step("b", "ok", ERROR)}
    await house.define(states)
    assert (await house.ended(await house.start()))["status"] == "rolled_back"
    await house.define({**states, "bad": {"terminal": "failure", "rollback": False}}, name="kept")
    assert (await house.ended(await house.start("kept")))["status"] == "failed"
    assert house.hand.done == ["a", "not a", "a"]


async def test_a_compensation_that_fails_waits_for_a_person_and_goes_on_from_there(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("c", Conflict("no"))
    house.hand.fail("not b", Conflict("stuck"))
    await house.define(
        {
            "a": step("a", "b", compensate=undo("not a")),
            "b": step("b", "c", compensate=undo("not b")),
            "c": step("c", "ok"),
        }
    )
    run = await house.start()
    assert (await house.ended(run))["status"] == "needs_attention"
    assert house.hand.done == ["a", "b"]
    assert "needs attention in b: stuck" in await house.text("status", run=run)
    await house.data("retry", run=run)
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["a", "b", "not b", "not a"]


async def test_a_compensation_may_also_be_told_as_done(house: Any, autojump_clock: Clock) -> None:
    house.hand.fail("b", Conflict("no"))
    house.hand.fail("not a", Conflict("stuck"))
    await house.define({"a": step("a", "b", compensate=undo("not a")), "b": step("b", "ok")})
    run = await house.start()
    assert (await house.ended(run))["status"] == "needs_attention"
    with pytest.raises(Conflict, match="done again"):
        await house.data("signal", run=run, event="error")
    await house.data("signal", run=run, event="done")
    assert (await house.ended(run))["status"] == "rolled_back"


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


async def test_a_child_runs_and_its_output_is_the_result(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {
            "x": step("inner ${input.n}", "end"),
            "end": {"terminal": "success", "output": {"n": "${input.n * 2}"}},
        },
        name="inner",
    )
    call = {"type": "procedure", "procedure": "inner", "input": {"n": "${input.n}"}, "save": "got"}
    await house.define(
        {
            "a": {"action": call, "transitions": ways("end")},
            "end": {"terminal": "success", "output": "${got.n}"},
        }
    )
    run = await house.start(n=21)
    told = await house.ended(run)
    assert (told["status"], told["output"]) == ("completed", 42)
    (child,) = (await house.data("list", name="inner"))["runs"]
    assert (await house.data("status", run=child["run"]))["parent"] == run


async def test_a_child_that_fails_fails_its_parent_which_can_try_another(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("inner", Conflict("no"), Conflict("no"))
    await house.define(
        {"x": step("before", "y", compensate=undo("not before")), "y": step("inner", "ok")}, name="inner"
    )
    call = {"action": {"type": "procedure", "procedure": "inner"}, "transitions": ways("ok")}
    await house.define({"a": call})
    told = await house.ended(await house.start())
    assert told["status"] == "failed"
    assert told["error"] == {"kind": "child", "message": "the child rolled_back: no"}
    await house.define({"a": {**call, "retry": {"attempts": 2, "backoff": 1}}}, name="again")
    assert (await house.ended(await house.start("again")))["status"] == "completed"
    assert house.hand.done == ["before", "not before"] * 2 + ["before", "inner"]


async def test_a_child_that_is_not_there_and_one_that_calls_itself_fail_their_parents(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(
        {"a": {"action": {"type": "procedure", "procedure": "nowhere"}, "transitions": ways("ok")}}
    )
    told = await house.ended(await house.start())
    assert "no procedure 'nowhere'" in told["error"]["message"]
    await house.define(
        {"a": {"action": {"type": "procedure", "procedure": "snake"}, "transitions": ways("ok")}},
        name="snake",
    )
    told = await house.ended(await house.start("snake"))
    assert told["status"] == "failed"
    assert len((await house.data("list", name="snake"))["runs"]) == 8


def parallel(**branches: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "parallel", "branches": branches, "save": "all"}


async def test_branches_run_at_once_and_are_joined(house: Any, autojump_clock: Clock) -> None:
    one, two = house.hand.hold("one"), house.hand.hold("two")
    branches = parallel(
        one={"action": do("one")}, two={"action": do("two")}, rest={"action": {"type": "wait", "seconds": 5}}
    )
    await house.define(
        {
            "a": {"action": branches, "transitions": ways("end")},
            "end": {"terminal": "success", "output": "${all.two.what} ${all.one.what}"},
        }
    )
    run = await house.start()
    await house.hand.begun["one"].wait()
    await house.hand.begun["two"].wait()
    two.set()
    one.set()
    told = await house.ended(run)
    assert (told["status"], told["output"]) == ("completed", "two one")


async def test_when_one_branch_fails_the_others_end_what_they_began_and_all_is_taken_back(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("bad", Conflict("no"))
    held = house.hand.hold("good")
    branches = parallel(
        good={"action": do("good"), "compensate": undo("not good")},
        bad={"action": do("bad")},
        later={"action": {"type": "wait", "seconds": 86_400}},
        asked={"action": {"type": "await", "events": ["never"]}},
    )
    await house.define({"a": {"action": branches, "transitions": ways("ok")}})
    run = await house.start()
    await house.hand.begun["good"].wait()
    held.set()
    told = await house.ended(run)
    assert (told["status"], told["error"]["message"]) == ("rolled_back", "bad: no")
    assert house.hand.done == ["good", "not good"]
    assert trio.current_time() < 3_600


async def test_a_branch_may_await_an_approval(house: Any, autojump_clock: Clock) -> None:
    branches = parallel(ask={"action": {"type": "await", "approval": "Well?"}}, work={"action": do("work")})
    await house.define({"a": {"action": branches, "transitions": ways("ok", ERROR)}})
    first, second = await house.start(), await house.start()
    await house.data("signal", run=first, event="approved")
    await house.data("signal", run=second, event="rejected")
    assert (await house.ended(first))["status"] == "completed"
    assert "ask was rejected" in (await house.ended(second))["error"]["message"]


async def test_two_versions_live_and_a_run_finishes_on_its_own(house: Any, autojump_clock: Clock) -> None:
    held = house.hand.hold("one")
    await house.define({"a": step("one", "b"), "b": step("old", "ok")}, version="1.9")
    old = await house.start()
    await house.hand.begun["one"].wait()
    await house.define({"a": step("one", "b"), "b": step("new", "ok")}, version="1.10")
    new = await house.start()
    pinned = (await house.data("run", name="job", version="1.9", wait=0))["run"]
    await house.data("deactivate", name="job", version="1.9")
    held.set()
    told = [(await house.ended(run))["version"] for run in (old, new, pinned)]
    assert told == ["1.9", "1.10", "1.9"]
    assert sorted(house.hand.done) == ["new", "old", "old", "one", "one", "one"]


async def test_fifty_runs_of_one_procedure_do_not_mix(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {
            "a": {
                "action": {
                    "type": "tool",
                    "tool": "work",
                    "arguments": {"what": "a", "number": "${input.n}"},
                    "save": "a",
                },
                "transitions": ways("b"),
            },
            "b": {
                "action": {
                    "type": "tool",
                    "tool": "read",
                    "arguments": {"number": "${a.number + 1000}"},
                    "save": "b",
                },
                "transitions": ways("end"),
            },
            "end": {"terminal": "success", "output": ["${input.n}", "${a.number}", "${b.number}"]},
        }
    )
    runs: dict[int, str] = {}

    async def one(n: int) -> None:
        runs[n] = await house.start(n=n)

    async with trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(one, n)
    for n, run in runs.items():
        assert (await house.ended(run))["output"] == [n, n, n + 1000]
    assert len(set(house.hand.keys)) == 100
