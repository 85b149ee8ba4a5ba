"""The official MCP client of PyPI over HTTP, in both eras. Skipped where `ops/clients` has not fetched it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "clients"


@pytest.mark.parametrize(("mode", "revision"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
def test_the_python_client_does_what_clients_do(
    mode: str,
    revision: str,
    serve: Callable[..., Any],
    mimo: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    if not (CACHE / "mcp-2" / "installed").exists():
        pytest.skip("NOT TESTED with the clients of mcp-2: run ops/clients to install them")
    serve()
    doors = json.loads(mimo("status", "--json").stdout)["doors"]
    url = next(door["address"] for door in doors if door["name"] == "http")
    key = mimo("token").stdout.strip()
    python = CACHE / "mcp-2" / "bin" / "python"
    ended = subprocess.run(
        [python, CLIENTS / "mcp_2_http.py", mode, f"{url}/mcp", key],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    story = json.loads(ended.stdout)
    assert story["revision"] == revision
    assert "memory_search" in story["tools"]
    assert "Ilse" in story["found"]
    assert story["wrong"] is True
