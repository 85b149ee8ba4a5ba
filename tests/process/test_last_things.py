"""When the ordinary ways do not lead to an end, or something of ours is not ours any more."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from mimo.errors import Unavailable
from mimo.home import Home
from mimo.systemd import Notices

BLOCKED = """
import sys, time, mimo.daemon
from mimo.home import Home
from mimo.storage.upkeep import Upkeep

async def block(self, *, task_status):
    task_status.started()
    print("blocked", flush=True)
    while True:  # a signal just before one long sleep would be heard after it
        time.sleep(0.01)

Upkeep.run = block
mimo.daemon.LAST_RESORT = 0.2
sys.exit(mimo.daemon.serve(Home(sys.argv[1])))
"""


def test_a_signal_ends_a_process_whose_loop_is_stuck(home: Home, environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED, home],
        env=environ | {"MIMO_DAEMON__GRACE_SECONDS": "0.1", "MIMO_HTTP__ENABLED": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "blocked\n"
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 70
    assert "not stopped after" in said
    assert "in block" in said  # where it stood


async def test_a_pulse_that_fails_for_a_moment_only_skips_a_notice(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notices"))
        line.setblocking(False)
        notices = Notices({"NOTIFY_SOCKET": str(tmp_path / "notices"), "WATCHDOG_USEC": "3000"})
        pulses = 0

        async def pulse() -> None:
            nonlocal pulses
            pulses += 1
            if pulses < 3:
                raise Unavailable("the database is not open")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(notices.feed_watchdog, pulse)
            await trio.lowlevel.wait_readable(line)
            nursery.cancel_scope.cancel()
        assert line.recv(100) == b"WATCHDOG=1"
        assert pulses >= 3


def test_a_socket_that_lies_there_instead_of_ours_stays(serve: Callable[..., Any], home: Home) -> None:
    served = serve()
    os.unlink(home.socket)
    Path(home.socket).write_text("somebody else's")
    assert served.stop() == 0
    assert Path(home.socket).read_text() == "somebody else's"


def test_a_hangup_during_the_start_ends_nothing(serve: Callable[..., Any]) -> None:
    served = serve(ready=False)
    served.wait_for("EXTEND_TIMEOUT_USEC")  # in the middle of the first migration
    served.process.send_signal(1)
    served.wait_for("READY=1")
    assert served.stop() == 0


def test_settings_in_a_pipe_are_refused_and_not_waited_for(
    home: Home, mimo: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    os.mkdir(home, 0o700)
    os.mkfifo(os.path.join(home, "config.toml"))
    refused = mimo("serve", "--home", home)
    assert refused.returncode == 1
    assert "no regular file" in refused.stderr


def test_a_refused_start_leaves_no_socket_behind(
    home: Home, mimo: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    os.mkdir(home, 0o700)
    with open(home.database, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"not a database" * 1000)
    assert mimo("serve", "--home", home).returncode == 1
    assert not os.path.exists(home.socket)
