"""A skill's process: started bound to our life, its lines in and out, its last words kept, and its end with all its children.

The end is always the same: close its stdin, TERM to its group, KILL to its group, and whoever left the group
is found by a mark in the environment. While the process is a zombie its number is nobody else's, so the group is
killed before it is reaped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio
from trio.lowlevel import wait_readable, wait_writable

from mimo.errors import Unavailable
from mimo.services.skills.leftovers import Leftovers
from mimo.services.skills.spawner import Spawner

LAUNCHER = str(Path(__file__).with_name("launcher.py"))
CHUNK = 64 * 1024
# A process that does not read what it is asked is not asked any more.
FULL = 8 * 1024 * 1024
# What is kept of what it says on stderr.
MOST_LINES, LONGEST_LINE = 400, 2000
# From closing its stdin to TERM, and from there to KILL.
AFTER_EOF, AFTER_TERM = 2.0, 2.0
# Against one that runs wild, not against one that is large: no core files, and no endless open files.
# Not its address space: Node, Go and the JVM reserve tens of gigabytes that they never touch, and do not start with
# less. Nor its processes: the kernel counts all of the user's, so that an editor's would keep a skill from starting.
LIMITS = "RLIMIT_CORE=0,RLIMIT_NOFILE=4096"


@dataclass(slots=True)
class LastWords:
    """The end of what a skill said on stderr, within bounds, over all its lives."""

    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=MOST_LINES))
    _begun: bytes = b""

    def hear(self, chunk: bytes) -> None:
        *whole, self._begun = (self._begun + chunk).split(b"\n")
        for line in whole:
            self.add(line.decode(errors="replace"))
        if len(self._begun) > LONGEST_LINE:  # the rest of it begins a line of its own
            self.add(self._begun.decode(errors="replace"))
            self._begun = b""

    def add(self, line: str) -> None:
        if line.strip():
            self.lines.append(f"{time.strftime('%H:%M:%S')} {line.rstrip()[:LONGEST_LINE]}")

    def close(self) -> None:
        self.hear(b"\n")

    @property
    def last(self) -> str:
        """For an error's text."""
        return self.lines[-1].split(" ", 1)[1][:300] if self.lines else ""


