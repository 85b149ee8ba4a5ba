"""Several at once: children, branches, versions, and fifty runs that do not mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio
from trio.abc import Clock

from mimo.errors import Conflict


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
