"""How far the vectors are, as `mimo status` and `mimo doctor` tell it, and what a hook is told when they come late."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mimo import __version__

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Script = Callable[[dict[str, Any]], Any]

ALL = {
    "model": "openai:new",
    "serving": "openai:new",
    "done": 1204,
    "waiting": 0,
    "set_aside": 0,
    "refused": "",
    "down": "",
}


@pytest.mark.parametrize(
    ("change", "told", "state"),
    [
        ({}, "1,204 of 1,204 by openai:new", "ok"),
        (
            {"waiting": 2796, "serving": "box"},
            "1,204 of 4,000 by openai:new, 2,796 wait; until then box answers questions",
            "ok",
        ),
        (
            {"set_aside": 1, "refused": "too long"},
            "1,204 of 1,205 by openai:new, 1 refused: too long",
            "note",
        ),
        (
            {"waiting": 1, "down": "nobody there"},
            "1,204 of 1,205 by openai:new, 1 wait; nobody there",
            "note",
        ),
        ({"model": "", "serving": "", "done": 0, "down": "no file"}, "0 of 0 by no model; no file", "note"),
    ],
)
def test_how_far_the_vectors_are_is_told(
    change: dict[str, Any], told: str, state: str, inside: Run, scripted: Script
) -> None:
    facts = {"pid": 1, "version": __version__, "embedding": ALL | change}
    scripted(
        {
            "mimo/status": {"result": facts},
            "initialize": {"result": {"serverInfo": {"name": "mimo"}}},
            "mimo/tool": {"result": {}},
        }
    )
    said = inside("status").stdout
    assert told in said
    assert json.loads(inside("status", "--json").stdout)["embedding"] == ALL | change
    found = {each["area"]: each for each in json.loads(inside("doctor", "--json").stdout)["findings"]}
    assert found["vectors"]["state"] == state
    assert bool(found["vectors"]["cure"]) == (state != "ok")


def test_a_daemon_tells_how_far_its_vectors_are(mimo: Run) -> None:
    mimo("restart")
    try:
        told = json.loads(mimo("status", "--json").stdout)["embedding"]
        assert told == ALL | {"model": told["model"], "serving": told["model"], "done": 0}
        assert f"0 of 0 by {told['model']}" in mimo("status").stdout
    finally:
        mimo("stop")


@pytest.fixture
def slow() -> Iterator[tuple[str, threading.Event]]:
    """A service that embeds what is stored, and keeps questions waiting until the event is set."""
    over = threading.Event()

    class Embeds(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            if any("?" in text for text in texts):
                over.wait(30)
            body = json.dumps({"embeddings": [[1.0, float(len(text))] for text in texts]}).encode()
            with suppress(ConnectionError):  # nobody waits for it any more
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Embeds)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", over
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hook_is_told_what_words_find_when_the_embedder_is_slow(
    mimo: Run, environ: dict[str, str], slow: tuple[str, threading.Event]
) -> None:
    url, _ = slow
    environ |= {
        "MIMO_EMBEDDING__PROVIDER": "ollama",
        "MIMO_EMBEDDING__MODEL": "m",
        "MIMO_EMBEDDING__DIMENSION": "2",
        "MIMO_EMBEDDING__URL": url,
    }
    try:
        assert mimo("remember", "The harbour master keeps the key of the lighthouse").returncode == 0
        until = time.monotonic() + 20
        while json.loads(mimo("status", "--json").stdout)["embedding"]["done"] == 0:
            assert time.monotonic() < until
        assert json.loads(mimo("status", "--json").stdout)["embedding"]["model"] == "ollama:m"
        asked = json.dumps({"session_id": "s", "prompt": "harbour master keeps the key of the lighthouse?"})
        told = mimo("hook", "prompt", given=asked).stdout
        assert "harbour master" in json.loads(told)["hookSpecificOutput"]["additionalContext"]
    finally:
        mimo("stop")
