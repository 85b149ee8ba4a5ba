"""What all tests share: a short-pathed data directory, and a real daemon in it."""

import inspect
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from mimo.home import Home
from mimo.observability.loop import TOO_LONG, run_watched

# A gate says the same twice of the same code; who looks for new trouble draws new examples with MIMO_FAULTS=full.
settings.register_profile("same", derandomize=True)
if os.environ.get("MIMO_FAULTS") != "full":
    settings.load_profile("same")

# Counting the lines that run makes each of them several times slower.
SLOWED = 1 if sys.gettrace() is None else 6
PATIENCE = 30.0  # seconds for whatever a subprocess owes us; generous, because machines are loaded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever holds up the event loop fails the test in which it happens; a test that does it itself says so."""
    for item in items:
        watched = isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)
        if watched and item.get_closest_marker("holds_up_the_loop") is None:
            item.add_marker(pytest.mark.trio(run=partial(run_watched, too_long=TOO_LONG * SLOWED)))


@dataclass
class Served:
    """A `mimo serve` of ours, as a subprocess that told us by a notice that it was ready."""

    process: "subprocess.Popen[str]"
    home: Home
    notices: socket.socket
    said: list[str] = field(default_factory=list[str])

    def wait_for(self, notice: str) -> str:
        """The next notice that begins with this word."""
        while True:
            for said in self.said:
                if said.startswith(notice):
                    self.said.remove(said)
                    return said
            self.said += self.notices.recv(4096).decode().splitlines()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@pytest.fixture
def home() -> Iterator[Home]:
    """A data directory that is not there yet. Short, because a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        yield Home(os.path.join(folder, "home"))


@pytest.fixture
def environ(home: Home, tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the person who runs the tests is found."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "MIMO_CORE") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return kept | {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "MIMO_HOME": str(home),
        "MIMO_HTTP__PORT": "0",  # several may run at once
        "MIMO_SYNAPSE__PORT": "0",
    }


@pytest.fixture
def mimo(environ: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `mimo WORDS...` to its end, as a person would."""

    def run(*words: str, given: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mimo", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environ | more,
            check=False,
        )

    return run


@pytest.fixture
def serve(home: Home, environ: dict[str, str]) -> Iterator[Callable[..., Served]]:
    """Start `mimo serve` and wait until it says READY. All that were started are ended with the test."""
    running: list[Served] = []

    def start(*words: str, ready: bool = True, **more: str) -> Served:
        address = f"{home}.{len(running)}.notices"
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind(address)
        notices.settimeout(PATIENCE)
        process = subprocess.Popen(
            [sys.executable, "-m", "mimo", "serve", "--home", home, *words],
            env=environ | {"NOTIFY_SOCKET": address} | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        served = Served(process, home, notices)
        running.append(served)
        if ready:
            served.wait_for("READY=1")
        return served

    yield start
    for served in running:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait(PATIENCE)
        if served.process.stderr is not None:
            served.process.stderr.close()
        served.notices.close()


MakeCertificate = Callable[..., tuple[str, str]]


@pytest.fixture(scope="session")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> MakeCertificate:
    """Makes a certificate for this machine's own names and its key, as two files."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED with TLS: there is no openssl to make a certificate")

    def make(*more: str) -> tuple[str, str]:
        folder = tmp_path_factory.mktemp("certificate")
        chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
        words = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj /CN=localhost"
        )
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", *(more or ("-nodes",))]
        made = [*words.split(), *names, "-out", chain, "-keyout", key]
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        return chain, key

    return make


@pytest.fixture(scope="session")
def certificate(make_certificate: MakeCertificate) -> tuple[str, str]:
    return make_certificate()
