"""What `mimo doctor` looks at. Each examination changes nothing and says what it found, with the cure."""

import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mimo import __version__
from mimo.cli.client import Daemon, Unreachable
from mimo.cli.clients import BY_NAME, Client
from mimo.cli.configuration import here
from mimo.cli.install import carry_out, entry_in, own_command, planned
from mimo.cli.life import holder
from mimo.cli.status import vectors
from mimo.cli.terminal import Failed
from mimo.errors import MimoError
from mimo.home import Home, socket_complaint
from mimo.launch import CannotStart, is_held

OK, NOTE, PROBLEM = "ok", "note", "problem"
# Clients give up on a server that takes longer than half a second to say its first word.
SLOW_HANDSHAKE = 0.5
# A whole check reads every page, a second for 200 MB; a doctor's visit is shorter than that.
LARGEST_CHECKED = 400 << 20
# File systems that the kernel makes up.
NO_DISKS = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts", "securityfs", "debugfs", "tracefs"})
ELSEWHERE = "choose another with --home or MIMO_HOME"
LITTLE_DISK, NO_DISK = 500 << 20, 50 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` mends it, where that is safe without asking."""

    area: str
    state: str
    says: str
    cure: str = ""
    fix: Callable[[], object] | None = None


def examine(home: Home) -> Iterator[Finding]:
    yield from _python()
    yield from _kernels()
    yield from _model()
    yield from _settings(home)
    yield from _directory(home)
    yield from _disk(home)
    yield from _daemon(home)
    yield from _database(home)
    for client in BY_NAME.values():
        yield from _client(client, home)


def _python() -> Iterator[Finding]:
    from importlib.metadata import version

    from mimo.storage.connection import require_sound_sqlite

    running = ".".join(map(str, sys.version_info[:3]))
    yield Finding("mimo", OK, f"mimo {__version__} on Python {running}, {sys.executable}")
    try:
        require_sound_sqlite()
        yield Finding("sqlite", OK, f"SQLite of apsw {version('apsw')}")
    except MimoError as error:
        yield Finding("sqlite", PROBLEM, error.message, "pip install --upgrade apsw")


def _kernels() -> Iterator[Finding]:
    import mimo_core

    if mimo_core.implementation() == "cython":
        yield Finding("kernels", OK, f"compiled, using {mimo_core.isa()}")
        return
    yield Finding(
        "kernels",
        NOTE,
        "the NumPy twin runs: every answer is the same, searching and embedding are slower",
        "unset MIMO_CORE" if os.environ.get("MIMO_CORE") == "numpy" else _how_to_compile(),
    )


def _how_to_compile() -> str:
    import mimo_core

    pip = f"{sys.executable} -m pip install --force-reinstall --no-deps"
    checkout = os.path.dirname(os.path.dirname(mimo_core.__file__))
    if os.path.isfile(os.path.join(checkout, "setup.py")):
        return f"install a C compiler, then build it in the checkout: MIMO_CORE_BUILD=1 {pip} --editable {checkout}"
    return f"install a wheel that was compiled, or a C compiler and then: MIMO_CORE_BUILD=1 {pip} --no-binary mimo mimo"


def _model() -> Iterator[Finding]:
    import mimo

    folder = os.path.join(os.path.dirname(mimo.__file__), "embedding", "model")
    missing = [
        name
        for name in ("weights.safetensors", "vocab.txt")
        if not os.path.isfile(os.path.join(folder, name))
    ]
    if missing:
        yield Finding(
            "model",
            PROBLEM,
            f"the model in the box lacks {' and '.join(missing)} ({folder})",
            "pip install --force-reinstall mimo",
        )
    else:
        size = os.stat(os.path.join(folder, "weights.safetensors")).st_size
        yield Finding("model", OK, f"in the box, {size >> 20} MB")


def _settings(home: Home) -> Iterator[Finding]:
    from mimo.settings import files, load

    try:
        settings, _ = load(home, os.environ, cwd=here())
    except MimoError as error:
        yield Finding("settings", PROBLEM, error.message, "'mimo config show' lists every setting")
        return
    found = [path for path in files(home, os.environ, here()) if os.path.isfile(path)]
    yield Finding("settings", OK, ", ".join(found) or "all by default")
    for path in found if settings.embedding.key.get_secret_value() else []:
        status = os.stat(path)
        with open(path, encoding="utf-8") as file:
            has_key = "key" in file.read()
        if has_key and status.st_mode & 0o077 and status.st_uid == os.geteuid():
            yield Finding(
                "settings",
                PROBLEM,
                f"{path} may hold a key, and others can read it",
                f"chmod 600 {path}",
                lambda path=path: os.chmod(path, 0o600),
            )


def _directory(home: Home) -> Iterator[Finding]:
    from mimo.storage.files import NETWORK_FILE_SYSTEMS, file_system

    if complaint := socket_complaint(home):
        yield Finding("home", PROBLEM, complaint)
    if not os.path.isdir(home):
        if os.path.lexists(home):
            yield Finding("home", PROBLEM, f"{home} is no directory", ELSEWHERE)
        elif why := _cannot_be_made(home):
            yield Finding("home", PROBLEM, f"{home} cannot be made: {why}", ELSEWHERE)
        else:
            yield Finding("home", OK, f"{home} is made when it is first needed")
        return
    status = os.stat(home)
    kind = file_system(home)
    if status.st_uid != os.geteuid():
        cure = "run mimo as that user, or choose another with --home or MIMO_HOME"
        yield Finding("home", PROBLEM, f"{home} belongs to user {status.st_uid}, not to us", cure)
    elif kind in NETWORK_FILE_SYSTEMS:
        cure = "choose a local disk with --home or MIMO_HOME"
        yield Finding("home", PROBLEM, f"{home} is on a network file system ({kind})", cure)
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        if status.st_mode & 0o700 == 0o700:
            yield Finding("home", PROBLEM, f"the disk of {home} takes no writing", ELSEWHERE)
        else:
            cure = f"chmod 700 {home}"
            yield Finding("home", PROBLEM, f"{home} cannot be read and written", cure, _chmod(home, 0o700))
    else:
        yield Finding("home", OK, f"{home}{f' on {kind}' if kind else ''}")
    yield from _open_to_others(home)


def _cannot_be_made(home: Home) -> str:
    """Why there will be no such directory; nothing if there is no reason to think so."""
    from mimo.storage.files import file_system

    above = os.path.dirname(home)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        return f"{above} is no directory"
    kind = file_system(above)
    if kind in NO_DISKS:
        return f"{above} is no place for files ({kind})"
    return "" if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written"


def _open_to_others(home: Home) -> Iterator[Finding]:
    files = (home.database, home.lock, home.log, home.ballast)
    wanted = [(str(home), 0o700), *((path, 0o600) for path in files)]
    for path, mode in wanted:
        try:
            status = os.lstat(path)
        except OSError:
            continue
        found = stat.S_IMODE(status.st_mode)
        if path == home.lock and not os.access(path, os.R_OK | os.W_OK):
            says = f"{path} cannot be read and written (mode {found:04o})"
            yield Finding("home", PROBLEM, says, f"chmod {mode:o} {path}", _chmod(path, mode))
        if found & 0o077 and status.st_uid == os.geteuid():
            yield Finding(
                "home",
                PROBLEM,
                f"{path} is open to other users (mode {found:04o})",
                f"chmod {mode:o} {path}",
                _chmod(path, mode),
            )


def _chmod(path: str, mode: int) -> Callable[[], object]:
    return lambda: os.chmod(path, mode)


def _disk(home: Home) -> Iterator[Finding]:
    place = str(home)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    says = f"{free >> 20:,} MB free"
    cure = "make room; forgetting works even on a full disk"
    yield Finding("disk", PROBLEM if free < NO_DISK else NOTE if free < LITTLE_DISK else OK, says, cure)


def _daemon(home: Home) -> Iterator[Finding]:
    try:
        began = time.monotonic()
        with Daemon(home) as daemon:
            facts = daemon.ask("mimo/status")
        with Daemon(home, role="bridge") as daemon:
            client = {"name": "mimo-doctor", "version": __version__}
            asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
            answer = daemon.ask("initialize", asked)
        took = time.monotonic() - began
    except Unreachable as error:
        if _is_held(home):
            cure = f"'mimo logs' says more; then: kill {holder(home)}"
            yield Finding("daemon", PROBLEM, f"process {holder(home)} holds the lock, but {error}", cure)
        else:
            yield Finding("daemon", OK, "not running; editors and commands start it when they need it")
        return
    except Failed as error:
        yield Finding("daemon", PROBLEM, f"it does not shake hands: {error}", "mimo restart")
        return
    name = answer.get("serverInfo", {}).get("name", "?")
    says = f"process {facts['pid']}, version {facts['version']}; {name} shook hands in {took * 1000:.0f} ms"
    if facts["version"] != __version__:
        yield Finding("daemon", PROBLEM, f"{says}; this command is version {__version__}", "mimo restart")
    elif took > SLOW_HANDSHAKE:
        yield Finding("daemon", NOTE, f"{says}, which is slow", "'mimo status' and 'mimo logs' may say why")
    else:
        yield Finding("daemon", OK, says)
    yield from _vectors(facts.get("embedding"))
    for name, child in _children(facts.get("tree") or {}):
        if child.get("state") not in {"running", "starting"} or child.get("restarts"):
            told = f"{name} is {child.get('state')}, restarted {child.get('restarts')} times: {child.get('last_error')}"
            yield Finding("daemon", NOTE if child.get("state") == "running" else PROBLEM, told, "mimo logs")


def _vectors(embedding: dict[str, Any] | None) -> Iterator[Finding]:
    if not embedding:
        return
    says = vectors(embedding)
    if embedding["down"]:
        cure = (
            "words find them meanwhile; 'mimo config show' has the embedder's settings, 'mimo logs' says more"
        )
        yield Finding("vectors", NOTE, says, cure)
    elif embedding["set_aside"]:
        cure = "words find them; they are tried again by themselves, or make them shorter with memory_edit"
        yield Finding("vectors", NOTE, says, cure)
    else:
        yield Finding("vectors", OK, says)


def _is_held(home: Home) -> bool:
    """As far as we may look; that we may not is told of the directory."""
    try:
        return is_held(home.lock)
    except CannotStart:
        return False


def _children(node: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    name = f"{above}{node.get('name', '?')}"
    yield name, node
    below: list[dict[str, Any]] = node.get("children") or []
    for child in below:
        yield from _children(child, f"{name}/")


def _database(home: Home) -> Iterator[Finding]:
    if not os.path.lexists(home.database):
        yield Finding("database", OK, "none yet; it is made with the first memory")
        return
    size = os.lstat(home.database).st_size
    if not stat.S_ISREG(os.lstat(home.database).st_mode):
        yield Finding("database", PROBLEM, f"{home.database} is no file", f"move it away, or {ELSEWHERE}")
        return
    if not os.access(home.database, os.R_OK | os.W_OK):
        cure = f"chmod 600 {home.database}"
        says = f"{home.database} cannot be read and written"
        yield Finding("database", PROBLEM, says, cure, _chmod(home.database, 0o600))
        return
    if _is_held(home):
        yield Finding("database", OK, f"{size >> 10:,} kB, in the daemon's hands")
        return
    if size > LARGEST_CHECKED:
        yield Finding("database", NOTE, f"{size >> 20:,} MB, not looked into", "mimo check")
        return
    from mimo.storage.check import check

    try:
        wrong = check(home.database)
    except MimoError as error:
        yield Finding("database", PROBLEM, error.message)
        return
    for finding in wrong[:3]:
        cure = f"'mimo check' says all; 'mimo restore FILE' brings a backup back ({home.backups})"
        yield Finding("database", PROBLEM, f"{finding.where}: {finding.what}", cure)
    if not wrong:
        yield Finding("database", OK, f"{size >> 10:,} kB, whole")


def _client(client: Client, home: Home) -> Iterator[Finding]:
    """Is it here, can its file be read, and does our entry start something that exists?"""
    if not client.is_here(os.environ):
        return
    path = client.path(os.environ)
    connect = f"mimo install {client.name}"
    try:
        text = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
        entry = entry_in(client, text, path)
    except Failed as error:
        yield Finding(client.name, PROBLEM, str(error))
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Finding(client.name, PROBLEM, f"cannot read {path}: {error}", f"look at {path}")
        return

    def mend() -> None:
        carry_out(planned(client, own_command(home), os.environ))

    command = client.command_in(entry)
    if entry is None:
        yield Finding(client.name, NOTE, f"{client.title} is here, and not connected", connect)
    elif command is None:
        yield Finding(client.name, PROBLEM, f"the entry in {path} names no command", connect, mend)
    elif not os.path.isabs(command[0]):
        says = f"{path} starts {command[0]!r}, which is found only where a shell's PATH is"
        yield Finding(client.name, NOTE, says, connect, mend)
    elif not os.access(command[0], os.X_OK):
        yield Finding(client.name, PROBLEM, f"{path} starts {command[0]}, which is not there", connect, mend)
    else:
        named = command[command.index("--home") + 1 :][:1] if "--home" in command else []
        elsewhere = f", with another data directory ({named[0]})" if named not in ([], [str(home)]) else ""
        state = NOTE if elsewhere else OK
        yield Finding(client.name, state, f"{client.title} starts {command[0]}{elsewhere}", connect)
