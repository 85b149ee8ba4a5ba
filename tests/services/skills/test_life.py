"""How skills start, misbehave, are left alone, and end: always with all that they started."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.errors import Busy, MimoError, Unavailable
from mimo.observability.news import ResourceChanged
from mimo.services.skills import news
from mimo.services.skills.leftovers import Leftovers, start_of
from mimo.services.skills.skill import Patience

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]
QUICK = Patience(call=5, start=1.5, drain=1)


async def test_all_who_call_at_once_wait_for_one_start(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_pid")
        skill = house.service.skills["fake"]
        house.service.retire(skill)
        await house.until(lambda: not house.supervisor.tree().children)
        pids = list[str]()

        async def call() -> None:
            pids.append(await house.text("fake_pid"))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(call)
        assert len(set(pids)) == 1
        assert len(house.told(news.SkillStarted)) == 2


async def test_one_who_waits_for_a_start_and_leaves_does_not_take_it_away(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_pid")
        house.service.retire(house.service.skills["fake"])
        await house.until(lambda: not house.supervisor.tree().children)
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                with trio.move_on_after(0.01):
                    await house.call("fake_pid")

            nursery.start_soon(leave)
            assert await house.text("fake_echo", text="x") == "x"


@pytest.mark.parametrize(
    ("manner", "era"),
    [
        ("modern", "modern"),
        ("exits on probe", "legacy"),
        ("silent on probe", "legacy"),
        ("garbage", "legacy"),
    ],
)
async def test_what_a_skill_speaks_is_found_out_and_remembered(
    lot: Lot, fake: Fake, manner: str, era: str
) -> None:
    async with lot(fake=fake(manner)) as house:
        assert await house.service.skills["fake"].connected()
        assert house.told(news.SkillStarted)[-1].era == era
        assert await house.text("fake_echo", text="x") == "x"
    async with lot(fake=fake(manner)) as house:
        skill = house.service.skills["fake"]
        assert skill.kept.era == era
        assert skill.state == "asleep"
        began = trio.current_time()
        assert await house.text("fake_echo", text="x") == "x"
        assert trio.current_time() - began < 0.9  # no probe was waited for
        assert sum("starting" in line for line in skill.words.lines) == 1


async def test_the_last_known_tools_are_offered_without_a_start(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_echo")
    async with lot(fake=fake()) as house:
        await house.known("fake_echo")
        assert not house.told(news.SkillStarted)
        assert not house.supervisor.tree().children
    kept = list((house.home / "skills" / "kept").iterdir())
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]


async def test_a_silent_skill_fails_its_callers_in_time(
    lot: Lot, fake: Fake, marked: Callable[[], Any]
) -> None:
    async with lot(patience=QUICK, fake=fake("silent")) as house:
        with pytest.raises(Unavailable, match=r"within 1\.5 s"):
            await house.service.skills["fake"].connected()
    assert not marked()


async def test_a_skill_that_dies_at_once_is_quoted_and_then_left_alone(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake("dies at once")) as house:
        skill = house.service.skills["fake"]
        for _ in range(6):
            with pytest.raises(Unavailable):
                await skill.ask("tools/call", {"name": "x"}, None)
        with pytest.raises(Unavailable, match="left alone"):
            await skill.ask("tools/call", {"name": "x"}, None)
        assert any("cannot live like this" in line for line in skill.words.lines)
        assert len(house.told(news.SkillFailed)) == 1


async def test_a_program_that_is_not_there_is_named(lot: Lot) -> None:
    async with lot(fake={"command": "no-such-program"}) as house:
        with pytest.raises(Unavailable, match="no program 'no-such-program'"):
            await house.service.skills["fake"].connected()


async def test_whoever_was_not_asked_says_so_and_whoever_has_gone_since_does_not(
    lot: Lot, fake: Fake
) -> None:
    async with lot(fake=fake(), gone=fake("dies at once")) as house:
        await house.known("fake_die")
        with pytest.raises(Unavailable, match="has ended") as died:
            await house.call("fake_die")
        assert "done" not in died.value.details
        with pytest.raises(Unavailable) as gone:
            await house.service.skills["gone"].ask("tools/call", {"name": "x"}, None)
        assert gone.value.details["done"] is False
        for _ in range(5):
            with pytest.raises(Unavailable):
                await house.service.skills["gone"].ask("tools/call", {"name": "x"}, None)
        with pytest.raises(Unavailable, match="left alone") as alone:
            await house.service.skills["gone"].ask("tools/call", {"name": "x"}, None)
        assert alone.value.details["done"] is False


async def test_a_crashed_skill_comes_back_by_itself_and_a_crash_loop_is_told_once(
    lot: Lot, fake: Fake
) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_pid")
        pids = set[int]()
        for _ in range(4):
            (pid,) = json.loads(await house.text("fake_pid"))
            pids.add(pid)
            os.kill(pid, signal.SIGKILL)
            ended = len(pids)
            await house.until(lambda ended=ended: len(house.told(news.SkillStopped)) >= ended)
        assert len(pids) == 4
        await house.until(lambda: bool(house.told(news.SkillFailed)))
        assert "4 times" in house.told(news.SkillFailed)[0].error
        assert await house.text("fake_echo", text="called again") == "called again"


@pytest.mark.parametrize("manner", ["forks", "forks away", "deaf"])
async def test_no_process_is_left_of_a_stopped_skill(
    lot: Lot, fake: Fake, manner: str, marked: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo.services.skills.process.AFTER_EOF", 0.2)
    monkeypatch.setattr("mimo.services.skills.process.AFTER_TERM", 0.2)
    async with lot(fake=fake(manner)) as house:
        await house.known("fake_pid")
        pids = json.loads(await house.text("fake_pid"))
        assert all(map(house.alive, pids))
    await house.until(lambda: not any(map(house.alive, pids)))  # who is killed goes when it is its turn
    await house.until(lambda: not marked())
    assert not list((house.home / "skills" / "running").iterdir())


async def test_children_of_a_skill_that_was_killed_are_ended_too(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake("forks", "forks away")) as house:
        await house.known("fake_pid")
        parent, *children = json.loads(await house.text("fake_pid"))
        os.kill(parent, signal.SIGKILL)
        await house.until(lambda: not any(map(house.alive, children)))


def test_a_killed_daemon_takes_its_skills_with_it_and_the_next_one_what_they_started(tmp_path: Path) -> None:
    fake = str(Path(__file__).with_name("fake.py"))
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    declared = {"fake": {"command": sys.executable, "args": [fake, "forks", "forks away"]}}
    (home / "skills.json").write_text(json.dumps(declared))
    program = """
