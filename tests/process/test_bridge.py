"""`mimo stdio`, as an editor meets it: it starts what is missing, loses nothing quietly, and leaves when it should."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mimo.home import Home
from mimo.launch import is_held

Message = dict[str, Any]
Mimo = Callable[..., "subprocess.CompletedProcess[str]"]

INITIALIZE: Message = {
    "jsonrpc": "2.0",
    "id": "first",
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
# A bridge whose code says that it is of a later version.
NEWER = (
    "import sys, mimo.launch; mimo.launch.__version__ = '999.0'\n"
    "from mimo.bridge import main; sys.exit(main(sys.argv[2:]))"
)
INITIALIZED: Message = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Editor:
    """An MCP host that has started `mimo stdio`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._rest = b""

    def say(self, *messages: Message | bytes) -> None:
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(
                message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
            )
        self.process.stdin.flush()

    def hear(self, seconds: float = 30) -> Message:
        """The next message."""
        assert self.process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            assert left > 0, "nothing was said"
            if select.select([self.process.stdout], [], [], left)[0]:
                chunk = os.read(self.process.stdout.fileno(), 65536)
                assert chunk, "the bridge hung up"
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def is_silent(self, seconds: float) -> bool:
        """Is nothing said for so long?"""
        return not self._rest and not select.select([self.process.stdout], [], [], seconds)[0]

    def shake_hands(self) -> Message:
        self.say(INITIALIZE, INITIALIZED)
        return self.hear()

    def ask(self, method: str, identity: int = 2) -> Message:
        self.say({"jsonrpc": "2.0", "id": identity, "method": method})
        return self.hear()


@pytest.fixture
def editor(home: Home, environ: dict[str, str], mimo: Mimo) -> Iterator[Callable[..., Editor]]:
    editors: list[Editor] = []

    def start(*words: str, program: Sequence[str] = ("-m", "mimo")) -> Editor:
        process = subprocess.Popen(
            [sys.executable, *program, "stdio", "--home", home, *words],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        editors.append(Editor(process))
        return editors[-1]

    yield start
    for each in editors:
        for pipe in (each.process.stdin, each.process.stdout, each.process.stderr):
            assert pipe is not None
            pipe.close()
        each.process.kill()
        each.process.wait(30)
    mimo("stop", "--home", home)


def daemon_of(mimo: Mimo) -> int:
    return json.loads(mimo("status", "--json").stdout)["pid"]


def test_what_cannot_be_read_is_answered_under_the_id_that_it_was_asked_under(
    editor: Callable[..., Editor],
) -> None:
    client = editor()
    client.shake_hands()
    remember: Message = {"name": "memory_add", "arguments": {"content": "half an emoji: \ud83d"}}
    client.say({"method": "tools/call", "params": remember, "jsonrpc": "2.0", "id": 5})
    half = client.hear()
    assert half["id"] == 5
    assert half["result"]["content"][0]["text"].startswith("content must be valid Unicode")
    for identity, length in (
        (6, 5_000_000),
        (7, 10_000_000),
    ):  # what the bridge holds back as a line, and more
        remember["arguments"]["content"] = "x" * length
        client.say({"method": "tools/call", "params": remember, "jsonrpc": "2.0", "id": identity})
        long = client.hear()
        assert (long["id"], "split the work" in long["error"]["message"]) == (identity, True)
    assert client.ask("ping", 8)["result"] == {}


def test_it_starts_the_daemon_that_is_not_there(editor: Callable[..., Editor], mimo: Mimo) -> None:
    answer = editor().shake_hands()
    assert answer["id"] == "first"
    assert answer["result"]["serverInfo"]["name"] == "mimo"
    assert daemon_of(mimo) > 1


def test_eight_at_once_start_one_daemon(editor: Callable[..., Editor], mimo: Mimo, home: Home) -> None:
    editors = [editor() for _ in range(8)]
    for each in editors:
        each.say(INITIALIZE)
    assert [each.hear()["id"] for each in editors] == ["first"] * 8
    with open(home.log) as log:
        assert sum('"ready"' in line for line in log) == 1


def test_it_leaves_when_the_editor_hangs_up(editor: Callable[..., Editor]) -> None:
    each = editor()
    each.shake_hands()
    assert each.process.stdin is not None
    each.process.stdin.close()
    assert each.process.wait(1.5) == 0


def test_it_answers_what_was_asked_before_the_editor_hung_up(mimo: Mimo) -> None:
    questions = [INITIALIZE, INITIALIZED, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}]
    told = mimo("stdio", given="".join(json.dumps(each) + "\n" for each in questions))
    assert [json.loads(line)["id"] for line in told.stdout.splitlines()] == ["first", 2]
    assert told.stderr == ""
    mimo("stop")


