"""`mimo skill ...` from the first word to the last process."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mimo.home import Home

Mimo = Callable[..., "subprocess.CompletedProcess[str]"]
FAKE = str(Path(__file__).parent.parent / "services" / "skills" / "fake.py")


@pytest.fixture
def ended(mimo: Mimo) -> Iterator[None]:
    yield
    mimo("stop")


@pytest.mark.usefixtures("ended")
def test_a_skill_is_added_tested_called_and_removed(mimo: Mimo, home: Home) -> None:
    added = mimo("skill", "add", "fake", "--env", "A=b", "--", sys.executable, FAKE)
    assert added.returncode == 0, added.stderr
    declared = json.loads(Path(home, "skills.json").read_text())
    assert declared == {"fake": {"command": sys.executable, "args": [FAKE], "env": {"A": "b"}}}
    assert Path(home, "skills.json").stat().st_mode & 0o777 == 0o600

    tested = mimo("skill", "test", "fake")
    assert tested.returncode == 0, tested.stderr
    assert "legacy protocol" in tested.stdout
    assert "echo" in tested.stdout
    assert mimo("tool", "fake_echo", "text=hello").stdout.strip() == "hello"
    assert "fake_echo" in mimo("tool", "gateway_find_tools", "query=say again").stdout
    listed = json.loads(mimo("skill", "list", "--json").stdout)
    assert [(each["name"], each["state"]) for each in listed["skills"]] == [("fake", "running")]

    again = mimo("skill", "add", "fake", "--", "x")
    assert again.returncode == 5
    assert "--replace" in again.stderr
    replaced = mimo("skill", "add", "fake", "--replace", "--", sys.executable, FAKE, "dies at once")
    assert replaced.returncode == 0, replaced.stderr
    failed = mimo("skill", "test", "fake")
    assert failed.returncode == 1
    assert "exited with 1" in failed.stderr
    assert "cannot live like this" in mimo("skill", "logs", "fake").stdout

    assert mimo("skill", "remove", "fake").returncode == 0
    assert mimo("tool", "fake_echo").returncode == 3
    assert "no skills" in mimo("skill", "list").stdout


def test_a_skill_that_cannot_be_is_not_written(mimo: Mimo, home: Home) -> None:
    wrong = mimo("skill", "add", "fake", "--prefix", "memory", "--", "x")
    assert wrong.returncode == 1
    assert "fake.prefix: 'memory' is the prefix of mimo's own tools" in wrong.stderr
    assert not Path(home, "skills.json").exists()
    assert mimo("skill", "add", "fake").returncode == 2
    assert mimo("skill", "add", "fake", "--url", "http://x", "--", "x").returncode == 2
    assert mimo("skill", "add", "fake", "--env", "nothing", "--", "x").returncode == 2


def test_comments_and_what_is_around_stay_where_they_are(mimo: Mimo, home: Home) -> None:
    Path(home).mkdir(mode=0o700)
    path = Path(home, "skills.json")
    path.write_text('{\n  "mcpServers": {\n    "//": "mine",\n    "a": {"command":   "x"}\n  }\n}\n')
    assert mimo("skill", "add", "b", "--", "y", "z").returncode == 0
    text = path.read_text()
    assert text.startswith('{\n  "mcpServers": {\n    "//": "mine",\n    "a": {"command":   "x"}')
    assert json.loads(text)["mcpServers"]["b"] == {"command": "y", "args": ["z"]}
    assert mimo("skill", "remove", "a").returncode == 0
    assert list(json.loads(path.read_text())["mcpServers"]) == ["//", "b"]


def test_every_problem_of_the_file_is_named(mimo: Mimo, home: Home) -> None:
    Path(home).mkdir(mode=0o700)
    Path(home, "skills.json").write_text('{"a": {}, "b": {"command": 1, "cwdd": ""}}')
    told = json.loads(mimo("skill", "check", "--json").stdout)
    assert [each["place"] for each in told["problems"]] == ["a", "b.command", "b.cwdd"]
    assert mimo("skill", "check").returncode == 1
    assert "oneOf" in mimo("skill", "check", "--schema").stdout
