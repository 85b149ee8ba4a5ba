"""How procedures are come by: files in a folder, examples that run, and memory_search, which finds them by what they are for."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.abc import Clock

from mimo.embedding.box import Box
from mimo.errors import Conflict
from mimo.services.memory.wiring import Wired, wired
from mimo.storage.procedures import runs as stored
from mimo.storage.sql import run as execute
from mimo.transports.websocket.herald import Herald

EXAMPLES = Path(__file__).parents[3] / "docs" / "how-to" / "procedures"
WAIT = {
    "a": {"action": {"type": "wait", "seconds": 5}, "transitions": [{"to": "ok"}]},
    "ok": {"terminal": "success"},
}


@pytest.fixture
async def remembering(house: Any) -> AsyncIterator[Any]:
    """A house that also has a memory, whose tools the examples use."""
    memory: Wired = wired(house.database, house.events, house.metrics, Box(), clock=house.clock)
    house.toolbox.add(*memory.service.tools())
    async with trio.open_nursery() as nursery:
        await nursery.start(memory.meaning.run)
        yield house
        nursery.cancel_scope.cancel()


async def found(house: Any, query: str) -> list[Any]:
    answer = await house.dispatch.call("memory_search", {"query": query, "format": "json"}, _call(house))
    return answer.data["results"]


def _call(house: Any) -> Any:
    from mimo.tool import Call

    return Call("1", house.client)


async def example(house: Any, name: str, timeout: float | None = None) -> None:  # noqa: ASYNC109 (the machine's)
    definition = json.loads((EXAMPLES / f"{name}.json").read_text())
    if timeout is not None:
        definition["states"]["ask"]["timeout"] = timeout
    await house.data("define", definition=definition)


async def test_the_deployment_goes_live_and_is_rolled_back_when_it_is_not_healthy(
    remembering: Any, autojump_clock: Clock
) -> None:
    house = remembering
    await example(house, "deploy")
    told = await house.data("run", name="deploy", input={"release": "7.1"})
    assert (told["status"], told["output"]["release"]) == ("completed", "7.1")
    told = await house.data("run", name="deploy", input={"release": "7.2", "healthy": False})
    assert told["status"] == "rolled_back"
    said = [hit["content"] for hit in await found(house, "which release is live in staging")]
    assert any("7.1 is live" in each for each in said)
    assert not any("7.2" in each for each in said)
    told = await house.data("run", name="deploy", input={"release": "7.3", "environment": "production"})
    assert told["waits_for"][0]["prompt"] == "Put 7.3 into production?"
    await house.data("signal", run=told["run"], event="approved")
    assert (await house.ended(told["run"]))["status"] == "completed"


async def test_the_pipeline_waits_until_there_is_enough(remembering: Any, autojump_clock: Clock) -> None:
    house = remembering
    await example(house, "pipeline")
    run = await house.start("pipeline", topic="pumps", least=1)
    await house.until(run, "waiting", "pause")
    await house.dispatch.call("memory_add", {"content": "The pumps are blue", "kind": "fact"}, _call(house))
    told = await house.ended(run)
    assert (told["status"], told["output"]["found"]) == ("completed", 1)
    never = await house.start("pipeline", topic="unheard of things", least=99)
    assert (await house.ended(never))["status"] == "failed"


async def test_the_approval_reminds_once_and_remembers_the_decision(
    remembering: Any, autojump_clock: Clock
) -> None:
    house = remembering
    await example(house, "approval", timeout=300)
    run = await house.start("approval", question="Shall we paint the shed?")
    await house.data("signal", run=run, event="approved")
    assert (await house.ended(run))["output"] == {"approved": True}
    assert any("paint the shed" in hit["content"] for hit in await found(house, "shed"))
    late = await house.start("approval", question="And the fence?")
    told = await house.ended(late)
    assert told["status"] == "failed"
    assert (await house.kinds(late)).count("log") == 1


async def test_a_channel_that_subscribed_hears_each_step_of_a_run(house: Any, autojump_clock: Clock) -> None:
    herald = Herald(house.events)
    heard: list[dict[str, Any]] = []
    over = trio.Event()

    def hear(kind: str, text: str) -> None:
        heard.append(json.loads(text))
        if heard[-1]["status"] == "completed":
            over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(herald.run)
        herald.listen("a channel", ["procedure:update"], hear)
        ask = {"type": "await", "approval": "Well?"}
        await house.define(
            {
                "a": {
                    "action": ask,
                    "transitions": [{"event": each, "to": "ok"} for each in ("approved", "rejected")],
                }
            }
        )
        run = await house.start()
        await house.data("signal", run=run, event="approved")
        await over.wait()
        nursery.cancel_scope.cancel()
    told = [(each["run"], each["state"], each["status"], each["prompt"]) for each in heard]
    assert told == [(run, "a", "waiting", "Well?"), (run, "ok", "completed", "")]


async def test_a_procedure_is_found_by_its_name_and_what_it_is_for_as_long_as_it_can_be_run(
    remembering: Any, autojump_clock: Clock
) -> None:
    house = remembering
    for version, purpose in (("1.0", "water the tomatoes"), ("1.1", "water the cucumbers")):
        await house.data(
            "define",
            definition={
                "name": "garden",
                "version": version,
                "initial": "a",
                "description": purpose,
                "states": WAIT,
            },
        )
    (hit,) = [hit for hit in await found(house, "how do I water the cucumbers") if hit["kind"] == "procedure"]
    assert "Procedure garden (version 1.1)" in hit["content"]
    assert 'procedure(operation="run", name="garden")' in hit["content"]
    assert not any("tomatoes" in hit["content"] for hit in await found(house, "garden"))
    await house.data("deactivate", name="garden", version="1.1")
    (hit,) = [hit for hit in await found(house, "how do I water the tomatoes") if hit["kind"] == "procedure"]
    assert "Procedure garden (version 1.0)" in hit["content"]
    with pytest.raises(Conflict, match=r"garden 1.1 is deactivated"):
        await house.data("run", name="garden", version="1.1")
    await house.data("deactivate", name="garden")
    assert not [hit for hit in await found(house, "garden cucumbers") if hit["kind"] == "procedure"]
    await house.data(
        "define",
        definition={
            "name": "garden",
            "version": "1.1",
            "initial": "a",
            "description": "water the cucumbers",
            "states": WAIT,
        },
    )
    assert [hit for hit in await found(house, "garden cucumbers") if hit["kind"] == "procedure"]


async def looked(house: Any) -> None:
    with house.database.holding_the_clock():
        await house.parts.folder.look()


def file(house: Any, name: str, text: str, at: int) -> None:
    house.folder.mkdir(exist_ok=True)
    path = house.folder / name
    path.write_text(text)
    os.utime(path, ns=(at, at))  # a disk whose clock is coarse must not make two versions one


async def test_files_in_the_folder_are_registered_and_followed(house: Any, autojump_clock: Clock) -> None:
    definition = {"name": "filed", "version": "1.0", "initial": "a", "states": WAIT}
    await trio.testing.wait_all_tasks_blocked(0.1)  # it has looked, and there is no folder yet
    file(house, "filed.json", json.dumps(definition), 1)
    file(house, "notes.txt", "not looked at", 1)
    file(house, ".hidden.json", "{", 1)
    file(house, "wrong.json", '{"name": "wrong"}', 1)
    await looked(house)
    assert await house.text("list") == "filed 1.0"
    (refused,) = house.told("procedure:refused")
    assert refused.file == "wrong.json"
    assert "initial" in refused.problem
    await looked(house)
    assert len(house.told("procedure:refused")) == 1
    file(house, "filed.json", json.dumps(definition | {"version": "1.1"}), 2)
    file(house, "wrong.json", json.dumps(definition | {"name": "right"}), 2)
    await looked(house)
    assert await house.text("list") == "filed 1.1\nfiled 1.0\nright 1.0"
    file(house, "filed.json", json.dumps(definition | {"version": "1.1", "description": "changed"}), 3)
    await looked(house)
    assert "give what you have a higher version" in house.told("procedure:refused")[-1].problem
    run = await house.start("filed")
    (house.folder / "filed.json").unlink()
    await looked(house)
    assert (await house.ended(run))["status"] == "completed"


async def test_a_file_may_be_yaml(house: Any, autojump_clock: Clock) -> None:
    pytest.importorskip("yaml")
    text = "name: soft\ninitial: a\nstates:\n  a: {transitions: [{to: ok}]}\n  ok: {terminal: success}\n"
    file(house, "soft.yaml", text, 1)
    await looked(house)
    assert (await house.data("run", name="soft"))["status"] == "completed"


async def test_a_daemon_without_procedures_makes_nothing_until_a_folder_is_there(
    idle: Any, autojump_clock: Clock
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(idle.door.run)
        await trio.sleep(100)
        assert idle.door._made is None
        file(idle, "filed.json", json.dumps({"name": "filed", "initial": "a", "states": WAIT}), 1)
        await trio.sleep(60)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert "filed 1.0" in await idle.text("list")
        nursery.cancel_scope.cancel()


async def test_runs_that_ended_a_month_ago_are_erased_with_their_history_and_children(
    house: Any, autojump_clock: Clock
) -> None:
    call = {"type": "procedure", "procedure": "inner"}
    await house.define(WAIT, name="inner")
    await house.define({"a": {"action": call, "transitions": [{"to": "ok"}]}})
    old, new = await house.start(), await house.start()
    for run in (old, new):
        await house.ended(run)
    await house.database.write(_age, int(old[1:]), 31 * 86_400_000)
    assert await house.parts.folder.sweep() == 1
    assert await house.database.read(stored.history, int(old[1:])) == []
    assert len((await house.data("list", name="inner"))["runs"]) == 1
    assert (await house.data("status", run=new))["status"] == "completed"


def _age(db: Any, id_: int, by: int) -> None:
    execute(db, "UPDATE procedure_executions SET ended_at = ended_at - ? WHERE id = ?", (by, id_))
