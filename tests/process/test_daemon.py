"""The life of the process, seen from outside: locks, signals, sockets, and directories that will not do."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import mimo as package
from mimo.choices import Daemon as DaemonSettings
from mimo.cli.client import Daemon
from mimo.daemon import LAST_RESORT
from mimo.home import LONGEST_SOCKET_PATH, Home
from mimo.launch import LARGEST_LOG, greeting
from mimo.observability.resources import THRESHOLDS
from mimo.storage.migrate import migrations_in
from mimo.transports.unix import MAX_CONNECTIONS
from mimo.vector import kernels

Serve = Callable[..., Any]
Mimo = Callable[..., "subprocess.CompletedProcess[str]"]


def status(mimo: Mimo, home: str) -> dict[str, Any]:
    return json.loads(mimo("status", "--json", "--home", home).stdout)


def spoken_to(home: Home, *lines: dict[str, Any]) -> socket.socket:
    """A client of ours that has said these lines."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(30)
    line.connect(home.socket)
    line.sendall(greeting("bridge") + b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    return line


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def test_it_serves_tells_its_state_and_stops(serve: Serve, mimo: Mimo, home: Home) -> None:
    served = serve()
    told = status(mimo, home)
    assert told["pid"] == served.process.pid
    assert told["home"] == home
    assert told["socket"] == home.socket
    assert told["doors"][0]["name"] == "socket"
    assert told["tree"]["state"] == "running"
    assert mimo("stop").returncode == 0
    assert served.stop() == 0
    assert served.wait_for("STOPPING=1")
    assert not os.path.exists(home.socket)
    assert mimo("status").returncode == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: int, serve: Serve) -> None:
    assert serve().stop(number) == 0


def test_what_it_makes_is_for_its_owner_only(serve: Serve, home: Home) -> None:
    serve()
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    for name in os.listdir(home):
        path = os.path.join(home, name)
        assert not stat.S_IMODE(os.stat(path).st_mode) & 0o077, name


def test_a_second_one_is_told_who_holds_the_directory(serve: Serve, mimo: Mimo, home: Home) -> None:
    first = serve()
    second = mimo("serve", "--home", home)
    assert second.returncode == 5
    assert f"process {first.process.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert status(mimo, home)["pid"] == first.process.pid


def test_the_lock_of_a_dead_one_holds_nobody_up(serve: Serve) -> None:
    serve().stop(signal.SIGKILL)
    assert serve().stop() == 0


def test_a_socket_path_that_is_too_long_is_explained(mimo: Mimo, home: Home) -> None:
    long = os.path.join(home, "x" * LONGEST_SOCKET_PATH)
    refused = mimo("serve", "--home", long)
    assert refused.returncode == 1
    assert f"the kernel allows {LONGEST_SOCKET_PATH}" in refused.stderr
    assert "--home" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_directory_open_to_others_is_refused(mimo: Mimo, home: Home) -> None:
    os.mkdir(home, 0o755)
    os.chmod(home, 0o755)
    refused = mimo("serve", "--home", home)
    assert refused.returncode == 1
    assert f"chmod 700 {home}" in refused.stderr
    assert os.listdir(home) == []


def test_a_file_in_the_place_of_the_directory_is_refused(mimo: Mimo, home: Home) -> None:
    with open(home, "w") as file:
        file.write("mine")
    refused = mimo("serve", "--home", home)
    assert refused.returncode == 1
    assert home in refused.stderr
    with open(home) as file:
        assert file.read() == "mine"


def test_a_foreign_file_in_the_place_of_the_database_is_refused_and_kept(mimo: Mimo, home: Home) -> None:
    os.mkdir(home, 0o700)
    with open(home.database, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"these are my notes, not yours\n" * 100)
    refused = mimo("serve", "--home", home)
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].startswith("mimo: ")
    assert "Traceback" not in refused.stderr
    with open(home.database, "rb") as file:
        assert file.read() == b"these are my notes, not yours\n" * 100


