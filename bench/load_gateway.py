"""Skills that die all the time, and a hundred that live, behind a daemon that is asked for memories meanwhile.

    python bench/load_gateway.py [--rows N] [--starts N] [--live N] [--json]

The peer is the same daemon a moment before, when no skill ran: searches in turn by one client, first in peace, then
in the storm. The children take their share of the cores, which on a small machine is most of what is seen; "in the
same noise, no skills" is the search while as many bare interpreters are started by somebody else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench_memory import WORDS, resident_mb, served, wait_for_vectors

from mimo.cli.client import Daemon
from mimo.cli.terminal import Failed
from mimo.home import Home

AT_ONCE = 8
SKILL = """
import json, os, sys
for line in sys.stdin.buffer:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "b", "version": "1"}}
    elif asked["method"] == "tools/list":
        answer["result"] = {"tools": [{"name": "die", "inputSchema": {"type": "object"}}]}
    elif asked["method"] == "tools/call":
        os.abort()
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""


class Searches:
    """One client that searches until told to stop, with the time of each."""

    def __init__(self, home: Home) -> None:
        self.took: list[float] = []
        self._home = home
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Searches:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        draw = random.Random(1)
        with Daemon(self._home) as daemon:
            while not self._over.is_set():
                query = " ".join(draw.choices(WORDS, k=6))
                began = time.perf_counter()
                daemon.tool("memory_search", {"query": query, "namespace": "bench", "format": "json"})
                self.took.append((time.perf_counter() - began) * 1000)
                self._over.wait(0.02)

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.took)
        return {
            "searches": len(ordered),
            "p50 ms": round(statistics.median(ordered), 2),
            "p99 ms": round(ordered[int(len(ordered) * 0.99)], 2),
        }


def fill(home: Home, rows: int) -> None:
    draw = random.Random(2)
    with Daemon(home) as daemon:
        for first in range(0, rows, 64):
            items = [
                {"content": " ".join(draw.choices(WORDS, k=20))} for _ in range(first, min(rows, first + 64))
            ]
            daemon.tool("memory_add", {"items": items, "namespace": "bench"})


def at_once(times: int, do: Callable[[int], None]) -> None:
    """So often, a few beside each other."""
    numbers = iter(range(times))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            do(number)

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def noise(number: int) -> None:
    subprocess.run([sys.executable, "-c", "import json"], check=True)


def bring_up(home: Home, count: int) -> float:
    """Seconds until so many run."""

    def test(number: int) -> None:
        with Daemon(home) as daemon:
            daemon.ask("mimo/skills/test", {"name": f"s{number}"}, seconds=120)

    began = time.perf_counter()
    at_once(count, test)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=400)
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        script = Path(folder, "skill.py")
        script.write_text(SKILL)
        command = {"command": sys.executable, "args": [str(script)]}
        told = measured(folder, command, options.rows, options.starts, options.live)
    if options.json:
        print(json.dumps(told, indent=1))
        return
    for name, figures in told.items():
        print(f"{name:<34}", "  ".join(f"{key} {value:,}" for key, value in figures.items()))


def measured(
    folder: str, command: dict[str, object], rows: int, starts: int, live: int
) -> dict[str, dict[str, float]]:
    told: dict[str, dict[str, float]] = {}
    declared = Path(folder, "home", "skills.json")

    def declare(count: int) -> None:
        declared.write_text(json.dumps({f"s{number}": command for number in range(count)}))

    def die(number: int) -> None:
        home = Home(os.path.join(folder, "home"))
        with Daemon(home) as daemon, suppress(Failed):  # every call fails: that is the storm
            daemon.tool(f"s{number % AT_ONCE}_die", {})

    with served(folder) as (home, pid, _):
        fill(home, rows)
        with Searches(home) as searches, Daemon(home) as daemon:
            wait_for_vectors(daemon, rows)
        told["while the rows are embedded"] = searches.figures()
        with Searches(home) as searches:
            time.sleep(5)
        told["in peace"] = searches.figures()
        with Searches(home) as searches:
            at_once(starts, noise)
        told["in the same noise, no skills"] = searches.figures()
        declare(AT_ONCE)
        with Daemon(home) as daemon:
            daemon.ask("mimo/skills/reload", seconds=60)
            bring_up(home, AT_ONCE)
            with Searches(home) as searches:
                at_once(starts, die)
            told[f"while skills die {starts} times"] = searches.figures()
            declared.unlink()
            daemon.ask("mimo/skills/reload", seconds=60)
            before = resident_mb(pid)
            declare(live)
            daemon.ask("mimo/skills/reload", seconds=60)
            up = bring_up(home, live)
            each = (resident_mb(pid) - before) / live
        began = time.perf_counter()
    told[f"{live} skills live"] = {
        "up s": round(up, 1),
        "each in the daemon KiB": round(each * 1024, 1),
        "daemon and all of them gone after s": round(time.perf_counter() - began, 2),
    }
    return told


if __name__ == "__main__":
    main()
