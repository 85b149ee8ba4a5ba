"""What a person or an agent may do with runs: interrupt, pause, resume, retry, ask, list; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.errors import Conflict, Forbidden, InvalidArguments, NotFound
from mimo.tool import Call, Client


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


def undo(what: str) -> dict[str, Any]:
    return {"action": do(what)}


INNER = {"x": {"action": do("held", "read"), "transitions": to("ok"), "compensate": undo("not inner")}}
ACTIONS: dict[str, dict[str, Any]] = {
    "tool": do("held", "read"),
    "wait": {"type": "wait", "seconds": 1_000},
    "await": {"type": "await", "events": ["done_by_hand"]},
    "approval": {"type": "await", "approval": "Well?"},
    "parallel": {
        "type": "parallel",
        "branches": {"x": {"action": do("held", "read")}, "y": {"action": do("quick")}},
    },
    "procedure": {"type": "procedure", "procedure": "inner"},
    "retry": do("failing", "read"),
}


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("rollback", [False, True])
async def test_every_kind_of_action_can_be_interrupted_and_taken_back_or_resumed(
    house: Any, kind: str, rollback: bool, autojump_clock: Clock
) -> None:
    held = house.hand.hold("held")
    house.hand.fail("failing", TimeoutError("a bug, as far as anybody knows"))
    await house.define(INNER, name="inner")
    events = [{"event": each, "to": "end"} for each in ("done_by_hand", "approved", "rejected")]
    await house.define(
        {
            "first": {"action": do("first"), "transitions": to("it"), "compensate": undo("not first")},
            "it": {
                "action": ACTIONS[kind],
                "transitions": [{"to": "end"}, *events],
                **({"retry": {"attempts": 2, "backoff": 500}} if kind == "retry" else {}),
            },
            "end": {"terminal": "success"},
        }
    )
    run = await house.start()
    if kind in {"tool", "parallel", "procedure"}:
        await house.hand.begun["held"].wait()
    await house.until(run, "running" if kind in {"tool", "parallel"} else "waiting", "it")
    told = await house.data("interrupt", run=run, rollback=rollback)
    if rollback:
        told = await house.ended(run)
        assert (told["status"], told["error"]["kind"]) == ("rolled_back", "interrupted")
        assert house.hand.done[-1] == "not first"
        assert house.hand.done.count("not first") == 1
        if kind == "procedure":
            assert house.hand.done == ["first", "not inner", "not first"]
        return
    assert told["status"] == "interrupted"
    await trio.sleep(5_000)
    assert (await house.data("status", run=run))["status"] == "interrupted"
    with pytest.raises(Conflict, match="interrupted already"):
        await house.data("interrupt", run=run)
    held.set()
    await house.data("resume", run=run)
    if kind in {"await", "approval"}:
        await house.data("signal", run=run, event="done_by_hand" if kind == "await" else "rejected")
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done[0] == "first"
    assert "not first" not in house.hand.done


async def test_an_interrupted_action_that_may_harm_needs_attention_when_it_is_resumed(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.hold("held")
    await house.define({"a": {"action": do("held"), "transitions": to("ok")}})
    run = await house.start()
    await house.hand.begun["held"].wait()
    await house.data("interrupt", run=run)
    assert (await house.data("resume", run=run))["status"] == "needs_attention"
    await house.data("signal", run=run, event="done")
    assert (await house.ended(run))["status"] == "completed"


async def test_what_is_paused_ends_what_it_began_and_begins_nothing(
    house: Any, autojump_clock: Clock
) -> None:
    held = house.hand.hold("one")
    await house.define(
        {
            "a": {"action": do("one"), "transitions": to("b")},
            "b": {"action": do("two"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    await house.hand.begun["one"].wait()
    assert (await house.data("pause", run=run))["paused"] is True
    held.set()
    await house.until(run, "waiting", "b")
    await trio.sleep(1_000)
    assert house.hand.done == ["one"]
    assert "(paused)" in await house.text("status", run=run)
    await house.data("resume", run=run)
    assert (await house.ended(run))["status"] == "completed"
    with pytest.raises(Conflict, match="has ended"):
        await house.data("pause", run=run)


async def test_while_it_stands_still_no_timeout_runs(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {"a": {"action": {"type": "await", "events": ["go"]}, "transitions": [{"event": "go", "to": "ok"}]}},
        timeout=60,
    )
    run = await house.start()
    await house.data("pause", run=run)
    await trio.sleep(600)
    assert (await house.data("signal", run=run, event="go"))["outcome"] == "kept"
    await house.data("resume", run=run)
    assert (await house.ended(run))["status"] == "completed"
    with pytest.raises(Conflict, match="ended"):
        await house.data("resume", run=run)


async def test_a_failed_run_is_tried_again_from_where_it_failed_or_from_a_state(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.fail("two", Conflict("no"), Conflict("no"))
    await house.define(
        {
            "a": {"action": do("one"), "transitions": to("b")},
            "b": {"action": do("two"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    assert (await house.ended(run))["status"] == "failed"
    await house.data("retry", run=run)
    assert (await house.ended(run))["status"] == "failed"
    await house.data("retry", run=run, state="a")
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["one", "one", "two"]
    with pytest.raises(NotFound, match="no state 'zz'; there are: a, b, ok"):
        await house.data("retry", run=run, state="zz")
    with pytest.raises(Conflict, match="completed is not tried again"):
        await house.data("retry", run=run)


async def test_only_so_many_run_at_once_and_any_number_waits(house_of: Any, autojump_clock: Clock) -> None:
    async with house_of(3) as house:
        held = house.hand.hold("one")
        await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
        await house.define(
            {"a": {"action": {"type": "wait", "seconds": 3}, "transitions": to("ok")}}, name="wait"
        )
        waiting = [await house.start("wait") for _ in range(20)]
        runs = [await house.start() for _ in range(10)]
        assert len((await house.data("list", status="running"))["runs"]) == 3
        assert len((await house.data("list", status="pending"))["runs"]) == 7
        assert (await house.ended(waiting[0]))["status"] == "completed"
        interrupted = runs[5]
        await house.data("interrupt", run=interrupted)
        held.set()
        assert [(await house.ended(run))["status"] for run in runs].count("completed") == 9
        assert house.parts.runner.places.running == house.parts.runner.places.waiting == 0


async def test_a_run_is_begun_once_under_its_key_and_its_input_is_checked(
    house: Any, autojump_clock: Clock
) -> None:
    wanted = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}},
        "required": ["n"],
        "additionalProperties": False,
    }
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}}, input=wanted)
    told = [(await house.data("run", name="job", input={"n": 1}, key="k"))["run"] for _ in range(3)]
    assert told == ["r1"] * 3
    assert house.hand.done == ["one"]
    with pytest.raises(Conflict, match="key 'k' was used for something else"):
        await house.data("run", name="job", input={"n": 2}, key="k")
    for given, why in (
        ({}, "input.n is missing"),
        ({"n": 0}, "at least 1"),
        ({"n": 1, "m": 2}, "has no 'm'"),
        ({"n": "1"}, "must be integer"),
    ):
        with pytest.raises(InvalidArguments, match=why):
            await house.data("run", name="job", input=given)
    with pytest.raises(InvalidArguments, match=r"may have 262,144"):
        await house.data("run", name="job", input={"n": 1, "x": "y" * 300_000})
    with pytest.raises(NotFound, match="no procedure 'jib'; did you mean 'job'"):
        await house.data("run", name="jib")
    with pytest.raises(NotFound, match=r"no version 2\.0 of 'job'"):
        await house.data("run", name="job", version="2.0")


async def test_bad_input_at_every_operation_is_refused_by_name(house: Any, autojump_clock: Clock) -> None:
    for operation, more, why in (
        ("run", {}, "run needs name"),
        ("status", {}, "status needs run"),
        ("status", {"run": "x1"}, "runs are called r1"),
        ("status", {"run": "r" + "9" * 30}, "runs are called r1"),
        ("signal", {"run": "r1"}, "signal needs event"),
        ("define", {}, "needs definition"),
        ("list", {"status": "sleeping"}, "status is one of"),
        ("list", {"status": "running", "after": "r1-٣"}, "after: "),
        ("list", {"status": "running", "after": "r1"}, "what the list before it gave"),
        ("list", {"status": "running", "after": 7}, "what the list before it gave"),
        ("history", {"run": "r1", "after": "r1-1"}, "the number of a line"),
        ("run", {"name": "ｊob"}, "plain ASCII"),
        ("run", {"name": "x" * 65}, "1..64"),
        ("run", {"name": "job", "version": "1"}, "two numbers"),
        ("dance", {}, "must be one of"),
    ):
        with pytest.raises(InvalidArguments, match=why):
            await house.data(operation, **more)
    for operation in ("status", "history", "interrupt", "pause", "resume", "retry"):
        with pytest.raises(NotFound, match="no run r77"):
            await house.data(operation, run="r77")
    with pytest.raises(NotFound, match="none yet"):
        await house.data("get", name="job")


async def test_who_may_only_read_can_look_and_nothing_else(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
    reader = Call("1", Client(scopes=frozenset({"read"})))
    with pytest.raises(Forbidden):
        await house.call("list", reader)
    answer = await house.dispatch.call("procedure_look", {"operation": "list"}, reader)
    assert answer.as_text() == "job 1.0"
    with pytest.raises(Forbidden, match="operation of the tool 'procedure'"):
        await house.dispatch.call("procedure_look", {"operation": "run", "name": "job"}, reader)


async def test_a_run_calls_tools_for_whom_it_was_begun_also_after_a_restart(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(
            {
                "a": {"action": {"type": "wait", "seconds": 50}, "transitions": to("b")},
                "b": {"action": do("one"), "transitions": to("ok")},
            }
        )
        who = Client(name="reader", namespace="elsewhere", scopes=frozenset({"read", "write"}), key="k1")
        run = (await idle.call("run", Call("9", who), name="job", wait=0.0, format="json")).data["run"]
    async with idle.restarted():
        await idle.ended(run)
    (client,) = idle.hand.clients
    assert (client.name, client.namespace, client.key) == ("reader", "elsewhere", "k1")


async def test_a_tool_that_has_gone_and_a_result_that_is_too_large_fail_the_step(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
    house.hand.answers["one"] = {"x": "y" * 300_000}
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "too_large")
    assert "at most 262,144" in told["error"]["message"]
    house.hand.answers["one"] = {"x": object()}
    assert (await house.ended(await house.start()))["error"]["kind"] == "not_json"
    house.toolbox.remove("work")
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "unknown_tool")


async def test_a_context_that_grows_without_end_ends_the_run(house: Any, autojump_clock: Clock) -> None:
    house.hand.answers["big"] = "y" * 200_000
    states: dict[str, Any] = {
        f"s{n}": {"action": do("big", save=f"v{n}"), "transitions": to(f"s{n + 1}" if n < 8 else "ok")}
        for n in range(9)
    }
    await house.define(states)
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "too_large")


async def test_a_guard_that_divides_by_zero_and_a_template_that_leads_nowhere_fail_where_they_stand(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(
        {
            "a": {"transitions": [{"to": "ok", "guard": "1 / input.n > 0"}, {"event": "error", "to": "b"}]},
            "b": {"action": do("mend ${error.message}"), "transitions": to("ok")},
        }
    )
    assert (await house.ended(await house.start(n=0)))["status"] == "completed"
    assert house.hand.done == ["mend a division by zero"]
    await house.define({"a": {"action": do("${input.who.name}"), "transitions": to("ok")}}, name="lost")
    told = await house.ended(await house.start("lost"))
    assert (told["status"], told["error"]["kind"]) == ("failed", "template")


async def test_an_error_of_a_tool_that_says_so_in_its_answer_is_an_error(
    house: Any, autojump_clock: Clock
) -> None:
    from mimo.tool import Answer

    house.hand.answers["one"] = Answer.text("it did not work", failed=True)
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert told["error"] == {"kind": "failed", "message": "it did not work"}
