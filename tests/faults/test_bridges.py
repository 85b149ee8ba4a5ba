"""Bridges when things die around them: every call is answered once, nothing acknowledged is lost, nothing stays behind."""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mimo.home import Home

pytestmark = pytest.mark.faults

Message = dict[str, Any]
PATIENCE = 30.0
GREETING: list[Message] = [
    {
        "jsonrpc": "2.0",
        "id": "hello",
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


class Editor:
    """An MCP host that has started `mimo stdio`."""

    def __init__(self, home: Home, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mimo", "stdio", "--home", home],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._rest = b""

    def say(self, *messages: Message) -> None:
        data = memoryview(b"".join(json.dumps(each).encode() + b"\n" for each in messages))
        while data:
            data = data[self.stdin.write(data) :]

    def hear(self) -> Message:
        while b"\n" not in self._rest:
            assert select.select([self.stdout], [], [], PATIENCE)[0], "nothing was said"
            chunk = os.read(self.stdout.fileno(), 1 << 16)
            assert chunk, "the bridge hung up"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def greet(self) -> None:
        self.say(*GREETING)
        while self.hear().get("id") != "hello":
            pass

    def end(self) -> int:
        for pipe in (self.stdin, self.stdout):
            pipe.close()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture
def editor(home: Home, environ: dict[str, str]) -> Iterator[Callable[[], Editor]]:
    """Starts editors. In the end there must be no process left that has to do with this directory."""
    editors: list[Editor] = []

    def start() -> Editor:
        editors.append(Editor(home, environ))
        return editors[-1]

    yield start
    for each in editors:
        each.end()
    subprocess.run(
        [sys.executable, "-m", "mimo", "stop", "--home", home], env=environ, check=False, capture_output=True
    )
    until = time.monotonic() + PATIENCE
    while left := processes(home):
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.02)  # of processes that are not ours nobody tells us when they end


def processes(home: Home) -> list[str]:
    """Command lines of living processes that name this directory."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if home in words:
            found.append(" ".join(words))
    return found


def call(identity: int, key: str) -> Message:
    content = f"{random.Random(key).getrandbits(128):032x} is what {key} has to remember."
    arguments = {"content": content, "key": key}
    params = {"name": "memory_add", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}


class Writer:
    """Adds memories through one bridge, eight at a time, and asks again what was not acknowledged."""

    def __init__(self, name: str, editor: Editor, calls: int) -> None:
        self.acknowledged: dict[str, str] = {}  # key -> id of the memory
        self.answers: Counter[int] = Counter()
        self.retried = 0
        self.wrong: list[Message] = []
        self._editor = editor
        self._todo = [f"{name}-{number}" for number in range(calls)]
        self._next = 0
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        waiting: dict[int, str] = {}
        while self._todo or waiting:
            while self._todo and len(waiting) < 8:
                self._next += 1
                waiting[self._next] = key = self._todo.pop()
                self._editor.say(call(self._next, key))
            self._take(self._editor.hear(), waiting)

    def _take(self, answer: Message, waiting: dict[int, str]) -> None:
        if "method" in answer:
            return
        self.answers[answer["id"]] += 1
        key = waiting.pop(answer["id"], None)
        if key is None:
            self.wrong.append(answer)
        elif "result" in answer and not answer["result"].get("isError"):
            self.acknowledged[key] = memory_in(answer)
        elif _is_retryable(answer):
            self.retried += 1
            self._todo.append(key)
        else:
            self.wrong.append(answer)

    def again(self, key: str) -> str:
        """The memory that this key has made."""
        while True:
            self._next += 1
            self._editor.say(call(self._next, key))
            answer = self._editor.hear()
            while answer.get("id") != self._next:
                answer = self._editor.hear()
            if "result" in answer and not answer["result"].get("isError"):
                return memory_in(answer)


def _is_retryable(answer: Message) -> bool:
    if "error" in answer:
        return answer["error"]["data"]["retry"]
    return answer["result"]["_meta"]["mimo/error"]["retry"]


def memory_in(answer: Message) -> str:
    found = re.search(r"(?:added|into|known as) (m\w+)", answer["result"]["content"][0]["text"])
    assert found, answer
    return found[1]


def test_a_killed_daemon_loses_no_call_and_no_acknowledged_memory(
    editor: Callable[[], Editor], home: Home, counts: Callable[[int, int], int]
) -> None:
    rng = random.Random(5)
    kills, calls = counts(2, 40), counts(60, 1000)
    writers = [Writer(f"w{number}", editor(), calls) for number in range(8)]
    for each in writers:
        each._editor.greet()
        each.thread.start()
    for _ in range(kills):
        before = sum(len(each.acknowledged) for each in writers)
        while sum(len(each.acknowledged) for each in writers) < before + 16:  # it serves again
            assert any(each.thread.is_alive() for each in writers), "they were done too soon"
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(daemon_of(home), signal.SIGKILL)
    for each in writers:
        each.thread.join(120)
        assert not each.thread.is_alive(), "a call was never answered"
        assert not each.wrong
        assert set(each.answers.values()) == {1}
        assert len(each.acknowledged) == calls
    assert sum(each.retried for each in writers), "no kill met a call in flight"
    for each in writers:
        for key in rng.sample(sorted(each.acknowledged), counts(10, 100)):
            assert each.again(key) == each.acknowledged[key]


def daemon_of(home: Home) -> int:
    """The one that holds the lock now; while there is none, the next one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            pid = int(Path(home.lock).read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            time.sleep(0.01)
        else:
            return pid
    raise AssertionError("no daemon came")


def test_stdin_may_close_at_every_byte_of_a_message(
    editor: Callable[[], Editor], counts: Callable[[int, int], int]
) -> None:
    editor().greet()
    message = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "ping"}).encode() + b"\n"
    for cut in [*range(0, len(message) - 1, counts(9, 1)), len(message) - 1, len(message)]:
        each = editor()
        each.stdin.write(message[:cut])
        each.stdin.close()
        said = [json.loads(line) for line in each.stdout.readlines()]
        assert each.process.wait(2) == 0
        if cut >= len(message) - 1:  # whole, with or without its newline
            assert said == [{"jsonrpc": "2.0", "id": 7, "result": {}}]
        else:
            assert [answer["error"]["code"] for answer in said] in ([], [-32700])


def test_who_never_reads_is_held_back_and_nobody_else_notices(editor: Callable[[], Editor]) -> None:
    deaf, other = editor(), editor()
    deaf.greet()
    other.greet()
    os.set_blocking(deaf.stdin.fileno(), False)
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode() + b"\n"
    written = 0
    while select.select([], [deaf.stdin], [], 1.0)[1]:
        written += deaf.stdin.write(line * 200) or 0
        assert written < 100 << 20, "it is never held back"
    other.say({"jsonrpc": "2.0", "id": 2, "method": "ping"})
    assert other.hear() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    status = Path(f"/proc/{deaf.process.pid}/statm").read_text().split()
    assert int(status[1]) * os.sysconf("SC_PAGE_SIZE") < 64 << 20
    deaf.stdout.close()
    assert deaf.process.wait(2) == 0


def test_cancelled_calls_are_answered_once_at_most_and_leave_nothing(
    editor: Callable[[], Editor], counts: Callable[[int, int], int]
) -> None:
    each = editor()
    each.greet()
    many = counts(200, 1000)
    for first in range(0, many, 100):
        for number in range(first, first + 100):
            each.say(
                call(number, f"c{number}"),
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}},
            )
    each.say({"jsonrpc": "2.0", "id": "end", "method": "tools/list"})
    answers: Counter[Any] = Counter()
    while "end" not in answers:
        answers[each.hear()["id"]] += 1
    assert set(answers.values()) == {1}
    each.say(call(many, "afterwards"))
    answer = each.hear()
    while answer["id"] != many:
        answers[answer["id"]] += 1
        answer = each.hear()
    assert set(answers.values()) == {1}
    assert memory_in(answer)


def test_no_bridge_outlives_its_killed_parent(
    editor: Callable[[], Editor], home: Home, environ: dict[str, str]
) -> None:
    """Their pipes stay open in us, so it is not the end of a pipe that tells them."""
    editor().greet()
    script = (
        "import subprocess, sys\n"
        "for pipe in sys.argv[2:]:\n"
        "    words = [sys.executable, '-m', 'mimo', 'stdio', '--home', sys.argv[1]]\n"
        "    print(subprocess.Popen(words, stdin=int(pipe), stdout=2).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    pipes = [os.pipe() for _ in range(8)]
    for _, theirs in pipes:
        os.write(theirs, b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    sources = [ours for ours, _ in pipes]
    with subprocess.Popen(
        [sys.executable, "-c", script, home, *map(str, sources)],
        env=environ,
        pass_fds=sources,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        bridges = [os.pidfd_open(int(parent.stdout.readline())) for _ in range(8)]
        assert all(b'"result"' in parent.stderr.readline() for _ in bridges)  # all are up
        parent.kill()
        for bridge in bridges:
            assert select.select([bridge], [], [], 2.0)[0], "a bridge outlived its parent"
            os.close(bridge)
    for ours, theirs in pipes:
        os.close(ours)
        os.close(theirs)
