"""`mimo backup`, `restore` and `check`: the database as a file."""

import os
import stat
from typing import TYPE_CHECKING

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.terminal import CONFLICT, FAILED, NOT_FOUND, OK, USAGE, Failed, confirmed, note, say, say_json
from mimo.cli.words import Words
from mimo.home import Home, is_text

if TYPE_CHECKING:
    from mimo.storage.check import Finding

# A copy of a large database on a slow disk; the daemon answers when it is done.
PATIENCE = 3600.0


def backup(words: Words) -> int:
    """Through the daemon, if one runs; else under its lock."""
    target = _named(words)
    try:
        with Daemon(words.home) as daemon:
            made = daemon.ask("mimo/backup", {"path": target}, seconds=PATIENCE)
    except Unreachable:
        made = _backup_alone(words.home, target)
    if words.has("json"):
        say_json({"path": made["path"], "bytes": made["bytes"]})
    else:
        say(f"{made['path']}  {made['bytes']:,} bytes, checked")
    return OK


def _backup_alone(home: Home, target: str | None) -> dict[str, object]:
    _require_database(home.database)
    from mimo.daemon import Lock
    from mimo.storage.backup import backup_now

    lock = Lock(home)
    try:
        made = backup_now(home, target)
    finally:
        lock.release()
    return {"path": made.path, "bytes": made.bytes}


def restore(words: Words) -> int:
    source = _named(words) or ""
    _require_database(source)
    home = words.home
    if os.path.exists(home.database):
        _require_stopped(home)
        question = f"Put {source} in the place of {home.database}? What is there now is kept beside it."
        if not confirmed(question, words.has("yes")):
            note("nothing was changed")
            return OK
    from mimo.daemon import Lock
    from mimo.storage.backup import restore as put_back

    lock = Lock(home)
    try:
        old = put_back(home, source)
    finally:
        lock.release()
    _tell_if_others_may_read(source)
    if words.has("json"):
        say_json({"restored": source, "kept": old})
    else:
        say(f"restored {source}" + (f"; what was there is now {old}" if old else ""))
    return OK


def check(words: Words) -> int:
    """Exit 1 and one line for each finding, if the file is not whole."""
    from mimo.errors import MimoError

    path = _named(words) or words.home.database
    try:
        findings = _findings(words.home, path)
    except (Failed, MimoError) as error:
        if words.has("json"):
            say_json({"path": path, "whole": False, "findings": [], "reason": str(error)})
        raise
    if words.has("json"):
        found = [{"where": finding.where, "what": finding.what} for finding in findings]
        say_json({"path": path, "whole": not findings, "findings": found})
    elif not findings:
        say(f"{path} is whole")
    for finding in [] if words.has("json") else findings:
        say(f"{finding.where}: {finding.what}")
    if findings:
        note(f"mimo: {path} is damaged; 'mimo restore FILE' brings a backup back (see {words.home.backups})")
    _tell_if_others_may_read(path)
    return FAILED if findings else OK


def _findings(home: Home, path: str) -> "list[Finding]":
    _require_database(path)
    from mimo.daemon import Lock
    from mimo.storage.check import check as findings_in

    if not (os.path.exists(home.database) and os.path.samefile(path, home.database)):
        return findings_in(path)
    _require_stopped(home)
    lock = Lock(home)
    try:
        return findings_in(path)
    finally:
        lock.release()


def _tell_if_others_may_read(path: str) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        note(f"mimo: {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")


def _named(words: Words) -> str | None:
    """The FILE that was named, by its whole path."""
    name = words.text("FILE")
    if not is_text(name):
        raise Failed(f"the name {os.fsencode(name)!r} is not UTF-8; choose another", USAGE)
    return os.path.abspath(name) if name else None


def _require_database(path: str) -> None:
    if not os.path.isfile(path):
        raise Failed(f"there is no database at {path}; name it, or its data directory with --home", NOT_FOUND)


def _require_stopped(home: Home) -> None:
    """Said before the heavy imports, and before a person is asked anything; the lock itself decides."""
    from mimo.launch import is_held

    if is_held(home.lock):
        raise Failed(
            f"a mimo daemon has {home.database} open; stop it with 'mimo stop', or take a copy with 'mimo backup' first",
            CONFLICT,
        )
