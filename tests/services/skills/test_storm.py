"""Many starts that end in every way, a few at a time; and many skills at once."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.errors import MimoError
from mimo.services.skills.skill import Patience

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]
FULL = os.environ.get("MIMO_FAULTS") == "full"
STARTS, AT_ONCE = (400, 8) if FULL else (24, 8)
LIVE = 100 if FULL else 10
WAYS = ["dies at once", "exits on probe", "legacy", "modern", "garbage", "forks", "forks away", "silent"]


def zombies() -> int:
    """Children of ours that nobody has waited for."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        count += fields[0] == "Z" and int(fields[1]) == os.getpid()
    return count


@pytest.mark.faults
async def test_a_storm_of_crashes_leaves_nothing(
    lot: Lot, fake: Fake, marked: Callable[[], list[int]]
) -> None:
    skills = {f"s{n}": fake(WAYS[n % len(WAYS)]) for n in range(AT_ONCE)}
    steps = list[float]()
    async with lot(patience=Patience(call=5, start=1, drain=0.5), **skills) as house:
        before = len(os.listdir("/proc/self/fd"))

        async def storm(name: str) -> None:
            """Start it, have it die in one way or the other, again and again."""
            skill = house.service.skills[name]
            for number in range(STARTS // AT_ONCE):
                try:
                    await skill.connected()
                    answer = await skill.ask("tools/call", {"name": "pid"}, None)
                    pid = int(answer["content"][0]["text"].strip("[]").split(",")[0])
                    match number % 3:
                        case 0:
                            os.kill(pid, signal.SIGKILL)
                        case 1:
                            await skill.ask("tools/call", {"name": "die"}, None)
                        case _:
                            house.service.retire(skill)
                except MimoError:
                    await trio.sleep(0.01)

        async def watch() -> None:
            while True:
                at = time.perf_counter()
                await trio.lowlevel.checkpoint()
                steps.append(time.perf_counter() - at)
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            async with trio.open_nursery() as storms:
                for name in skills:
                    storms.start_soon(storm, name)
            nursery.cancel_scope.cancel()
        house.declare()
        await house.service.reload()
        await house.until(lambda: not house.supervisor.tree().children)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert not marked()
    assert not zombies()
    assert not list((house.home / "skills" / "running").iterdir())
    steps.sort()
    print(f"{STARTS} starts; a turn of the loop: p99 {steps[int(len(steps) * 0.99)] * 1000:.1f} ms")


@pytest.mark.faults
async def test_many_live_at_once_and_all_are_gone_in_time(
    lot: Lot, fake: Fake, marked: Callable[[], Any]
) -> None:
    skills = {f"s{n}": fake() for n in range(LIVE)}
    async with lot(patience=Patience(call=60, start=60), **skills) as house:
        began = time.perf_counter()
        with trio.fail_after(110):
            while sum(each.state == "running" for each in house.service.skills.values()) < LIVE:  # noqa: ASYNC110
                await trio.sleep(0.05)
        took = time.perf_counter() - began
        assert await house.text(f"s{LIVE - 1}_echo", text="x") == "x"
        began = time.perf_counter()
        house.declare()
        await house.service.reload()
        await house.until(lambda: not house.supervisor.tree().children)
        print(f"{LIVE} skills: up in {took:.1f} s, down in {time.perf_counter() - began:.2f} s")
    assert not marked()
    assert not zombies()
