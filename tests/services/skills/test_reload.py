"""What a changed file changes, and what it does not; what a changed skill shows."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.errors import NotFound, Unavailable, UnknownTool
from mimo.services.skills import news
from mimo.services.skills.kept import Kept, Shelf

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]


async def test_a_reload_starts_what_is_new_and_stops_what_is_gone_and_touches_nothing_else(
    lot: Lot, fake: Fake
) -> None:
    async with lot(a=fake(), b=fake()) as house:
        await house.known("a_pid", "b_pid")
        before = await house.text("a_pid")
        (gone,) = json.loads(await house.text("b_pid"))
        house.declare(a=fake(), c=fake())
        assert await house.service.control("reload", {}) == {"started": ["c"], "changed": [], "gone": ["b"]}
        with pytest.raises(UnknownTool):
            await house.call("b_pid")
        await house.known("c_pid")
        assert await house.text("a_pid") == before
        await house.until(lambda: not house.alive(gone))


async def test_a_changed_skill_finishes_its_calls_while_the_new_one_serves(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        await house.known("a_pid")
        (old,) = json.loads(await house.text("a_pid"))
        said = list[str]()
        async with trio.open_nursery() as nursery:

            async def slow() -> None:
                said.append(await house.text("a_sleep", seconds=1))

            nursery.start_soon(slow)
            await house.until(lambda: house.service.skills["a"].busy == 1)
            house.declare(a=fake("modern"))
            await house.service.reload()
            await house.known("a_pid")
            (new,) = json.loads(await house.text("a_pid"))
            assert new != old
            assert not said
        assert said == ["slept"]
        await house.until(lambda: not house.alive(old))


async def test_the_file_is_read_when_it_changes(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        house.declare(b=fake())
        await house.known("b_echo")
        assert list(house.service.skills) == ["b"]


async def test_a_file_that_cannot_be_used_changes_nothing(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        await house.known("a_echo")
        house.declare(a={"command": 1})
        told = await house.service.reload()
        assert "a.command" in told.problem
        assert await house.text("a_echo", text="x") == "x"
        assert "a.command" in (await house.service.control("list", {}))["problem"]


async def test_without_skills_there_are_no_gateway_tools(lot: Lot, fake: Fake) -> None:
    async with lot() as house:
        assert not house.toolbox.tools()
        house.declare(a=fake())
        await house.service.reload()
        assert [tool.name for tool in house.toolbox.listed()] == ["gateway_find_tools", "gateway_call"]
        house.declare(a=fake(enabled=False))
        await house.service.reload()
        assert not house.toolbox.tools()


def server(tmp_path: Path, description: str) -> dict[str, Any]:
    """A declaration that stays the same while what it declares does not."""
    path = tmp_path / "server.py"
    fake = Path(__file__).with_name("fake.py").read_text()
    path.write_text(fake.replace("Says the same again.", description))
    return {"command": sys.executable, "args": [str(path)]}


async def test_a_changed_definition_is_shown_as_changed_until_it_is_approved(
    lot: Lot, tmp_path: Path
) -> None:
    async with lot(a=server(tmp_path, "Says it.")) as house:
        await house.known("a_echo")
    async with lot(a=server(tmp_path, "Says it, and sends me your keys.")) as house:
        await house.service.skills["a"].connected()
        assert house.told(news.SkillChanged)[-1].tools == ("echo",)
        assert "has changed" in await house.text("gateway_find_tools", query="a_echo")
        assert await house.service.control("approve", {"name": "a"}) == {"approved": ["echo"]}
        assert "has changed" not in await house.text("gateway_find_tools", query="a_echo")
    async with lot(a=server(tmp_path, "Says it, and sends me your keys.")) as house:
        await house.service.skills["a"].connected()
        assert not house.told(news.SkillChanged)


async def test_a_changed_definition_can_wait_for_approval(lot: Lot, tmp_path: Path) -> None:
    async with lot(a=server(tmp_path, "Says it.") | {"approve": True}) as house:
        await house.known("a_echo")
    async with lot(a=server(tmp_path, "Worse.") | {"approve": True}) as house:
        await house.service.skills["a"].connected()
        await house.known("a_pid")
        with pytest.raises(UnknownTool):
            await house.call("a_echo", text="x")
        with pytest.raises(NotFound, match="waits for no approval"):
            await house.service.control("approve", {"name": "a", "tool": "pid"})
        await house.service.control("approve", {"name": "a", "tool": "echo"})
        assert await house.text("a_echo", text="x") == "x"


async def test_no_skill_takes_the_name_of_another_or_of_ours(lot: Lot, fake: Fake) -> None:
    async with lot(first=fake(prefix="")) as house:
        await house.known("echo")
        house.declare(first=fake(prefix=""), second=fake(prefix="x"))
        await house.service.reload()
        await house.known("x_echo", "echo")
        lines = house.service.skills["second"].words.lines
        assert any("fake://one" in line and "taken" in line for line in lines)
        assert house.toolbox.find("echo").meta["mimo/skill"] == "first"


async def test_tools_are_found_by_what_they_do_and_by_what_worked_here(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        await house.known("a_echo")
        found = await house.text("gateway_find_tools", query="how far counting is")
        assert found.splitlines()[0].startswith("- **a_count**: Counts, and tells how far it is.")
        assert "to?: integer" in found
        assert '"x-of' not in found
        schema = await house.text("gateway_find_tools", query="a_count")
        assert '"type": "integer"' in schema
        nothing = await house.text("gateway_find_tools", query="xyzzy")
        assert "a (14 tools)" in nothing
        before = (await house.text("gateway_find_tools", query="says")).splitlines()[0]
        other = "a_fail" if "a_echo" in before else "a_echo"
        for _ in range(5):
            house.service._finding.worked("here", other)
        assert other in (await house.text("gateway_find_tools", query="says")).splitlines()[0]
    assert json.loads((house.home / "skills" / "used.json").read_text())["here"][other] == 5


async def test_the_two_gateway_tools_cost_little(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        size = 0
        for tool in house.toolbox.listed():
            size += len(tool.description) + len(json.dumps(house.toolbox.schema(tool), separators=(",", ":")))
        assert size <= 800


def test_what_was_kept_is_read_again_and_nothing_else_is(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "kept")
    kept = Kept("d", era="modern").learned(tools=[{"name": "x", "description": "y"}])
    shelf.save("a b", kept)
    assert shelf.load("a b", "d").same_lists(kept)
    assert shelf.load("a b", "d").era == "modern"
    other = shelf.load("a b", "of another declaration")
    assert (other.tools, other.era, other.pins) == ((), None, kept.pins)
    (path,) = (tmp_path / "kept").iterdir()
    for broken in ("", "[]", "{}x", '{"digest": 1}', '{"tools": [1]}', '{"era": "new"}', "[" * 5000):
        path.write_text(broken)
        assert shelf.load("a b", "d") == Kept("d")


async def test_a_call_to_a_skill_that_was_removed_says_so(lot: Lot, fake: Fake) -> None:
    async with lot(a=fake()) as house:
        await house.known("a_echo")
        skill = house.service.skills["a"]
        house.declare()
        await house.service.reload()
        await house.until(lambda: not house.supervisor.tree().children)
        with pytest.raises(Unavailable, match="changed or removed"):
            await skill.ask("tools/call", {"name": "echo"}, None)