def test_idle_clients_do_not_hold_up_the_stop(serve: Serve, home: Home) -> None:
    served = serve()
    clients = [spoken_to(home, INITIALIZE) for _ in range(5)]
    for client in clients:
        assert b'"protocolVersion"' in client.recv(65536)
    assert served.stop() == 0
    for client in clients:
        with client:
            assert client.recv(65536) == b""


def test_a_client_that_never_reads_does_not_hold_up_the_stop(serve: Serve, home: Home) -> None:
    served = serve()
    questions = [{"jsonrpc": "2.0", "id": n, "method": "tools/list"} for n in range(2000)]
    with spoken_to(home, INITIALIZE, *questions):
        assert served.stop() == 0


def test_settings_are_read_again_on_a_hangup(serve: Serve, mimo: Mimo, home: Home) -> None:
    served = serve()
    with open(os.path.join(home, "config.toml"), "w") as file:
        file.write("[daemon]\nidle_minutes = 7\n")
    served.process.send_signal(signal.SIGHUP)
    assert served.wait_for("RELOADING=1")
    assert served.wait_for("READY=1")
    with spoken_to(home) as line:
        line.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "mimo/settings"}\n')
        # A bridge carries what an agent says, and settings are not for agents.
        assert "error" in json.loads(line.makefile().readline())
    assert mimo("reload").returncode == 0


def test_settings_that_do_not_fit_change_nothing(serve: Serve, mimo: Mimo, home: Home) -> None:
    served = serve()
    with open(os.path.join(home, "config.toml"), "w") as file:
        file.write("[daemon]\nidle_minuets = 7\n")
    served.process.send_signal(signal.SIGHUP)
    assert served.wait_for("READY=1")
    assert status(mimo, home)["pid"] == served.process.pid
    complaint = mimo("reload")
    assert complaint.returncode == 1
    assert "idle_minutes" in complaint.stderr
    assert served.stop() == 0


def test_one_that_a_bridge_started_leaves_when_nobody_is_there(serve: Serve) -> None:
    served = serve("--idle-exit", MIMO_DAEMON__IDLE_MINUTES="0.001")
    assert served.process.wait(30) == 0


def test_a_client_of_the_network_keeps_it_too(serve: Serve, mimo: Mimo, home: Home) -> None:
    served = serve("--idle-exit", MIMO_DAEMON__IDLE_MINUTES="0.04", MIMO_HTTP__ENABLED="on")
    (url,) = [door["address"] for door in status(mimo, home)["doors"] if door["name"] == "http"]
    client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    client.connect()
    with pytest.raises(subprocess.TimeoutExpired):
        served.process.wait(3)
    client.request("GET", "/health")
    assert client.getresponse().status == 200
    client.close()
    assert served.process.wait(30) == 0


