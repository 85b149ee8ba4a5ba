"""Reaching the daemon, and starting it when there is none. Standard library only.

Whoever starts the daemon makes its socket first and hands it over the way systemd does. So a client
can connect and speak before the daemon is up, nobody has to poll, and of eight clients that start at
once one makes the daemon and seven simply connect.
"""

import contextlib
import fcntl
import json
import os
import re
import socket
import sys

from mimo import __version__
from mimo.home import Home, socket_complaint

# What names the client's project and session; nothing else of its environment travels.
TELLING = (
    "CLAUDE_PROJECT_DIR",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDECODE",
    "AI_AGENT",
    "GEMINI_CLI",
    "CODEX_THREAD_ID",
    "MIMO_NAMESPACE",
)
# The daemon outlives the editor and serves others: it inherits neither secrets nor the editor's session.
_PRIVATE = re.compile(
    r"^(?!MIMO_).*(KEY|TOKEN|SECRET|PASSW|CREDENTIAL)|^CLAUDE|^AI_AGENT$|^GEMINI|^CODEX|^LISTEN_|^NOTIFY_SOCKET|^WATCHDOG_"
)

# Years of what a quiet daemon says.
LARGEST_LOG = 4 << 20


class CannotStart(Exception):
    """There is no daemon, and none can be started. The text says why, and the cure."""


def greeting(role: str, *, settled: bool = False) -> bytes:
    """The first line on a connection to the daemon: who we are and where we stand.

    `settled`: take whatever daemon there is; one has made way for us already, and once is enough.
    """
    try:
        cwd: str | None = os.getcwd()
    except OSError:  # the directory we stand in has been removed
        cwd = None
    hello = {
        "mimo": 1,
        "role": role,
        "version": __version__,
        "cwd": cwd,
        "pid": os.getpid(),
        "env": {name: os.environ[name] for name in TELLING if name in os.environ},
        "settled": settled,
        "terminal": any(_is_terminal(descriptor) for descriptor in (0, 1, 2)),
    }
    return json.dumps(hello).encode() + b"\n"


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:  # it was closed
        return False


def connect(home: Home) -> socket.socket | None:
    """A connection to a daemon that listens, or None."""
    if complaint := socket_complaint(home):
        raise CannotStart(complaint)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(home.socket)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise CannotStart(_refused(f"cannot reach {home.socket}", home, error)) from error
    return connection


def reach(home: Home) -> socket.socket | None:
    """A connection to the daemon, started if need be. None: one holds the lock but does not listen (yet, or any more).

    Raises:
        CannotStart: with the reason.
    """
    if connection := connect(home):
        return connection
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        start_lock = os.open(home.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(_refused(f"cannot use the data directory {home}", home, error)) from error
    try:
        fcntl.flock(start_lock, fcntl.LOCK_EX)  # whoever holds it is done in milliseconds
        if connection := connect(home):
            return connection
        if is_held(home.lock):
            return None
        _start(home)
        return connect(home)
    finally:
        os.close(start_lock)


def _refused(what: str, home: str, error: OSError, file: str = "") -> str:
    """The sentence, with the cure: what is ours and in the wrong mode can be mended, else there is only elsewhere."""
    cure = "choose another directory with --home or MIMO_HOME"
    for path, mode in ((home, 0o700), (file, 0o600)):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if isinstance(error, PermissionError) and found.st_uid == os.geteuid() and mode & ~found.st_mode:
                return f"{what}: {error.strerror}; run: chmod {mode:o} {path}"
    return f"{what}: {error.strerror}; {cure}"


def is_held(lock: str) -> bool:
    """Does a living process hold this lock file?"""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CannotStart(_refused(f"cannot open {lock}", os.path.dirname(lock), error, lock)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def bind(home: Home) -> socket.socket:
    """The daemon's socket, for its owner only. The caller holds the lock, so what lies there is a dead one's."""
    if complaint := socket_complaint(home):
        raise CannotStart(complaint)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(home.socket)
        listening.bind(home.socket)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CannotStart(_refused(f"cannot make the socket {home.socket}", home, error)) from error
    finally:
        os.umask(before)
    return listening


def _start(home: Home) -> None:
    listening = bind(home)
    try:
        _set_aside_large(home.log)
        log = os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        child = os.fork()
        if not child:
            _become_daemon(home, listening, log)
        os.waitpid(child, 0)
        os.close(log)
    finally:
        listening.close()


def _set_aside_large(log: str) -> None:
    """The log starts anew when it is large; the one before is kept, and no other."""
    with contextlib.suppress(OSError):
        if os.stat(log).st_size > LARGEST_LOG:
            os.replace(log, f"{log}.1")


def _become_daemon(home: Home, listening: socket.socket, log: int) -> None:
    """In the forked child: leave the editor's session and parent, and turn into `mimo serve`. Does not return."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDONLY)
        socket_copy, log_copy = (_above_three(descriptor) for descriptor in (listening.fileno(), log))
        os.dup2(nothing, 0)
        os.dup2(log_copy, 1)
        os.dup2(log_copy, 2)
        os.dup2(socket_copy, 3)
        kept = {name: value for name, value in os.environ.items() if not _PRIVATE.search(name)}
        kept |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        words = [sys.executable, "-P", "-m", "mimo", "serve", "--home", home, "--idle-exit"]
        os.execve(sys.executable, words, kept)  # noqa: S606 (our own interpreter)
    finally:
        os._exit(127)


def _above_three(descriptor: int) -> int:
    """A copy out of the way of 0 to 3, closed on exec."""
    while descriptor <= 3:
        descriptor = os.dup(descriptor)
    os.set_inheritable(descriptor, False)
    return descriptor


def last_words(home: Home) -> str:
    """What the daemon's log ends with, as the second half of a sentence."""
    try:
        with open(home.log, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 2000))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"its log ends: {lines[-1][:500]}" if lines else "it left no log"
