"""kill -9 while sixteen writers write: what was acknowledged is there, and the file is sound."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimo.home import Home
from mimo.storage.check import findings
from mimo.storage.connection import open_connection
from mimo.storage.migrate import Migration

pytestmark = pytest.mark.faults


def test_no_kill_loses_what_was_acknowledged(
    tmp_path: Path, zygote: Any, notes: list[Migration], counts: Callable[[int, int], int]
) -> None:
    home = Home(tmp_path / "home")
    rng = random.Random(3)
    kills, acked, slowest = counts(12, 200), set[int](), 0.0
    for kill in range(kills):
        pid = zygote.fork(notes, do="write", home=home, first=kill * 1_000_000 + 1)
        enough = rng.randrange(1, 120)
        killed = False
        while (said := zygote.line())[0] != "dead":
            assert said[0] == "ack", said
            acked.add(int(said[1]))
            enough -= 1
            if enough <= 0 and not killed:
                killed = True
                until = time.monotonic() + rng.random() * 0.003  # in the middle of whatever comes then
                while time.monotonic() < until:
                    pass
                os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        db = open_connection(home.database)
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # recovers
        slowest = max(slowest, time.monotonic() - began)
        there = {number for (number,) in db.execute("SELECT id FROM note")}
        keys = {key for (key,) in db.execute("SELECT key FROM answer")}
        if kill % 10 == 0 or kill == kills - 1:
            assert findings(db) == []
        db.close()
        assert acked <= there, f"lost after kill {kill}: {sorted(acked - there)[:10]}"
        assert keys == {f"n{number}" for number in there}
    print(
        f"\nkill -9: {kills} kills, {len(acked)} acknowledged, 0 lost, 0 corrupt, "
        f"slowest recovery {slowest * 1000:.1f} ms"
    )
