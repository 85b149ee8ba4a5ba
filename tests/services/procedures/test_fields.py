"""Whatever may stand beside an action works, or is refused with its place; nothing is accepted and ignored."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import Began, Pause, Resume, TimePassed
from mimo.services.procedures.reading import problems_of
from mimo.services.procedures.runs import Status, from_json, to_json


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


def undo(what: str) -> dict[str, Any]:
    return {"action": do(what)}


LATE = [{"to": "ok"}, {"event": "timeout", "to": "late"}]
ACTIONS: dict[str, Any] = {
    "tool": do("a"),
    "procedure": {"type": "procedure", "procedure": "other"},
    "wait": {"type": "wait", "seconds": 1},
    "await": {"type": "await", "events": ["done_it"]},
    "parallel": {"type": "parallel", "branches": {"x": {"action": do("x")}}},
    "set": {"type": "set", "values": {"n": 1}},
    "log": {"type": "log", "message": "hello"},
    "choose": {"type": "choose", "choices": [{"when": "true", "event": "done"}], "otherwise": "done"},
    "fail": {"type": "fail", "message": "no"},
    "none": None,
}
FIELDS: dict[str, Any] = {
    "retry": {"attempts": 2},
    "timeout": 5,
    "compensate": undo("back"),
    "max_visits": 3,
    "output": "text",
    "rollback": False,
}
TAKEN = {
    "retry": {"tool", "procedure"},
    "timeout": {"tool", "procedure", "wait", "await", "parallel"},
    "compensate": {"tool", "procedure", "wait", "await", "parallel", "set", "log", "none"},
    "max_visits": set(ACTIONS),
    "output": set[str](),
    "rollback": set[str](),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_field_that_an_action_has_no_use_for_is_refused_with_its_place(
    house: Any, autojump_clock: Clock, action: str, field: str
) -> None:
    events = [{"event": "done_it", "to": "ok"}] if action == "await" else to("ok")
    state = {"action": ACTIONS[action], "transitions": events, field: FIELDS[field]}
    if ACTIONS[action] is None:
        del state["action"]
    definition = {"name": "job", "initial": "a", "states": {"a": state, "ok": {"terminal": "success"}}}
    problems = (await house.data("validate", definition=definition))["problems"]
    places = [each["place"] for each in problems]
    assert places == ([] if action in TAKEN[field] else [f"states.a.{field}"])


async def test_fields_of_branches_ends_and_ways_back_are_judged_too(
    house: Any, autojump_clock: Clock
) -> None:
    log = {"action": {"type": "log", "message": "back"}, "retry": {"attempts": 2}, "timeout": 5}
    branches = {
        "w": {"action": ACTIONS["wait"], "retry": {"attempts": 2}, "compensate": log},
        "t": {"action": do("t"), "retry": {"attempts": 2}, "timeout": 5, "compensate": undo("back")},
    }
    states = {
        "a": {"action": {"type": "parallel", "branches": branches}, "transitions": to("ok")},
        "ok": {"terminal": "success", "rollback": False, "max_visits": 2},
    }
    told = await house.data("validate", definition={"name": "job", "initial": "a", "states": states})
    assert [each["place"] for each in told["problems"]] == [
        "states.a.action.branches.w.retry",
        "states.a.action.branches.w.compensate.retry",
        "states.a.action.branches.w.compensate.timeout",
        "states.ok.max_visits",
        "states.ok.rollback",
    ]


@pytest.mark.parametrize(
    ("wait", "why"),
    [
        ({"seconds": "abc"}, "states.a.action.seconds: must be a number, or a template that gives one (got 'abc')"),
        ({"seconds": "5"}, "states.a.action.seconds: must be a number"),
        ({"seconds": "$${input.x}"}, "states.a.action.seconds: must be a number"),
        ({"until": "tomorrow"}, "states.a.action.until: must be a time like 2031-05-23T09:30:00Z, or a template"),
        ({"until": "2031-02-30"}, "states.a.action.until: must be a time"),
        ({"until": "9999-12-31T23:59:59-12:00"}, "states.a.action.until: must be a time"),
        ({"until": "2031-02-28"}, ""),
        ({"until": "2031-02-28T10:00:00+02:00"}, ""),
        ({"until": "${input.at}"}, ""),
        ({"until": "${input.day}T09:00:00Z"}, ""),
        ({"seconds": "${input.n}"}, ""),
        ({"seconds": 0.5}, ""),
    ],
)  # fmt: skip
def test_a_wait_whose_time_is_none_is_refused_when_it_is_defined(wait: dict[str, Any], why: str) -> None:
    for action in ({"type": "wait", **wait}, parallel(x={"action": {"type": "wait", **wait}})):
        states = {"a": {"action": action, "transitions": to("ok")}, "ok": {"terminal": "success"}}
        problems = problems_of({"name": "job", "initial": "a", "states": states}, nothing)
        where = (
            why.replace("action.", "action.branches.x.action.", 1) if action["type"] == "parallel" else why
        )
        assert [str(each)[: len(where)] for each in problems] == ([where] if why else [])


def test_two_results_are_not_saved_under_one_name() -> None:
    branches = {
        name: {"action": {"type": "await", "events": ["go"], "save": save}}
        for name, save in (("x", "one"), ("y", "two"), ("z", "one"), ("w", "all"))
    }
    action = {"type": "parallel", "branches": branches, "save": "all"}
    states = {"a": {"action": action, "transitions": to("ok")}, "ok": {"terminal": "success"}}
    problems = problems_of({"name": "job", "initial": "a", "states": states}, nothing)
    assert [str(each) for each in problems] == [
        "states.a.action.branches.z.action.save: 'one' has the result of branch 'x'; choose another name",
        "states.a.action.branches.w.action.save: 'all' has the results of all branches; choose another name",
    ]


def parallel(**branches: Any) -> dict[str, Any]:
    return {"type": "parallel", "branches": branches}


def nothing(name: str) -> Any:
    pytest.fail(name)


async def test_a_wait_is_left_by_its_timeout_if_that_is_earlier(house: Any, autojump_clock: Clock) -> None:
    wait = {"type": "wait", "seconds": "${input.seconds}"}
    late = {"action": do("late"), "transitions": to("ok")}
    await house.define({"a": {"action": wait, "timeout": 30, "transitions": LATE}, "late": late})
    assert (await house.ended(await house.start(seconds=20)))["status"] == "completed"
    assert house.hand.done == []
    began = trio.current_time()
    assert (await house.ended(await house.start(seconds=4_000)))["status"] == "completed"
    assert house.hand.done == ["late"]
    assert 30 <= trio.current_time() - began < 60


async def test_a_branch_that_waits_has_a_timeout(house: Any, autojump_clock: Clock) -> None:
    branches = {"x": {"action": {"type": "wait", "seconds": 4_000}, "timeout": 30}}
    await house.define({"a": {"action": {"type": "parallel", "branches": branches}, "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "timeout")
    assert trio.current_time() < 1_000


async def test_all_branches_together_have_a_timeout_and_what_was_done_or_may_be_is_taken_back(
    house: Any, autojump_clock: Clock
) -> None:
    branches = {
        "quick": {"action": do("quick"), "compensate": undo("not quick")},
        "slow": {"action": do("slow"), "compensate": undo("not slow")},
        "asked": {"action": {"type": "await", "events": ["never"]}},
    }
    house.hand.hold("slow")
    action = {"type": "parallel", "branches": branches}
    await house.define({"a": {"action": action, "timeout": 60, "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("rolled_back", "timeout")
    assert house.hand.done == ["quick", "not slow", "not quick"]


async def test_the_timeout_of_all_branches_goes_its_way_and_ends_with_the_state(
    house: Any, autojump_clock: Clock
) -> None:
    branches = {"x": {"action": {"type": "wait", "seconds": "${input.seconds}"}}}
    action = {"type": "parallel", "branches": branches}
    rest = {"action": {"type": "wait", "seconds": 300}, "transitions": to("ok")}
    ways = [{"to": "rest"}, {"event": "timeout", "to": "late"}]
    late = {"action": do("late"), "transitions": to("ok")}
    await house.define(
        {"a": {"action": action, "timeout": 60, "transitions": ways}, "rest": rest, "late": late}
    )
    assert (await house.ended(await house.start(seconds=30)))["status"] == "completed"
    assert house.hand.done == []
    assert (await house.ended(await house.start(seconds=90)))["status"] == "completed"
    assert house.hand.done == ["late"]


def test_the_timeout_of_all_branches_outlasts_a_restart() -> None:
    branches = {"x": {"action": {"type": "await", "events": ["never"]}}}
    action = {"type": "parallel", "branches": branches}
    states = {
        "a": {"action": action, "timeout": 60, "transitions": LATE},
        "ok": {"terminal": "success"},
        "late": {"terminal": "success"},
    }
    definition = Definition.model_validate({"name": "q", "initial": "a", "states": states})
    run = advance(definition, new_run(1, "u", definition, {}, 0), Began(), 0).run
    assert run.wake == 60_000
    again = from_json(1, run.status.value, to_json(run), run.context)
    ended = advance(definition, again, TimePassed(), 60_000).run
    assert (ended.status, ended.state, ended.wake) == (Status.COMPLETED, "late", None)


async def test_a_way_back_of_all_branches_together_is_gone_before_theirs(
    house: Any, autojump_clock: Clock
) -> None:
    branches = {name: {"action": do(name), "compensate": undo(f"not {name}")} for name in ("x", "y")}
    action = {"type": "parallel", "branches": branches}
    states = {
        "a": {"action": action, "compensate": undo("not both, ${result.x.what}"), "transitions": to("bad")}
    }
    await house.define(states)
    assert (await house.ended(await house.start()))["status"] == "rolled_back"
    assert house.hand.done[2] == "not both, x"
    assert sorted(house.hand.done) == ["not both, x", "not x", "not y", "x", "y"]


async def test_a_rejection_that_comes_before_a_branch_asks_is_one(house: Any, autojump_clock: Clock) -> None:
    branches = {
        "boss": {"action": {"type": "await", "approval": "Go?"}},
        "x": {"action": do("x"), "compensate": undo("not x")},
    }
    await house.define(
        {
            "prepare": {"action": {"type": "wait", "seconds": 60}, "transitions": to("both")},
            "both": {
                "action": {"type": "parallel", "branches": branches},
                "transitions": [{"to": "ok"}, {"event": "error", "to": "bad"}],
            },
        }
    )
    run = await house.start()
    assert (await house.data("signal", run=run, event="rejected"))["outcome"] == "kept"
    told = await house.ended(run)
    assert (told["status"], told["state"]) == ("failed", "bad")
    assert "boss was rejected" in told["error"]["message"]
    assert ("event", "both") in await house.lines(run)
    assert house.hand.done == []


async def test_an_approval_that_comes_before_a_branch_asks_has_its_way_back(
    house: Any, autojump_clock: Clock
) -> None:
    branches = {"boss": {"action": {"type": "await", "approval": "Go?"}, "compensate": undo("tell boss")}}
    await house.define(
        {
            "prepare": {"action": {"type": "wait", "seconds": 60}, "transitions": to("both")},
            "both": {"action": {"type": "parallel", "branches": branches}, "transitions": to("bad")},
        }
    )
    run = await house.start()
    await house.data("signal", run=run, event="approved")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["tell boss"]


async def test_an_event_while_it_is_paused_is_taken_when_it_goes_on_though_only_a_transition_listens(
    house: Any, autojump_clock: Clock
) -> None:
    skip = {"event": "skip", "to": "ok", "guard": "event.data.sure == true"}
    await house.define(
        {"a": {"action": {"type": "wait", "seconds": 86_400}, "transitions": [{"to": "bad"}, skip]}}
    )
    run = await house.start()
    await house.data("pause", run=run)
    for sure in (False, True):
        assert (await house.data("signal", run=run, event="skip", data={"sure": sure}))["outcome"] == "kept"
    await house.data("resume", run=run)
    assert (await house.ended(run))["status"] == "completed"
    assert trio.current_time() < 3_600


async def test_an_event_that_no_guard_lets_through_changes_nothing(house: Any, autojump_clock: Clock) -> None:
    ways = [
        {"to": "end"},
        {"event": "go", "to": "end", "guard": "event.data.n > 5"},
    ]
    await house.define(
        {
            "a": {"action": {"type": "wait", "seconds": 50}, "transitions": ways},
            "end": {"terminal": "success"},
        }
    )
    run = await house.start()
    assert (await house.data("signal", run=run, event="go", data={"n": 1}))["outcome"] == "blocked"
    _, state = await house.parts.service.found(int(run[1:]))
    assert "event" not in state.context


def test_a_wait_until_a_time_that_is_far_away_lasts_until_then() -> None:
    until = {"type": "wait", "until": "2031-05-23T09:30:00Z"}
    states = {"a": {"action": until, "transitions": to("ok")}, "ok": {"terminal": "success"}}
    definition = Definition.model_validate({"name": "q", "initial": "a", "states": states})
    now, then = 1_600_000_000_000, 1_937_295_000_000
    run = advance(definition, new_run(1, "u", definition, {}, now), Began(), now).run
    assert run.wake == then
    assert advance(definition, run, TimePassed(), then - 1).run.status is Status.WAITING
    assert advance(definition, run, TimePassed(), then).run.status is Status.COMPLETED


async def test_a_failure_that_nobody_catches_needs_no_transitions(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": {"action": {"type": "fail", "message": "no way", "kind": "closed"}}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "closed")


ROUND: dict[str, Any] = {
    "begin": {"action": {"type": "set", "values": {"n": 0}}, "transitions": to("body")},
    "body": {
        "action": {"type": "set", "values": {"n": "${n + 1}"}},
        "transitions": [{"to": "body", "guard": "n < input.times"}, {"to": "end"}],
        "max_visits": 10_000,
    },
    "end": {"terminal": "success", "output": "${n}"},
}


async def test_as_many_rounds_as_are_allowed_are_made_though_they_only_compute(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(ROUND)
    told = await house.ended(await house.start(times=3_000))
    assert (told["status"], told["output"]) == ("completed", 3_000)
    assert house.parts.runner.turns > 3  # others had theirs meanwhile


def test_what_rests_in_the_midst_of_its_rounds_outlasts_a_restart_and_a_pause() -> None:
    whole = {"name": "q", "initial": "begin", "states": ROUND}
    definition = Definition.model_validate(whole)
    run = advance(definition, new_run(1, "u", definition, {"times": 700}, 0), Began(), 5).run
    assert (run.status, run.wake) == (Status.WAITING, 5)
    paused = advance(definition, run, Pause(), 6).run
    assert paused.wake is None
    assert advance(definition, paused, TimePassed(), 7).run.context["n"] == run.context["n"]
    resumed = advance(definition, paused, Resume(), 8).run
    assert (resumed.status, resumed.output) == (Status.COMPLETED, 700)
    again = from_json(1, run.status.value, to_json(run), run.context)
    assert advance(definition, again, TimePassed(), 9).run.output == 700
