"""From `mimo serve` on an empty directory to READY, beside a bare interpreter and the imports alone.

    python bench/bench_start.py [--rounds N] [--json]

CPU is the child's own, as the kernel counts it, so a busy machine moves it little; wall time moves a lot.
"""

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

Measured = tuple[float, float]  # wall and CPU seconds


def run(words: Sequence[str], ready: Callable[["subprocess.Popen[bytes]"], None], **more: str) -> Measured:
    """Start a process, wait until it is ready, end it. CPU includes the end, which is small."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(
        words, env=os.environ | more, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    ready(process)
    wall = time.perf_counter() - began
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def to_its_end(process: "subprocess.Popen[bytes]") -> None:
    process.wait()


def daemon() -> Measured:
    with (
        tempfile.TemporaryDirectory(prefix="mimo-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        address = os.path.join(folder, "notices")
        notices.bind(address)
        notices.settimeout(60)

        def ready(process: "subprocess.Popen[bytes]") -> None:
            while not notices.recv(4096).startswith(b"READY=1"):
                pass

        home = os.path.join(folder, "home")
        return run([sys.executable, "-m", "mimo", "serve", "--home", home], ready, NOTIFY_SOCKET=address)


CASES: dict[str, Callable[[], Measured]] = {
    "bare interpreter": lambda: run([sys.executable, "-c", ""], to_its_end),
    "import trio": lambda: run([sys.executable, "-c", "import trio"], to_its_end),
    "import mimo.daemon (all of it)": lambda: run(
        [sys.executable, "-c", "import gc; gc.disable(); import mimo.daemon, mimo.network, os; os._exit(0)"],
        to_its_end,
        OPENBLAS_NUM_THREADS="1",  # as `mimo serve` has it
    ),
    "mimo serve to READY, empty directory": daemon,
    "mimo --version": lambda: run([sys.executable, "-m", "mimo", "--version"], to_its_end),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seen: dict[str, list[Measured]] = {name: [] for name in CASES}
    for round_number in range(options.rounds + 1):
        for name, case in CASES.items():
            measured = case()
            if round_number:  # the first warms the disk's cache and the bytecode
                seen[name].append(measured)
    report = {
        name: {
            "wall_ms": [
                round(1000 * pick(wall for wall, _ in rows), 1) for pick in (min, statistics.median, max)
            ],
            "cpu_ms": [
                round(1000 * pick(cpu for _, cpu in rows), 1) for pick in (min, statistics.median, max)
            ],
        }
        for name, rows in seen.items()
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{'':40} {'wall ms: min / median / max':>32} {'CPU ms: min / median / max':>32}")
    for name, row in report.items():
        print(
            f"{name:40}",
            *(f"{' / '.join(f'{x:.0f}' for x in row[key]):>32}" for key in ("wall_ms", "cpu_ms")),
        )
    serve, imports = (report[name]["cpu_ms"][1] for name in list(CASES)[3:1:-1])
    print(f"imports are {imports / serve:.0%} of the daemon's CPU to READY")


if __name__ == "__main__":
    main()
