"""Processes that outlived what started them: written down while they run, found by a mark, and ended.

A record holds a process's number, the time of its start and its mark. When a daemon was killed, the next one
goes through the records that are left. Children that left their parent's group and session still carry the mark.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import trio

PROC = Path("/proc")
# One that was killed is gone as soon as it gets a core, unless a device holds it.
DYING = 2.0


class Leftovers:
    """The records of one data directory."""

    MARK = "MIMO_SKILL_MARK"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._limiter = trio.CapacityLimiter(1)
        self._marks = set[str]()  # to be looked for together, by whoever looks next

    def began(self, pid: int, mark: str) -> None:
        """Write down that it runs. Not synced: what a power cut takes, it took the processes of too."""
        with suppress(OSError):  # nobody is to go without a skill because the disk is full
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / str(pid)).write_text(f"{start_of(pid)} {mark}\n")

    async def ended(self, pid: int, mark: str) -> None:
        """It has ended and was reaped: end what carries its mark, and strike its record."""
        self._marks.add(mark)
        async with self._limiter:
            marks, self._marks = self._marks, set[str]()
            if marks:  # else somebody who looked just now looked for ours too
                await trio.to_thread.run_sync(end_marked, marks)
        with suppress(OSError):
            (self._folder / str(pid)).unlink()

    async def sweep(self) -> int:
        """End all that an earlier daemon left. Gives how many processes that were."""
        return await trio.to_thread.run_sync(self._sweep)

    def _sweep(self) -> int:
        try:
            records = list(self._folder.iterdir())
        except OSError:
            return 0
        marks, ended = set[str](), 0
        for record in records:
            with suppress(OSError, ValueError):
                began, mark = record.read_text().split()
                marks.add(mark)
                pid = int(record.name)
                if start_of(pid) == int(began) != 0:
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)
                        ended += 1
        ended += end_marked(marks)
        for record in records:
            with suppress(OSError):
                record.unlink()
        return ended


def start_of(pid: int) -> int:
    """When a process began, in the kernel's ticks; 0 if that cannot be known."""
    try:
        return int((PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def end_marked(marks: Iterable[str]) -> int:
    """KILL every process of ours that carries one of these marks, and all that they start meanwhile; wait for their end."""
    if sys.platform != "linux":
        return 0
    wanted = [f"{Leftovers.MARK}={mark}\0".encode() for mark in marks]
    ended = set[int]()
    until = time.monotonic() + DYING
    while found := [pid for pid in _ours() if _carries(pid, wanted)]:
        for pid in found:
            ended.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            break
        time.sleep(0.002)  # the dead carry no mark
    return len(ended)


def _ours() -> Iterable[int]:
    """All processes but this one; of others we cannot read what matters anyway."""
    me = os.getpid()
    return [int(name) for name in os.listdir(PROC) if name.isdigit() and int(name) != me]


def _carries(pid: int, wanted: list[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return False
    return any(mark in environ for mark in wanted)