def test_the_log_of_one_that_nobody_sees_starts_anew_when_it_is_large(mimo: Mimo, home: Home) -> None:
    os.mkdir(home, 0o700)
    before = b"what was said before\n" * (LARGEST_LOG // 20)
    Path(home.log).write_bytes(before)
    os.chmod(home.log, 0o600)
    assert mimo("remember", "tea").returncode == 0
    assert mimo("stop").returncode == 0
    assert Path(home.log + ".1").read_bytes() == before
    assert 0 < os.path.getsize(home.log) < LARGEST_LOG
    assert mimo("remember", "more tea").returncode == 0
    assert mimo("stop").returncode == 0
    assert Path(home.log + ".1").read_bytes() == before, "one that is not large goes on"


def test_as_many_clients_as_are_let_in_are_no_worry(serve: Serve, mimo: Mimo, home: Home) -> None:
    serve()
    clients = [spoken_to(home, INITIALIZE) for _ in range(MAX_CONNECTIONS - 1)]
    for client in clients:
        assert client.recv(65536)
    told = status(mimo, home)
    assert told["doors"][0]["connections"] == MAX_CONNECTIONS
    assert told["resources"]["tasks"] < THRESHOLDS["tasks"].warning
    for client in clients:
        client.close()


def test_what_goes_on_inside_is_told_by_status_and_metrics(serve: Serve, mimo: Mimo, home: Home) -> None:
    served = serve(
        MIMO_EMBEDDING__PROVIDER="ollama",
        MIMO_EMBEDDING__MODEL="m",
        MIMO_EMBEDDING__DIMENSION="3",
        MIMO_EMBEDDING__URL="http://127.0.0.1:1",  # nobody is there
    )
    with Daemon(home) as daemon:
        assert 'mimo_breaker_state{breaker="ollama"} 0.0' in daemon.ask("mimo/metrics")
        assert daemon.ask("mimo/status")["resources"].keys() >= {
            "cache_bytes",
            "cache_entries",
            "vector_bytes",
            "vectors",
            "wal_bytes",
        }
        assert mimo("remember", "tea").returncode == 0
        numbers, until = "", time.monotonic() + 30
        while 'mimo_breaker_state{breaker="ollama"} 2.0' not in numbers:
            assert served.process.poll() is None
            assert time.monotonic() < until
            numbers = daemon.ask("mimo/metrics")
        assert 'mimo_memories{state="live"}' in numbers
        assert 'mimo_cache_bytes{cache="vectors"}' in numbers
        assert f'kernel="{kernels()}"' in numbers
        assert "mimo_storage_read_seconds_count 0.0" not in numbers


UNITS = sorted((Path(__file__).parents[2] / "ops" / "systemd").rglob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.parent.name)
def test_the_longest_grace_ends_before_systemd_loses_its_patience(unit: Path) -> None:
    (limit,) = [
        each.le for each in DaemonSettings.model_fields["grace_seconds"].metadata if hasattr(each, "le")
    ]
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)s$", unit.read_text(), re.MULTILINE)
    assert limit + LAST_RESORT < int(patience)


def test_a_slow_migration_asks_for_time_again_and_again(serve: Serve, tmp_path: Path, home: Home) -> None:
    """The whole package, but for one migration more, which takes some seconds."""
    slow = len(migrations_in()) + 1
    original = Path(package.__file__).parent
    for folder, inside in ((original, "."), (original / "storage", "storage")):
        (tmp_path / "mimo" / inside).mkdir()
        for each in folder.iterdir():
            if each.name not in {"__pycache__", "storage", "migrations"}:
                (tmp_path / "mimo" / inside / each.name).symlink_to(each)
    migrations = tmp_path / "mimo" / "storage" / "migrations"
    migrations.mkdir()
    for each in (original / "storage" / "migrations").iterdir():
        (migrations / each.name).symlink_to(each)
    (migrations / f"{slow:04d}_slow.sql").write_text(
        "CREATE TABLE slow AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000)"
        " SELECT count(*) AS counted FROM n;"
    )
    served = serve(ready=False, PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    while not any(said.startswith("READY=1") for said in served.said):
        served.said += served.notices.recv(4096).decode().splitlines()
    asked = [said for said in served.said if said.startswith("EXTEND_TIMEOUT_USEC=")]
    assert set(asked) == {"EXTEND_TIMEOUT_USEC=60000000"}
    assert served.said.count(f"STATUS={slow:04d}_slow") >= 2
    assert served.stop() == 0


def test_it_takes_the_socket_that_it_is_handed(home: Home, environ: dict[str, str]) -> None:
    os.mkdir(home, 0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(home.socket)
        listening.listen()
        # Connected before there is anybody to accept: the kernel keeps us until there is.
        with spoken_to(home, INITIALIZE) as line:
            script = (
                "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); "
                "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}; "
                "os.execv(sys.executable, [sys.executable, '-m', 'mimo', 'serve', '--home', sys.argv[2]])"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", script, str(listening.fileno()), home],
                env=environ,
                pass_fds=[listening.fileno()],
                stderr=subprocess.DEVNULL,
            )
            try:
                assert b'"protocolVersion"' in line.recv(65536)
            finally:
                process.terminate()
                assert process.wait(30) == 0
    assert os.path.exists(home.socket), "a socket that somebody else made is not ours to remove"


def test_a_watchdog_is_fed_while_loop_and_writer_live(serve: Serve) -> None:
    served = serve(WATCHDOG_USEC="300000")
    assert served.wait_for("WATCHDOG=1")
    assert served.wait_for("WATCHDOG=1")
    assert served.stop() == 0
