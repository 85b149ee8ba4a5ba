"""kill -9 at random moments of fifty runs: in the end every run has ended as it must, and no effect is twice or missing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

FULL = os.environ.get("MIMO_FAULTS") == "full"
KILLS = 200 if FULL else 6
RUNS = 50
WELL = Counter(["a", "left", "right", "child x", "child y", "b"])
BACK = Counter(["a", "left", "right", "child x", "child y", "not a", "not left"])

pytestmark = pytest.mark.faults


class Zygote:
    def __init__(self) -> None:
        script = Path(__file__).parent / "ledger_zygote.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def fork(self, **command: object) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        word, pid = self.line()
        assert word == "born"
        return int(pid)

    def line(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote is gone"
        return line.strip().split(" ", 1)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(10)


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    it = Zygote()
    yield it
    it.close()


def test_after_any_number_of_kills_every_run_has_ended_and_every_effect_is_there_once(
    zygote: Zygote, tmp_path: Path
) -> None:
    home = str(tmp_path / "home")
    chance = random.Random(7)
    done, kills = 0, 0
    while kills < KILLS:
        pid = zygote.fork(home=home, first=done, batches=1_000)
        assert zygote.line() == ["alive"]
        time.sleep(chance.uniform(0.0, 0.5))
        os.kill(pid, signal.SIGKILL)
        kills += 1
        while (told := zygote.line())[0] != "dead":
            assert told[0] != "error", told
            if told[0] == "batch":
                done = int(told[1]) + 1
    pid = zygote.fork(home=home, first=done, batches=1)
    while (told := zygote.line())[0] != "dead":
        assert told[0] != "error", told
    batches = done + 1
    db = apsw.Connection(f"{home}/mimo.db")
    statuses = Counter(db.execute(
        "SELECT status FROM procedure_executions WHERE parent_id IS NULL"
    ).fetchall())  # fmt: skip
    assert statuses == {("completed",): 40 * batches, ("rolled_back",): 10 * batches}
    lines: dict[str, Counter[str]] = {}
    for run, line in db.execute("SELECT run, line FROM ledger"):
        lines.setdefault(run, Counter())[line] += 1
    expected = {
        f"{batch}-{number}": BACK if number % 5 == 0 else WELL
        for batch in range(batches)
        for number in range(RUNS)
    }
    assert lines == expected
    assert batches > 1 or not FULL
    db.close()
