"""A daemon that has no skills yet, and one that is told of a changed file."""

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.cli.client import Daemon, Refused
from mimo.home import Home
from mimo.services.skills.doorstep import Doorstep
from mimo.supervision import Supervisor
from mimo.tool import Client, Json, JsonObject

FAKE = str(Path(__file__).with_name("fake.py"))


def names(daemon: Daemon) -> set[str]:
    return {tool["name"] for tool in daemon.ask("mimo/tools")["tools"]}


def until(true: Callable[[], bool]) -> None:
    patience = time.monotonic() + 20
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_a_file_that_comes_later_is_found_and_a_signal_has_it_read_again(
    serve: Callable[..., Any], home: Home
) -> None:
    served = serve()
    with Daemon(home) as daemon:
        assert not any(name.startswith("gateway") for name in names(daemon))
        Path(home, "skills.json").write_text(json.dumps({"a": {"command": sys.executable, "args": [FAKE]}}))
        until(lambda: "a_echo" in names(daemon))
        assert daemon.tool("a_echo", {"text": "x"}).text == "x"
        Path(home, "skills.json").write_text("{}")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: "a_echo" not in names(daemon))
        with pytest.raises(Refused):
            daemon.ask("mimo/skills/test", {"name": "a"})
    served.stop()


class Service:
    """Counts how often it is made and asked."""

    def __init__(self) -> None:
        self.reloads = 0
        self.ran = trio.Event()

    async def run(self) -> None:
        self.ran.set()
        await trio.sleep_forever()

    def reload_soon(self) -> None:
        self.reloads += 1

    async def control(self, method: str, params: JsonObject) -> Json:
        await trio.lowlevel.checkpoint()
        return method


async def test_nothing_is_made_before_somebody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo.services.skills.doorstep.LOOK", 0.01)
    made = list[Service]()

    def make(supervisor: Supervisor) -> Service:
        made.append(Service())
        return made[-1]

    path = tmp_path / "skills.json"
    doorstep = Doorstep(str(path), Supervisor("skills"), "json", make)
    async with trio.open_nursery() as nursery:
        await nursery.start(doorstep.run)
        await trio.sleep(0.1)
        doorstep.reload()
        assert not made
        path.touch()
        with trio.fail_after(10):
            while not made:  # noqa: ASYNC110
                await trio.sleep(0.01)
            (service,) = made
            await service.ran.wait()
        doorstep.reload()
        assert service.reloads == 1
        assert await doorstep.methods()["mimo/skills/list"]({}, Client()) == "list"
        assert len(made) == 1
        nursery.cancel_scope.cancel()


async def test_who_asks_before_there_is_a_file_is_answered(tmp_path: Path) -> None:
    doorstep = Doorstep(str(tmp_path / "none"), Supervisor("skills"), "json", lambda supervisor: Service())
    async with trio.open_nursery() as nursery:
        await nursery.start(doorstep.run)
        assert await doorstep.methods()["mimo/skills/check"]({}, Client()) == "check"
        nursery.cancel_scope.cancel()
