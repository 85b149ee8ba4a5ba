"""Where everything of one mimo lies: the data directory, and the files in it that others must find.

Standard library only, because the bridge and the shell wait for it. Two clients of one person must
come to the same place even when one of them was started with a stripped environment, so the socket
is found from the data directory alone, and the directory from three words at most.
"""

import os
from collections.abc import Mapping

# sun_path holds 108 bytes on Linux, its closing NUL among them.
LONGEST_SOCKET_PATH = 107


class Home(str):
    """The absolute path of a data directory, and the names of the files in it."""

    __slots__ = ()

    @property
    def database(self) -> str:
        return os.path.join(self, "mimo.db")

    @property
    def lock(self) -> str:
        return os.path.join(self, "mimo.lock")

    @property
    def start_lock(self) -> str:
        """Held while a bridge starts the daemon, so that eight bridges start one."""
        return os.path.join(self, "start.lock")

    @property
    def socket(self) -> str:
        return os.path.join(self, "mimo.sock")

    @property
    def log(self) -> str:
        """Where a daemon writes that was started by a bridge and so has no terminal."""
        return os.path.join(self, "mimo.log")

    @property
    def ballast(self) -> str:
        return os.path.join(self, "ballast")

    @property
    def backups(self) -> str:
        return os.path.join(self, "backups")


class NoHome(ValueError):
    """What was named can be no data directory. The text says why."""


def find_home(flag: str | None = None, environ: Mapping[str, str] | None = None) -> Home:
    """The data directory: `--home`, else `MIMO_HOME`, else the XDG default.

    Raises:
        NoHome: its path cannot be said in UTF-8, as SQLite, JSON and logs want it.
    """
    environ = os.environ if environ is None else environ
    named = flag or environ.get("MIMO_HOME")
    if not named:
        data = environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(data):  # the XDG rule: a relative path there is to be ignored
            data = os.path.join(os.path.expanduser("~"), ".local", "share")
        named = os.path.join(data, "mimo")
    home = Home(os.path.abspath(os.path.expanduser(named)))
    if not is_text(home):
        raise NoHome(
            f"the data directory {os.fsencode(home)!r} is not UTF-8; choose another with --home or MIMO_HOME"
        )
    return home


def is_text(path: str) -> bool:
    """A path may be any bytes. Is this one UTF-8?"""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def socket_complaint(home: Home) -> str | None:
    """Why no socket can be made in this directory, or None."""
    length = len(os.fsencode(home.socket))
    if length <= LONGEST_SOCKET_PATH:
        return None
    return (
        f"the socket path {home.socket} has {length} bytes and the kernel allows {LONGEST_SOCKET_PATH}; "
        "choose a shorter data directory with --home or MIMO_HOME"
    )
