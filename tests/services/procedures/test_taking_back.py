"""What was done is taken back: in reverse order, with its results, by a person where it must."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from trio.abc import Clock

from mimo.errors import Busy, Conflict, Unavailable


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


RESTS = Unavailable("work rests after too many failures", done=False)  # as an open breaker says it


async def test_a_compensation_that_was_not_even_begun_is_tried_again_by_itself(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("b", Conflict("no"))
    house.hand.fail("not a", RESTS, Busy("full"), RESTS)
    await house.define({"a": step("a", "b", compensate=undo("not a")), "b": step("b", "ok")})
    run = await house.start()
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["a", "not a"]
    assert (await house.kinds(run)).count("retrying") == 3


async def test_a_compensation_that_is_never_begun_waits_for_a_person_after_some_minutes(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("b", Conflict("no"))
    house.hand.fail("not a", *[RESTS] * 20)
    await house.define({"a": step("a", "b", compensate=undo("not a")), "b": step("b", "ok")})
    run, began = await house.start(), house.clock()
    assert (await house.ended(run))["status"] == "needs_attention"
    assert 60_000 < house.clock() - began < 300_000, "longer than a breaker rests, and not for ever"
    assert (await house.kinds(run)).count("retrying") == 7
    house.hand.failing.clear()
    await house.data("retry", run=run)
    assert (await house.ended(run))["status"] == "rolled_back"


@pytest.mark.parametrize("retry", [{"attempts": 1}, None])
async def test_only_what_was_not_begun_is_taken_back_again_and_only_where_nothing_else_is_said(
    house: Any, autojump_clock: Clock, retry: Any
) -> None:
    house.hand.fail("b", Conflict("no"))
    house.hand.fail("not a", RESTS if retry else Unavailable("gone in the middle"))
    way_back = {**undo("not a"), **({"retry": retry} if retry else {})}
    await house.define({"a": step("a", "b", compensate=way_back), "b": step("b", "ok")})
    run = await house.start()
    assert (await house.ended(run))["status"] == "needs_attention"
    assert "retrying" not in await house.kinds(run)


WITH_RESULT = "not ${result}"


@pytest.mark.parametrize("how", ["late", "gone", "too large", "too deep"])
async def test_what_nobody_knows_is_not_taken_back_with_null(
    house: Any, autojump_clock: Clock, how: str
) -> None:
    if how == "late":
        house.hand.hold("a")
    elif how == "gone":
        house.hand.lose("a", Unavailable("the skill has ended"))
    else:
        house.hand.answers["a"] = "x" * 300_000 if how == "too large" else json.loads("[" * 200 + "]" * 200)
    await house.define(
        {
            "first": step("first", "a", compensate=undo("not first")),
            "a": step("a", "ok", compensate=undo(WITH_RESULT), timeout=5),
        }
    )
    run = await house.start()
    told = await house.ended(run)
    assert told["status"] == "needs_attention"
    assert "there is no 'result'" in told["error"]["message"]
    assert "what a gave is not known" in await house.text("status", run=run)
    await house.data("retry", run=run)
    assert (await house.ended(run))["status"] == "needs_attention"
    assert "not null" not in house.hand.done
    await house.data("signal", run=run, event="done")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done[-1] == "not first"


async def test_what_nobody_knows_stays_unknown_after_a_restart(idle: Any, autojump_clock: Clock) -> None:
    async with idle.running():
        idle.hand.lose("a", Unavailable("the skill has ended"))
        states = {"a": step("a", "w", {"event": "error", "to": "w"}, compensate=undo(WITH_RESULT))}
        wait = {"action": {"type": "wait", "seconds": 50}, "transitions": ways("bad")}
        await idle.define({**states, "w": wait})
        run = await idle.start()
        await idle.until(run, "waiting", "w")
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "needs_attention"
        assert idle.hand.done == ["a"]


async def test_a_result_that_is_null_is_one(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {
            "a": {"action": {"type": "await", "events": ["go"]}, "transitions": [{"event": "go", "to": "bad"}],
                  "compensate": undo(WITH_RESULT)},
        }
    )  # fmt: skip
    run = await house.start()
    await house.data("signal", run=run, event="go")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["not null"]
