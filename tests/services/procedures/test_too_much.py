"""What is too much for one run, or for all: each with a clear error, and the run in a defined state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mimo.errors import Busy, InvalidArguments, UnknownTool
from mimo.gateway.capacity import Limit
from mimo.gateway.dispatch import Dispatch
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.procedures.effort import Knowledge, Nonsense
from mimo.services.procedures.expressions import holds
from mimo.services.procedures.folder import TRY_EVERY
from mimo.services.procedures.queueing import patient
from mimo.services.procedures.reading import from_text, problems_of
from mimo.services.procedures.templates import filled
from mimo.tool import Answer, Call, Capacity, Client, JsonObject, Tool


def do(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": "work", "arguments": {"what": what}, **more}


def to(name: str, **more: Any) -> list[dict[str, Any]]:
    return [{"to": name, **more}]


async def test_what_doubles_in_a_loop_fails_and_leads_where_errors_lead(
    house: Any, autojump_clock: MockClock
) -> None:
    doubling = {"type": "set", "values": {"a": ["${a}", "${a}"]}}
    await house.define(
        {
            "s": {"action": {"type": "set", "values": {"a": ["x"]}}, "transitions": to("d")},
            "d": {
                "action": doubling,
                "max_visits": 64,
                "transitions": [{"to": "d"}, {"event": "error", "to": "bad"}],
            },
        }
    )
    run = await house.start()
    told = await house.ended(run)
    assert told["status"] in {"failed", "rolled_back"}
    history = await house.data("history", run=run, limit=500)
    assert "more to be worked out" in json.dumps(history)


def test_a_guard_that_compares_too_much_says_so_and_the_next_turn_begins_anew() -> None:
    known = {"a": [list(range(1_000))] * 40, "b": [list(range(1_000))] * 40}
    context = Knowledge(known)
    assert holds("a[0] == b[0]", context)
    assert holds("a == b", context)
    with pytest.raises(Nonsense, match="more to be worked out"):
        holds("a == b", context)
    with pytest.raises(Nonsense, match="more to be worked out"):
        filled({"x": ["${a}"]}, context.and_also("c", 1))
    assert holds("a == b and a == b", known), "nobody counts outside of a turn"
    assert holds("a[0] == b[0]", Knowledge(known))


async def test_a_letter_that_is_too_large_is_refused_and_the_run_goes_on(
    house: Any, autojump_clock: MockClock
) -> None:
    await house.define(
        {"a": {"action": {"type": "await", "events": ["go"]}, "transitions": to("ok", event="go")}}
    )
    run = await house.start()
    for _ in range(2):
        with pytest.raises(InvalidArguments, match="may have 1,048,576"):
            await house.data("signal", run=run, event="go", data={"x": "y" * 1_100_000})
    assert (await house.data("status", run=run))["status"] == "waiting"
    await house.data("signal", run=run, event="go", data={"x": "y"})
    assert (await house.ended(run))["status"] == "completed"


async def test_letters_that_nobody_reads_have_an_end_together(house: Any, autojump_clock: MockClock) -> None:
    await house.define(
        {
            "a": {"action": {"type": "wait", "seconds": 60}, "transitions": to("b")},
            "b": {"action": {"type": "await", "events": ["go"]}, "transitions": to("ok", event="go")},
        }
    )
    run = await house.start()
    for _ in range(3):
        await house.data("signal", run=run, event="go", data={"x": "y" * 250_000})
    with pytest.raises(InvalidArguments, match="may have 1,048,576"):
        await house.data("signal", run=run, event="go", data={"x": "y" * 350_000})
    assert (await house.ended(run))["status"] == "completed"


async def test_a_result_that_makes_the_run_too_large_fails_its_action_which_is_taken_back(
    house: Any, autojump_clock: MockClock
) -> None:
    for n in range(6):
        house.hand.answers[f"do{n}"] = "y" * 200_000
    await house.define(
        {
            f"s{n}": {
                "action": do(f"do{n}"),
                "compensate": {"action": do(f"undo{n}")},
                "transitions": [*to(f"s{n + 1}" if n < 5 else "ok"), *to("bad", event="error")],
            }
            for n in range(6)
        }
    )
    run = await house.start()
    told = await house.ended(run)
    assert told["status"] == "rolled_back"
    done = [each for each in house.hand.done if each.startswith("do")]
    undone = [each for each in house.hand.done if each.startswith("undo")]
    assert 3 < len(done) < 6, "one of them was too much"
    assert undone == [f"un{each}" for each in reversed(done)], "the one that was too much, too"


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_many_names_are_read_in_a_moment_also_when_the_last_comes_twice(suffix: str) -> None:
    if suffix == ".yaml":
        pytest.importorskip("yaml")
    count = 8_000 if suffix == ".yaml" else 40_000
    names = [f'"n{n}": 1' for n in range(count)]
    text = "{" + ", ".join([*names, names[-1]]) + "}"
    began = time.process_time()
    with pytest.raises(InvalidArguments, match="twice"):
        from_text(text[:-1] + "}", f"x{suffix}")
    assert time.process_time() - began < 20, "a count for each name of each name takes minutes"


def unknown(name: str) -> tuple[Tool, JsonObject]:
    raise UnknownTool(f"no tool {name}")


def test_one_problem_hides_no_other() -> None:
    raw = {
        "name": "x",
        "initial": "a",
        "timeout": -1,
        "states": {
            "a": {"action": {"type": "tool", "tool": "t1"}, "timeout": -3, "transitions": to("p")},
            "b": {"terminal": "success"},
            "c": {"action": {"type": "tool", "tool": "t2"}, "transitions": to("q")},
            "d": {"action": {"type": "zip"}, "transitions": to("r")},
        },
    }
    places = {problem.place for problem in problems_of(raw, unknown)}
    assert places == {
        "timeout", "states.a.timeout", "states.a.action.tool", "states.a.transitions[0].to",
        "states.c.action.tool", "states.c.transitions[0].to", "states.d.action", "states.d.transitions[0].to",
    }  # fmt: skip


def test_what_is_missing_at_the_top_hides_nothing_below() -> None:
    raw = {"name": "X y", "states": {"a": {"action": {"type": "tool", "tool": "t"}, "transitions": to("p")}}}
    places = {problem.place for problem in problems_of(raw, unknown)}
    assert {"name", "initial", "states.a.action.tool", "states.a.transitions[0].to"} <= places


async def test_a_file_whose_tool_comes_later_is_tried_again(
    idle: Any, tmp_path: Path, autojump_clock: MockClock
) -> None:
    folder = tmp_path / "procedures"
    folder.mkdir()
    definition = {
        "name": "late",
        "initial": "a",
        "states": {
            "a": {"action": {"type": "tool", "tool": "later", "arguments": {}}, "transitions": to("ok")},
            "ok": {"terminal": "success"},
        },
    }
    (folder / "late.json").write_text(json.dumps(definition))
    async with idle.running():
        watched = idle.parts.folder
        await watched.look()
        await watched.look()
        assert "later" in watched.refused["late.json"]
        assert len(idle.told("procedure:refused")) == 1, "it is told once"
        work = idle.toolbox.find("work")
        idle.toolbox.add(Tool("later", work.arguments, work.handler))
        await trio.sleep(TRY_EVERY)
        await watched.look()
        assert not watched.refused
        assert await idle.text("list") == "late 1.0"


async def test_an_action_waits_for_a_place_and_is_not_refused(
    house: Any, autojump_clock: MockClock, hand: Any
) -> None:
    dispatch = Dispatch(house.toolbox, Events(), Metrics(), {Capacity.WRITE: Limit(1, 0)})
    free = hand.hold("first")
    call = patient(dispatch.call)
    answers: list[Answer] = []

    async def work(what: str) -> None:
        answers.append(await call("work", {"what": what}, Call(what, Client())))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, "first")
        await hand.begun["first"].wait()
        with pytest.raises(Busy):
            await dispatch.call("work", {"what": "second"}, Call("2", Client()))
        nursery.start_soon(work, "second")
        await trio.sleep(20)
        assert hand.done == []
        free.set()
    assert hand.done == ["first", "second"]


async def test_a_tool_that_is_busy_itself_says_so(house: Any, autojump_clock: MockClock) -> None:
    house.hand.fail("one", Busy("come back tomorrow"))
    call: Callable[..., Any] = patient(house.dispatch.call)
    with pytest.raises(Busy, match="tomorrow"):
        await call("work", {"what": "one"}, Call("1", Client()))
