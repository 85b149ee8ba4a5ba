"""What the tests of the command line share."""

import io
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from mimo.cli import main
from mimo.home import Home


@pytest.fixture
def inside(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`mimo WORDS...` without a process of its own, for cases that are many."""

    def run(*words: str, given: str | bytes = "") -> "subprocess.CompletedProcess[str]":
        bytes_given = given.encode() if isinstance(given, str) else given
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes_given)))
        for name in set(os.environ) - set(environ):
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        return subprocess.CompletedProcess(["mimo", *words], code, said.out, said.err)

    return run


class Scripted:
    """A peer on the daemon's socket that answers by a script, for what a healthy daemon never does or cannot do yet."""

    def __init__(self, home: Home, answers: Mapping[str, Any]) -> None:
        os.makedirs(home, mode=0o700)
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(home.socket)
        self._listening.listen()
        self.hello: dict[str, Any] = {}
        self.requests: list[tuple[str, Any]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rb") as lines, suppress(OSError):
                self.hello = json.loads(lines.readline())
                for line in lines:
                    request = json.loads(line)
                    self.requests.append((request["method"], request["params"]))
                    given = self._answers[request["method"]]
                    if isinstance(given, bytes):
                        connection.sendall(given)
                        break
                    given = given(request["params"]) if callable(given) else given
                    told, final = given if isinstance(given, tuple) else ([], given)
                    for message in [*told, {"id": request["id"]} | final]:
                        connection.sendall(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")


@pytest.fixture
def scripted(home: Home) -> Iterator[Callable[[Mapping[str, Any]], Scripted]]:
    peers: list[Scripted] = []

    def start(answers: Mapping[str, Any]) -> Scripted:
        peers.append(Scripted(home, answers))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture
def beside_bare(environ: dict[str, str]) -> Callable[..., tuple[float, float]]:
    """Seconds of processor time: of a bare interpreter, and of one that is given these words."""
    without_coverage = {name: value for name, value in environ.items() if not name.startswith("COVERAGE")}

    def cpu(*words: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *words],
            env=without_coverage,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def measured(*words: str) -> tuple[float, float]:
        # In turns, and the least of some runs: what the others took more, the machine's other work has cost.
        both = [(cpu("-c", "pass"), cpu(*words)) for _ in range(8)]
        return min(bare for bare, _ in both), min(given for _, given in both)

    return measured
