"""What the service manager is told, and what it hands over: notices, the watchdog, sockets.

One datagram a notice; where no manager listens, nothing is sent and nothing fails.
"""

import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import trio

from mimo.errors import MimoError

FIRST_DESCRIPTOR = 3


class Notices:
    """The line to the manager. May be used from any thread: a datagram is one system call."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # an abstract socket
            self._address = "\0" + self._address[1:]
        microseconds = environ.get("WATCHDOG_USEC", "")
        meant_for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and meant_for_us else None

    def say(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            try:
                line.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return  # a manager that has gone away is no reason to stop serving

    def ready(self, status: str) -> None:
        self.say("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def stopping(self) -> None:
        self.say("STOPPING=1", "STATUS=stopping")

    def reloading(self) -> None:
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def busy(self, seconds: float, doing: str) -> None:
        """Ask for more time, while something long and healthy (a migration) goes on."""
        self.say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", f"STATUS={doing}")

    async def feed_watchdog(self, pulse: Callable[[], Awaitable[object]]) -> None:
        """Say that we live, as long as both the loop and what `pulse` asks do.

        A loop that is alive beside a writer that is stuck serves nobody; so the notice is sent only
        when the pulse came back within the interval.
        """
        if self.watchdog is None:
            return
        interval = self.watchdog / 3
        while True:
            with trio.move_on_after(interval), suppress(MimoError):  # down for a moment is not stuck for good
                await pulse()
                self.say("WATCHDOG=1")
            await trio.sleep(interval)


def handed_over(environ: Mapping[str, str] | None = None) -> list[socket.socket]:
    """The listening sockets that whoever started us made for us, in their order."""
    environ = os.environ if environ is None else environ
    if environ.get("LISTEN_PID") != str(os.getpid()) or not environ.get("LISTEN_FDS", "").isdigit():
        return []
    sockets: list[socket.socket] = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(environ["LISTEN_FDS"])):
        os.set_inheritable(descriptor, False)
        listening = socket.socket(fileno=descriptor)
        listening.setblocking(False)
        sockets.append(listening)
    return sockets


def forget_environment() -> None:
    """What was meant for us is not meant for our children."""
    for name in (
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ):
        os.environ.pop(name, None)
