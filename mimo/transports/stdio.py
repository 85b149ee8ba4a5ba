"""The daemon's own stdin and stdout as a door, for `mimo stdio --standalone`."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import trio

from mimo.transports.desk import Desk
from mimo.transports.hello import Hello, namespace_of
from mimo.transports.lines import Connection
from mimo.transports.pipe import Pipe

STDIN, STDOUT, STDERR = 0, 1, 2


class StdioDoor:
    """One client on our own stdio. `run` returns when it has left; whoever waits for that waits for `ended`."""

    def __init__(self, desk: Desk, env: Mapping[str, str], cwd: str, home: str) -> None:
        self.ended = trio.Event()
        self._desk = desk
        self._env = env
        self._cwd = cwd
        self._home = home
        self._connection: Connection | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with _stdio() as (source, sink):
            # They make the descriptors non-blocking, and close them.
            owners = trio.StapledStream(trio.lowlevel.FdStream(sink), trio.lowlevel.FdStream(source))
            self._connection = connection = Connection(Pipe(source, sink), self._desk)
            hello = Hello("bridge", cwd=self._cwd, pid=os.getppid(), env=self._env)
            client = hello.client(namespace_of(self._env, self._cwd, self._home), os.getuid())
            task_status.started()
            try:
                await connection.run(client, "stdio", door="stdio")
            finally:
                self.ended.set()
                await trio.aclose_forcefully(owners)

    async def drain(self) -> None:
        """Answer what is in flight, and hang up."""
        if self._connection is not None:
            self._connection.leave()
        await trio.lowlevel.checkpoint()


@contextmanager
def _stdio() -> Generator[tuple[int, int]]:
    """Our own copies of stdin and stdout. Meanwhile whatever else prints, prints to stderr."""
    source, sink = os.dup(STDIN), os.dup(STDOUT)
    # Trio makes them non-blocking, which our parent, who may share them, would notice.
    blocking = [(fd, os.get_blocking(fd)) for fd in (STDIN, STDOUT)]
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield source, sink
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)
        for fd, was in blocking:
            os.set_blocking(fd, was)
