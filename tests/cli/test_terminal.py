"""What a person at a terminal gets: colour if they want it, a question before harm, nothing that steers the screen."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimo.home import Home

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def at_terminal(environ: dict[str, str]) -> Callable[..., tuple[int, str]]:
    """Run `mimo WORDS...` on a terminal of its own: its exit code, and what the screen got."""

    def run(*words: str, typed: str = "", **more: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "mimo", *words],
            env=environ | {"TERM": "xterm"} | more,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        screen = b""
        try:
            while chunk := os.read(ours, 65536):
                screen += chunk
        except OSError:  # how Linux says that nobody has the terminal any more
            pass
        finally:
            os.close(ours)
        return process.wait(30), screen.decode()

    return run


def test_colour_is_for_those_who_want_it(at_terminal: Callable[..., tuple[int, str]], mimo: Run) -> None:
    assert "\x1b[1mNext:" in at_terminal()[1]
    assert "\x1b" not in at_terminal(NO_COLOR="1")[1]
    assert "\x1b" not in at_terminal(TERM="dumb")[1]
    assert "\x1b" not in mimo().stdout


def test_what_others_wrote_cannot_steer_the_terminal(
    at_terminal: Callable[..., tuple[int, str]], scripted: Callable[[Any], Any]
) -> None:
    scripted(
        {"mimo/tool": {"result": {"text": "a\x1b]0;owned\x07\x9b31mb\tc", "data": None, "failed": False}}}
    )
    code, screen = at_terminal("show", "x")
    assert code == 0
    assert screen.splitlines()[-1] == "a\ufffd]0;owned\ufffd\ufffd31mb\tc"


@pytest.mark.parametrize(("typed", "erased"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_person_is_asked_before_what_cannot_be_undone(
    typed: str, erased: bool, at_terminal: Callable[..., tuple[int, str]], scripted: Callable[[Any], Any]
) -> None:
    peer = scripted({"mimo/tool": {"result": {"text": "erased", "data": None, "failed": False}}})
    code, screen = at_terminal("forget", "m1", "--purge", typed=typed)
    assert code == 0
    assert "Erase m1 for good, beyond undoing? [y/N]" in screen
    assert bool(peer.requests) is erased


def test_progress_is_shown_on_a_terminal_only(
    at_terminal: Callable[..., tuple[int, str]], scripted: Callable[[Any], Any], mimo: Run, tmp_path: Path
) -> None:
    told = [{"method": "mimo/exported", "params": {"lines": ["{}"] * 2, "total": 4}}]
    scripted({"mimo/export": (told, {"result": {"count": 2}})})
    assert "[============            ] 2/4 exported" in at_terminal("export", str(tmp_path / "a"))[1]
    said = mimo("export", "-")
    assert (said.stdout, said.stderr) == ("{}\n{}\n", "")


def test_logs_are_followed_as_they_grow(environ: dict[str, str], home: Home) -> None:
    os.makedirs(home, mode=0o700)
    with open(home.log, "w") as log:
        log.write("one\ntwo\n")
        log.flush()
        following = subprocess.Popen(
            [sys.executable, "-m", "mimo", "logs", "-f", "-n", "1"],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert following.stdout is not None
            assert following.stdout.readline() == "two\n"
            log.write("three\n")
            log.flush()
            assert following.stdout.readline() == "three\n"
        finally:
            following.kill()
            following.communicate()


def test_what_a_person_types_is_kept_as_the_users_word(
    at_terminal: Callable[..., tuple[int, str]], mimo: Run
) -> None:
    assert at_terminal("remember", "I", "drink", "tea")[0] == 0
    assert "from cli (user)" in mimo("show", "m1").stdout
    assert mimo("remember", "The agent noted this").returncode == 0
    assert "from cli (agent)" in mimo("show", "m2").stdout
    assert at_terminal("remember", "So did this one", CLAUDECODE="1")[0] == 0
    assert "from cli (agent)" in mimo("show", "m3").stdout
    mimo("stop")
