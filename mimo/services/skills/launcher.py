"""The first thing that runs in a skill's process: it binds the process to the daemon's life and sets its limits.

A program of its own, standard library only: `python -I -S launcher.py PARENT LIMITS COMMAND ARGS...`. To do the
same between fork and exec of a daemon with threads could hang there for ever.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, limits: str, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            return
    for limit in filter(None, limits.split(",")):
        name, _, value = limit.partition("=")
        lower(getattr(resource, name), int(value))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def lower(which: int, value: int) -> None:
    """Never higher than what we were given ourselves."""
    soft, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    if soft == resource.RLIM_INFINITY or value < soft or which == resource.RLIMIT_NOFILE:
        resource.setrlimit(which, (value, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