def test_it_leaves_when_the_editor_is_killed(home: Home, environ: dict[str, str], mimo: Mimo) -> None:
    """A killed editor's pipe may stay open in a sibling, so the end of the pipe does not tell."""
    script = (
        "import os, subprocess, sys; r, w = os.pipe(); os.set_inheritable(w, True)\n"
        "p = subprocess.Popen([sys.executable, '-m', 'mimo', 'stdio', '--home', sys.argv[1]], stdin=r, close_fds=False)\n"
        "print(p.pid, flush=True); os.write(w, sys.argv[2].encode()); sys.stdin.read()"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", script, home, json.dumps(INITIALIZE) + "\n"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with host:
        assert host.stdout is not None
        bridge = os.pidfd_open(int(host.stdout.readline()))
        assert b'"first"' in host.stdout.readline()  # the bridge is up
        host.kill()
        host.wait(30)
        assert select.select([bridge], [], [], 1.0)[0], "the bridge outlived its editor"
        os.close(bridge)
    mimo("stop", "--home", home)


def test_it_ends_on_a_signal(editor: Callable[..., Editor]) -> None:
    each = editor()
    each.shake_hands()
    each.process.terminate()
    assert each.process.wait(1.0) == -signal.SIGTERM


def test_a_killed_daemon_is_replaced_and_the_session_goes_on(
    editor: Callable[..., Editor], mimo: Mimo
) -> None:
    each = editor()
    each.shake_hands()
    first = daemon_of(mimo)
    os.kill(first, signal.SIGKILL)
    answer = each.ask("tools/list")
    while "error" in answer:  # it was under way when the daemon died, and we are told so
        assert answer["error"]["data"]["retry"] is True
        answer = each.ask("tools/list")
    assert "tools" in answer["result"]
    assert daemon_of(mimo) != first


def test_calls_in_flight_are_answered_when_the_daemon_dies(editor: Callable[..., Editor], mimo: Mimo) -> None:
    each = editor()
    each.shake_hands()
    daemon = daemon_of(mimo)
    os.kill(daemon, signal.SIGSTOP)
    each.say(*({"jsonrpc": "2.0", "id": n, "method": "tools/list"} for n in range(10)))
    os.kill(daemon, signal.SIGKILL)
    answers = [each.hear() for _ in range(10)]
    assert [answer["id"] for answer in answers] == list(range(10))
    assert all("result" in answer or answer["error"]["data"]["retry"] for answer in answers)


def test_a_directory_that_will_not_do_is_explained_on_both_sides(
    editor: Callable[..., Editor], home: Home, tmp_path: Any
) -> None:
    os.mkdir(home, 0o700)
    with open(home.database, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"not a database at all\n" * 500)
    each = editor()
    each.say(INITIALIZE)
    answer = each.hear()
    assert answer["id"] == "first"
    assert home.database in answer["error"]["message"]
    assert each.process.wait(30) == 1
    assert each.process.stderr is not None
    assert home.database.encode() in each.process.stderr.read()


@pytest.mark.parametrize("words", [("--hoem", "x"), ("--home",), ("extra",)])
def test_words_that_it_does_not_know_are_named(words: tuple[str, ...], mimo: Mimo) -> None:
    refused = mimo("stdio", *words)
    assert refused.returncode == 2
    assert words[0] in refused.stderr
    assert refused.stdout == ""


def test_lines_come_through_as_they_are_however_they_are_cut(editor: Callable[..., Editor]) -> None:
    each = editor()
    each.shake_hands()
    line = json.dumps(
        {"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"filler": "ä\u2028" * 50_000}}
    ).encode()
    for start in range(0, len(line), 10_000):
        each.say(line[start : start + 10_000])
    each.say(b"\r\n")
    assert each.hear() == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_garbage_is_the_daemons_to_judge_and_ends_nothing(editor: Callable[..., Editor]) -> None:
    each = editor()
    each.shake_hands()
    each.say(b"\xff\xfe garbage\n", b"[1,2\n", b"{}\n")
    assert {each.hear()["error"]["code"] for _ in range(3)} <= {-32700, -32600}
    assert each.ask("ping", 8) == {"jsonrpc": "2.0", "id": 8, "result": {}}


def test_a_standalone_one_ends_with_its_editor_and_frees_the_directory(
    editor: Callable[..., Editor], home: Home
) -> None:
    each = editor("--standalone")
    assert each.shake_hands()["id"] == "first"
    assert each.process.stdin is not None
    each.process.stdin.close()
    assert each.process.wait(30) == 0
    assert not is_held(home.lock)


DISCOVER: Message = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "server/discover",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}


def test_a_probe_and_then_a_handshake_are_answered_right_cold_and_warm(editor: Callable[..., Editor]) -> None:
    """Clients probe, lose patience after 0.58 s and more, and shake hands on the same pipe."""
    told: list[Message] = []
    for _ in ("cold", "warm"):
        each = editor()
        each.say(DISCOVER)
        told.append(each.hear())
        assert each.is_silent(0.58)
        assert each.shake_hands()["result"]["protocolVersion"] == "2025-11-25"
        assert each.ask("ping") == {"jsonrpc": "2.0", "id": 2, "result": {}}
    assert told[0] == told[1]
    assert told[0]["id"] == 0


def test_a_probe_is_answered_once_while_the_daemon_cannot_answer(
    editor: Callable[..., Editor], mimo: Mimo
) -> None:
    editor().shake_hands()
    daemon = daemon_of(mimo)
    os.kill(daemon, signal.SIGSTOP)
    try:
        each = editor()
        each.say(DISCOVER)
        assert each.hear(5)["result"]["supportedVersions"] == ["2026-07-28"]
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert each.shake_hands()["id"] == "first"  # and nothing before it


@pytest.mark.parametrize(
    "wrong",
    [
        {"params": {}},
        {"params": {"_meta": 5}},
        {"params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}}},
        {"id": None},
    ],
)
def test_a_probe_that_is_not_right_is_the_daemons_to_judge(
    editor: Callable[..., Editor], wrong: Message
) -> None:
    each = editor()
    each.say(DISCOVER | wrong)
    assert "error" in each.hear()


def test_an_older_daemon_makes_way_for_a_newer_bridge_once(
    editor: Callable[..., Editor], mimo: Mimo, home: Home
) -> None:
    """The next daemon is no newer than this one, as after a botched update; it is taken as it is."""
    old = editor()
    old.shake_hands()
    first = daemon_of(mimo)
    new = editor(program=("-c", NEWER))
    assert new.shake_hands()["id"] == "first"
    second = daemon_of(mimo)
    assert second != first
    assert new.ask("ping")["result"] == {}
    answer = old.ask("tools/list")
    while "error" in answer:
        answer = old.ask("tools/list")
    assert daemon_of(mimo) == second