import sys, trio
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import Supervisor
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
async def main():
    supervisor, box = Supervisor("skills"), Toolbox()
    skills = Skills(sys.argv[1], supervisor, box, Events(), None, patience=Patience(), result_cap=1000,
                    updated=print, supervised=lambda event: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        nursery.start_soon(skills.run)
        await skills.control("list", {})
        skill = skills.skills["fake"]
        await skill.connected()
        print((await skill.ask("tools/call", {"name": "pid"}, None))["content"][0]["text"], flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", program, home], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        parent, *children = json.loads(daemon.stdout.readline())
        daemon.kill()
        daemon.wait(10)
    until = time.monotonic() + 10
    while start_of(parent) and time.monotonic() < until:
        time.sleep(0.01)
    assert not start_of(parent)
    assert all(map(start_of, children))
    leftovers = Leftovers(home / "skills" / "running")
    assert trio.run(leftovers.sweep) >= len(children)
    until = time.monotonic() + 10
    while any(map(start_of, children)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(start_of, children))
    assert trio.run(leftovers.sweep) == 0


def test_a_process_of_another_with_a_number_of_ours_is_let_live(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as other:
        (tmp_path / str(other.pid)).write_text("12345 abcdef\n")
        assert trio.run(Leftovers(tmp_path).sweep) == 0
        assert other.poll() is None
        assert other.stdin is not None
        other.stdin.write(b"\n")


async def test_one_skill_too_many_is_refused_with_the_numbers(lot: Lot, fake: Fake) -> None:
    async with lot(most=2, a=fake(), b=fake()) as house:
        await house.known("a_pid", "b_pid")
        assert [each.level for each in house.told(ResourceChanged)] == ["warning"]
        house.declare(a=fake(), b=fake(), c=fake())
        await house.service.reload()
        with pytest.raises(Busy, match="2 skills run, and at most 2 may"):
            await house.service.skills["c"].connected()
        assert house.supervisor.refused
        house.service.retire(house.service.skills["a"])
        await house.known("c_pid") if house.service.skills["c"].kept.listed else None
        await house.until(lambda: len(house.supervisor.tree().children) < 2)
        assert await house.service.skills["c"].connected()


async def test_a_skill_runs_where_its_file_says(lot: Lot, fake: Fake, tmp_path: Path) -> None:
    async with lot(fake=fake(cwd=str(tmp_path))) as house:
        await house.known("fake_pid")
        (pid,) = json.loads(await house.text("fake_pid"))
        assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)
        assert os.getsid(pid) == pid
        assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0
    async with lot(fake=fake(cwd="/no/such/place")) as house:
        with pytest.raises(Unavailable, match="/no/such/place"):
            await house.service.skills["fake"].connected()


async def test_the_last_words_are_bounded(lot: Lot, fake: Fake) -> None:
    words = "import sys; sys.stderr.write('x' * 5_000_000 + '\\n' + 'y\\n' * 5000); sys.exit(1)"
    async with lot(fake={"command": sys.executable, "args": ["-c", words]}) as house:
        with pytest.raises(MimoError):
            await house.service.skills["fake"].connected()
        lines = (await house.service.control("logs", {"name": "fake"}))["lines"]
        assert len(lines) <= 400
        assert max(map(len, lines)) < 2100
        assert any(line.endswith(" y") for line in lines)
