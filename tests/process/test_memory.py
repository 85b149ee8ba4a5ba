"""The memory in a real daemon: written by several clients at once, killed, found again."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mimo.cli.client import Daemon
from mimo.home import Home

EACH = 1_000 if os.environ.get("MIMO_FAULTS") == "full" else 300
IN_FLIGHT = 32


class Bridge:
    """An editor's side of `mimo stdio`."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mimo", "stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
            bufsize=1,
        )
        self.say({"id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "editor", "version": "1"},
        }})  # fmt: skip
        self.hear()
        self.say({"method": "notifications/initialized"})

    def say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture
def bridges(environ: dict[str, str], serve: Callable[..., Any]) -> Iterator[list[Bridge]]:
    serve("--set", "http.enabled=on", "--set", "http.port=0")
    both = [Bridge(environ), Bridge(environ)]
    yield both
    for bridge in both:
        bridge.close()


def add(number: int, content: str) -> dict[str, Any]:
    arguments = {"content": content, "namespace": "shared"}
    return {"id": number, "method": "tools/call", "params": {"name": "memory_add", "arguments": arguments}}


def write_by_bridge(bridge: Bridge, name: str) -> list[str]:
    """What the answers say."""
    room = threading.Semaphore(IN_FLIGHT)
    told: list[str] = []

    def listen() -> None:
        while len(told) < EACH:
            answer = bridge.hear()
            told.append(answer["result"]["content"][0]["text"])
            room.release()

    listener = threading.Thread(target=listen)
    listener.start()
    for number in range(1, EACH + 1):
        room.acquire()
        bridge.say(add(number, f"{name} says {number}"))
    listener.join(60)
    return told


def write_by_http(home: Home, name: str) -> list[str]:
    with Daemon(home) as daemon:
        (address,) = (
            door["address"] for door in daemon.ask("mimo/status")["doors"] if door["name"] == "http"
        )
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    key = Path(home, "owner.key").read_text().strip()
    told: list[str] = []
    for number in range(1, EACH + 1):
        arguments = {"content": f"{name} says {number}", "namespace": "shared"}
        body = json.dumps({"tool": "memory_add", "arguments": arguments})
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/mimo/tool", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        told.append(answer["data"] if isinstance(answer["data"], str) else answer["data"]["text"])
    connection.close()
    return told


def exported(home: Home) -> list[dict[str, Any]]:
    lines: list[str] = []
    with Daemon(home, start=True) as daemon:
        daemon.ask("mimo/export", {}, told=lambda method, params: lines.extend(params["lines"]))
    return [line for line in map(json.loads, lines) if line.get("t") == "memory"]


def test_three_clients_that_write_at_once_lose_nothing_and_write_nothing_twice(
    home: Home, bridges: list[Bridge]
) -> None:
    with ThreadPoolExecutor(3) as pool:
        writers = [
            pool.submit(write_by_bridge, bridges[0], "Ann"),
            pool.submit(write_by_bridge, bridges[1], "Bob"),
            pool.submit(write_by_http, home, "Cleo"),
        ]
        told = [line for writer in writers for line in writer.result(90)]
    assert len(set(told)) == 3 * EACH
    assert all(line.startswith("added m") for line in told)
    memories = exported(home)
    assert len(memories) == 3 * EACH
    assert {each["content"] for each in memories} == {
        f"{name} says {number}" for name in ("Ann", "Bob", "Cleo") for number in range(1, EACH + 1)
    }
    for bridge in bridges:
        bridge.say(
            {
                "id": 9_999,
                "method": "tools/call",
                "params": {
                    "name": "memory_search",
                    "arguments": {"query": f"Cleo says {EACH}", "namespace": "shared", "format": "json"},
                },
            }
        )
        found = json.loads(bridge.hear()["result"]["content"][0]["text"])
        assert f"Cleo says {EACH}" in [hit["content"] for hit in found["results"]]


def test_what_was_acknowledged_is_found_after_a_kill(home: Home, serve: Callable[..., Any]) -> None:
    served = serve()
    with Daemon(home) as daemon:
        for number in range(20):
            daemon.tool("memory_add", {"content": f"The key figure is {number}", "namespace": "user"})
    served.process.kill()
    served.process.wait()
    serve()
    assert len(exported(home)) == 20


def test_a_memory_is_found_by_meaning_soon_after_it_was_said(home: Home, serve: Callable[..., Any]) -> None:
    serve()
    with Daemon(home) as daemon:
        daemon.tool("memory_add", {"content": "My favourite colour theme is dark", "namespace": "user"})
        for _ in range(200):
            data = daemon.tool(
                "memory_search", {"query": "which look do I like best", "namespace": "user", "format": "json"}
            ).data
            if data["arms"]["meaning"] == "ran" and data["results"]:
                break
        assert data["results"][0]["content"] == "My favourite colour theme is dark"


def test_the_command_line_keeps_finds_and_forgets(
    mimo: Callable[..., "subprocess.CompletedProcess[str]"], serve: Callable[..., Any]
) -> None:
    serve()
    assert mimo("remember", "--kind", "decision", "We use", "APSW").stdout == "added m1\n"
    assert "m1" in mimo("search", "APSW").stdout
    assert "[decision]" in mimo("show", "m1").stdout
    assert mimo("edit", "m1", "We use APSW and Trio").stdout == "updated m1\n"
    assert "We use APSW and Trio" in mimo("search", "--json", "Trio").stdout
    assert "forgot m1" in mimo("forget", "m1").stdout
    assert "restored m1" in mimo("undo").stdout
    assert "updated by cli" in mimo("history", "m1").stdout
    exported = mimo("export", "-").stdout
    assert "We use APSW and Trio" in exported
    assert mimo("import", "-", given=exported).stdout.startswith("0 added, 1 known")
    assert mimo("forget", "--purge", "--yes", "m1").stdout.startswith("purged m1")
    missing = mimo("show", "m1")
    assert missing.returncode != 0
    assert "no memory is called m1" in missing.stderr


def test_who_watches_a_memory_hears_that_it_changed(home: Home, bridges: list[Bridge]) -> None:
    watcher = bridges[0]

    def watch(number: int, uri: str) -> None:
        watcher.say({"id": number, "method": "resources/subscribe", "params": {"uri": uri}})
        assert watcher.hear()["id"] == number

    with Daemon(home) as daemon:
        watch(1, "mimo://context/shared")
        told = daemon.tool("memory_add", {"content": "The door is green", "namespace": "shared"}).text
        id_ = told.removeprefix("added ")
        assert (
            watcher.hear()["params"]["uri"] == "mimo://context/shared"
        )  # all there is to hear of the adding
        watch(2, f"mimo://memory/{id_}")
        daemon.tool("memory_edit", {"action": "update", "ids": [id_], "content": "The door is blue"})
    heard = [watcher.hear() for _ in range(2)]
    assert {note["method"] for note in heard} == {"notifications/resources/updated"}
    assert [note["params"]["uri"] for note in heard] == [f"mimo://memory/{id_}", "mimo://context/shared"]


def test_the_state_of_the_house_can_be_read_as_a_resource(bridges: list[Bridge]) -> None:
    bridges[0].say({"id": 1, "method": "resources/read", "params": {"uri": "mimo://status"}})
    (contents,) = bridges[0].hear()["result"]["contents"]
    assert contents["mimeType"] == "application/json"
    assert json.loads(contents["text"])["checks"]["writer"] == "ok"
