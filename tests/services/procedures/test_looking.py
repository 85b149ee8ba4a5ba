"""What can be seen of procedures and runs: progress, lists, histories, the lines as they come, numbers."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.errors import Conflict, InvalidArguments, NotFound
from mimo.services.procedures import definition
from mimo.tool import Call, JsonObject


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


async def test_a_run_tells_how_far_it_is_while_somebody_waits(house: Any, autojump_clock: Clock) -> None:
    class Heard:
        def __init__(self) -> None:
            self.said: list[tuple[float, str]] = []

        async def progress(
            self, progress: float, total: float | None = None, message: str | None = None
        ) -> None:
            self.said.append((progress, message or ""))

        async def log(self, level: str, data: Any, logger: str | None = None) -> None:
            raise AssertionError

        async def ask(self, method: str, params: JsonObject, key: str | None = None) -> JsonObject:
            raise AssertionError

        async def ask_all(self, questions: Any) -> Any:
            raise AssertionError

    heard = Heard()
    await house.define(
        {
            "a": {"action": {"type": "wait", "seconds": 5}, "transitions": to("b")},
            "b": {"action": do("one"), "transitions": to("ok")},
        }
    )
    answer = await house.call("run", Call("1", house.client, outlet=heard), name="job", wait=60.0)
    assert "completed" in answer.as_text()
    assert heard.said[0][1] == "a: waiting"
    assert [number for number, _ in heard.said] == sorted({number for number, _ in heard.said})
    kinds = [event.kind for event in house.events.since(0) if event.kind.startswith("procedure:")]
    assert kinds == ["procedure:defined", *["procedure:update"] * 3, "procedure:ended"]


async def test_lists_histories_and_definitions_are_read_back(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}}, description="Does one")
    await house.define(
        {"a": {"action": do("one"), "transitions": to("ok")}}, version="1.1", description="Does one"
    )
    run = await house.start()
    await house.ended(run)
    assert await house.text("list") == "job 1.1: Does one\njob 1.0: Does one"
    assert (await house.text("list", name="job")).startswith("r1 job 1.1: completed, in ok")
    assert "- a (initial): tool; done > ok" in await house.text("get", name="job")
    got = await house.data("get", name="job", version="1.0")
    assert got["definition"]["states"]["a"]["action"]["tool"] == "work"
    assert "class s1 lit" in (await house.call("get", run=run, format="mermaid")).as_text()
    assert (await house.call("get", name="job", format="svg")).as_text().startswith("<svg")
    first = await house.data("history", run=run, limit=2)
    rest = await house.data("history", run=run, after=first["history"][-1]["line"])
    assert [line["line"] for line in first["history"] + rest["history"]] == list(range(1, 7))
    assert "acting a" in await house.text("history", run=run)
    assert "procedure(operation=" in await house.text("help")
    assert (await house.data("help"))["schema"]["title"] == "Definition"
    assert await house.text("validate", definition={"name": "x"}) != ""
    assert (await house.data("validate", text="{", name="x.json"))["valid"] is False
    with pytest.raises(Conflict, match=r"1\.0 is defined already, and differs"):
        await house.define({"a": {"action": do("other"), "transitions": to("ok")}})
    assert (await house.data("deactivate", name="job"))["versions"] == ["1.0", "1.1"]
    with pytest.raises(NotFound, match="all its versions are deactivated"):
        await house.start()


async def test_a_run_can_be_watched_line_by_line(house: Any, autojump_clock: Clock) -> None:
    await house.define(
        {
            "a": {"action": {"type": "wait", "seconds": 5}, "transitions": to("b")},
            "b": {"action": do("one"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    lines: list[Any] = []

    async def tell(method: str, params: JsonObject) -> None:
        lines.append(params)

    watch = house.door.streams()["mimo/procedure_watch"]
    ended = await watch({"run": run}, house.client, tell)
    assert ended["status"] == "completed"
    assert [line["line"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["kind"] == "completed"
    with pytest.raises(InvalidArguments):
        await watch({"run": 5}, house.client, tell)


async def test_the_numbers_of_runs_can_be_looked_at(house_of: Any, autojump_clock: Clock) -> None:
    async with house_of(1) as house:
        held = house.hand.hold("one")
        await house.define(
            {
                "a": {"action": do("one"), "transitions": to("b")},
                "b": {"action": {"type": "wait", "seconds": 500}, "transitions": to("ok")},
            }
        )
        runs = [await house.start() for _ in range(3)]
        await house.hand.begun["one"].wait()
        house.door.measure(house.metrics.procedure_runs)
        rendered = house.metrics.render().decode()
        assert 'mimo_procedure_runs{what="running"} 1.0' in rendered
        assert 'mimo_procedure_runs{what="pending"} 2.0' in rendered
        held.set()
        for run in runs:
            await house.until(run, "waiting", "b")
        while len(house.parts.runner.timers) < 3:  # a moment after it can be read that a run waits
            await trio.lowlevel.checkpoint()
        house.door.measure(house.metrics.procedure_runs)
        assert 'mimo_procedure_runs{what="timed"} 3.0' in house.metrics.render().decode()


@pytest.mark.parametrize(
    "asked", [{"name": "job"}, {"status": "waiting"}, {"name": "job", "status": "waiting"}]
)
async def test_a_list_of_runs_that_is_cut_says_so_and_how_it_goes_on(
    house: Any, autojump_clock: Clock, asked: dict[str, str]
) -> None:
    states = {
        "a": {"action": {"type": "await", "events": ["go"]}, "transitions": [{"event": "go", "to": "ok"}]}
    }
    for version in ("1.0", "1.1"):
        await house.define(states, version=version)
    versions = [{"version": "1.0"}, {"version": "1.1"}]
    runs = [(await house.data("run", name="job", wait=0, **versions[n % 2]))["run"] for n in range(7)]
    await house.data("interrupt", run=(gone := runs.pop(3)))
    if "status" not in asked:
        runs.insert(3, gone)
    seen: list[str] = []
    after: Any = 0
    while after is not None:
        text = await house.text("list", **asked, limit=2, after=after)
        told = await house.data("list", **asked, limit=2, after=after)
        seen += [each["run"] for each in told["runs"]]
        after = told["after"]
        assert (f'More: after="{after}".' in text) is (after is not None)
        assert text.count("More") <= 1
    assert seen == runs[::-1]
    assert (await house.data("list", **asked, limit=len(runs)))["after"] is None


async def test_a_history_that_is_cut_says_so_and_how_it_goes_on(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
    run = await house.start(wait=5)
    whole = (await house.data("history", run=run))["history"]
    text = await house.text("history", run=run, limit=2)
    assert text.splitlines()[2:] == ["More: after=2."]
    told = await house.data("history", run=run, limit=2, after=2)
    assert (told["history"], told["after"]) == (whole[2:4], 4)
    rest = await house.data("history", run=run, limit=len(whole) - 4, after="4")
    assert (rest["history"], rest["after"]) == (whole[4:], None)
    assert "More" not in await house.text("history", run=run)


async def test_what_was_defined_before_its_name_was_kept_is_still_reached(
    house: Any, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(definition, "KEPT", ())
        await house.define({"a": {"action": do("one"), "transitions": to("ok")}}, name="runs")
    with pytest.raises(InvalidArguments, match="name: 'runs' is an address of its own"):
        await house.define({"a": {"action": do("two"), "transitions": to("ok")}}, name="runs", version="1.1")
    assert (await house.ended(await house.start("runs")))["status"] == "completed"
    assert (await house.text("get", name="runs")).startswith("runs 1.0")
    assert "deactivated runs 1.0" in await house.text("deactivate", name="runs")


async def test_states_are_told_in_the_order_in_which_they_are_reached(house: Any) -> None:
    def on(to: str) -> dict[str, Any]:
        return {"action": {"type": "log", "message": "on"}, "transitions": [{"to": to}]}

    await house.define({"zebra": on("mule"), "ant": on("ok"), "mule": on("ant")}, initial="zebra")
    told = [
        line[2:].partition(" ")[0].rstrip(":")
        for line in (await house.text("get", name="job")).splitlines()[1:]
    ]
    assert told[:4] == ["zebra", "mule", "ant", "ok"]