@dataclass(frozen=True, slots=True)
class Start:
    """All that it takes to start one."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    mark: str  # in its environment, and in that of all its children


class Process:
    """One life of one process, from `Running`."""

    def __init__(self, popen: subprocess.Popen[bytes], words: LastWords) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen = popen
        self.pid = popen.pid
        self._words = words
        self._in = popen.stdin.fileno()
        self._out, self._err = popen.stdout.fileno(), popen.stderr.fileno()
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
        self._waiting = deque[bytes]()
        self._size = 0
        self._nursery: trio.Nursery | None = None
        self._writing = False

    def write_in(self, nursery: trio.Nursery) -> None:
        """Have a task there write what does not go at once, as long as there is something."""
        self._nursery = nursery

    def send(self, frame: bytes, *, soon: bool = False) -> None:
        """Write a line, at once if it goes, or `soon` with others of this turn of the loop. Never waits.

        Raises:
            Unavailable: it does not read what it was sent before.
        """
        data = frame + b"\n"
        if not self._waiting and not soon:
            try:
                written = os.write(self._in, data)
            except BlockingIOError:
                written = 0
            except OSError:
                return  # it has gone, which whoever reads from it will notice
            if written == len(data):
                return
            data = data[written:]
        if self._size > FULL:
            raise Unavailable("the skill does not read what it is asked", done=False)
        self._waiting.append(data)
        self._size += len(data)
        if not self._writing and self._nursery is not None:
            self._writing = True
            self._nursery.start_soon(self._write_on)

    async def _write_on(self) -> None:
        try:
            while self._waiting:
                data = b"".join(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
                self._waiting.clear()
                try:
                    written = os.write(self._in, data)
                except BlockingIOError:
                    written = 0
                except OSError:
                    return
                self._size -= written
                if written < len(data):
                    self._waiting.appendleft(data[written:])
                    await wait_writable(self._in)
        finally:
            self._writing = False

    async def read(self) -> bytes:
        """What it has said; nothing at its end."""
        return await _read(self._out)

    async def listen_to_stderr(self) -> None:
        """Keep its last words, until it has closed stderr."""
        while chunk := await _read(self._err):
            self._words.hear(chunk)
        self._words.close()

    async def end(self) -> int:
        """Until it has ended by itself; it is still a zombie then."""
        await self._ended()
        return self._popen.returncode or 0

    async def stop(self) -> None:
        """As gently as it lets us."""
        assert self._popen.stdin is not None
        with suppress(OSError):
            self._popen.stdin.close()
        with trio.move_on_after(AFTER_EOF):
            return await self._ended()
        self._signal(signal.SIGTERM)
        with trio.move_on_after(AFTER_TERM):
            return await self._ended()
        self._signal(signal.SIGKILL)
        await self._ended()
        return None

    def bury(self) -> str:
        """After its end: no process of its group is left, nor any descriptor. Says how it ended."""
        self._signal(signal.SIGKILL)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return _ending(self._popen.wait())

    async def _ended(self) -> None:
        if sys.platform == "linux":
            try:
                descriptor = os.pidfd_open(self.pid)
            except ProcessLookupError:
                return
            try:
                await wait_readable(descriptor)
            finally:
                os.close(descriptor)
        else:
            await trio.to_thread.run_sync(self._wait_for_end, abandon_on_cancel=True)

    def _wait_for_end(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def _signal(self, number: int) -> None:
        """To its whole group, which has its number because it leads a session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Running:
    """A started process as a context: left, it has been stopped, and so have all that it started."""

    def __init__(self, start: Start, words: LastWords, leftovers: Leftovers, spawner: Spawner) -> None:
        self._spawner = spawner
        self._start = start
        self._words = words
        self._leftovers = leftovers
        self._process: Process | None = None
        self.ending = ""  # how it ended

    async def __aenter__(self) -> Process:
        await trio.lowlevel.checkpoint()
        popen: subprocess.Popen[bytes] | None = None
        with trio.CancelScope(shield=True):  # a start cannot be called off, and takes half a millisecond
            popen = await self._spawner.start(partial(_started, self._start))
        assert popen is not None
        self._process = Process(popen, self._words)
        self._leftovers.began(self._process.pid, self._start.mark)
        return self._process

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        with trio.CancelScope(
            shield=True
        ):  # every wait in there has its own deadline, and KILL ends the last
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain, process)
                await process.stop()
                nursery.cancel_scope.cancel()
            # Its last words may lie in the pipe still.
            with trio.move_on_after(0.05):
                await process.listen_to_stderr()
            self.ending = process.bury()
            self._spawner.ended()
            await self._leftovers.ended(process.pid, self._start.mark)

    async def _drain(self, process: Process) -> None:
        """One that cannot write cannot end."""

        async def read() -> None:
            while await process.read():
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.listen_to_stderr)
            nursery.start_soon(read)


def find(command: str, environment: Mapping[str, str], cwd: str) -> str:
    """The program's path.

    Raises:
        Unavailable: there is no such program.
    """
    if os.sep in command:
        command = os.path.join(cwd, os.path.expanduser(command))
    found = shutil.which(command, path=environment.get("PATH", os.defpath))
    if found is None:
        raise Unavailable(f"there is no program {command!r} on the PATH that the daemon was started with")
    return found


def _started(start: Start) -> subprocess.Popen[bytes]:
    launched = [sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), LIMITS, *start.command]
    try:
        return subprocess.Popen(  # noqa: S603
            launched,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=start.cwd,
            env={**start.environment, Leftovers.MARK: start.mark},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"cannot be started: {error.strerror} ({error.filename})") from error


async def _read(descriptor: int) -> bytes:
    while True:
        await wait_readable(descriptor)
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            continue
        except OSError:
            return b""


def _ending(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"exited with {code}"
