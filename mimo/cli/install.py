"""`mimo install`: an entry for mimo in a client's configuration, put in and taken out without touching the rest."""

import difflib
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from mimo.cli import jsonc, toml_text
from mimo.cli.clients import BY_NAME, Client
from mimo.cli.terminal import CONFLICT, FAILED, NOT_FOUND, OK, Failed, note, paint, say, say_json, table
from mimo.cli.words import Words, Wrong
from mimo.home import Home

KEPT = ".before-mimo"  # a copy of the file as it was, beside it


@dataclass(frozen=True, slots=True)
class Change:
    """What would become of one client's file. None for text: there is no file."""

    client: Client
    path: str
    before: str | None
    after: str | None

    @property
    def diff(self) -> str:
        old, new = ((text or "").splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(
            line if line.endswith("\n") else line + "\n"
            for line in difflib.unified_diff(old, new, self.path, self.path)
        )


def install(words: Words) -> int:
    name, everybody = words.text("CLIENT"), words.has("all")
    if name and everybody:
        raise Wrong("name a client or say --all, not both")
    if not name and not everybody:
        if words.has("uninstall") or words.has("dry-run"):
            raise Wrong("name a client, or say --all")
        return _list(as_json=words.has("json"))
    chosen = [c for c in BY_NAME.values() if c.is_here(os.environ)] if everybody else [BY_NAME[name]]
    if not chosen:
        raise Failed(f"no client that mimo knows is found here; it knows {', '.join(BY_NAME)}", NOT_FOUND)
    command = own_command(words.home)
    told: list[dict[str, Any]] = []
    worst = OK
    for client in chosen:
        try:
            told.append(_one(client, command, words))
        except Failed as error:
            worst = max(worst, error.exit_code)
            told.append({"client": client.name, "state": "failed", "error": str(error)})
            note(f"mimo: {client.title}: {error}")
    if words.has("json"):
        say_json({"clients": told})
    return worst


def own_command(home: Home) -> list[str]:
    """How a client starts the bridge: absolute paths only, because programs with windows know no PATH of a shell."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "mimo")
    start = [beside] if os.access(beside, os.X_OK) else [os.path.abspath(sys.executable), "-m", "mimo"]
    return [*start, "stdio", "--home", home]


def planned(client: Client, command: list[str], environ: Mapping[str, str]) -> Change:
    """What connecting would change."""
    path = client.path(environ)
    before = _read(path)
    return Change(client, path, before, _edited(client, before or "", client.entry(command), path))


def removal(client: Client, environ: Mapping[str, str]) -> Change:
    """What disconnecting would change: back to the kept copy if nobody else has edited since, else only our entry goes."""
    path = client.path(environ)
    before = _read(path)
    entry = entry_in(client, before or "", path)
    if before is None or entry is None:
        return Change(client, path, before, before)
    kept = _read(path + KEPT)
    if isinstance(entry, dict):
        ours = cast("dict[str, Any]", entry)
        if kept is None and _edited(client, "", ours, path) == before:
            return Change(client, path, before, None)
        if (
            kept is not None
            and entry_in(client, kept, path + KEPT) is None
            and _edited(client, kept, ours, path) == before
        ):
            return Change(client, path, before, kept)
    try:
        editor = toml_text if path.endswith(".toml") else jsonc
        return Change(client, path, before, editor.remove(before, client.keys))
    except ValueError as error:
        raise Failed(f"{path} cannot be edited: {error}") from error


def entry_in(client: Client, text: str, path: str) -> Any:
    """Our entry in a client's file, or None.

    Raises:
        Failed: the file cannot be read as what it should be.
    """
    try:
        place: Any = {}
        if path.removesuffix(KEPT).endswith(".toml"):
            place = toml_text.parse(text)
        elif text.strip("\ufeff \t\r\n"):
            place = jsonc.parse(text).plain()
    except ValueError as error:
        raise Failed(f"{path} cannot be read: {error}; mend it by hand, nothing was changed") from error
    for key in client.keys:
        place = place.get(key) if isinstance(place, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return place  # pyright: ignore[reportUnknownVariableType]


def _edited(client: Client, text: str, entry: dict[str, Any], path: str) -> str:
    found = entry_in(client, text, path)
    try:
        if path.endswith(".toml"):
            return text if _holds(found, entry) else toml_text.put(text, client.keys, entry)
        if not isinstance(found, dict):
            return jsonc.put(text, client.keys, entry)
        for key, value in entry.items():  # what else a person has set there stays
            if found.get(key) != value:  # pyright: ignore[reportUnknownMemberType]
                text = jsonc.put(text, [*client.keys, key], value)
        return text
    except ValueError as error:
        raise Failed(f"{path} cannot be edited: {error}; nothing was changed") from error


def _holds(found: Any, entry: dict[str, Any]) -> bool:
    if not isinstance(found, dict):
        return False
    there = cast("dict[str, Any]", found)
    return all(there.get(key) == value for key, value in entry.items())


def _one(client: Client, command: list[str], words: Words) -> dict[str, Any]:
    removing, trying = words.has("uninstall"), words.has("dry-run")
    change = removal(client, os.environ) if removing else planned(client, command, os.environ)
    told = {"client": client.name, "path": change.path, "diff": change.diff}
    if change.before == change.after:
        told["state"] = "not connected" if removing else "connected already"
    elif trying:
        told["state"] = "would disconnect" if removing else "would connect"
    else:
        told["state"] = "disconnected" if removing else "connected"
        if (kept := carry_out(change)) is not None:
            told["kept"] = kept
    if not words.has("json"):
        say(f"{paint(client.title, 'bold')}: {told['state']} ({change.path})")
        if change.before != change.after:
            say(_coloured(change.diff))
        if "kept" in told:
            say(f"  The file as it was: {told['kept']}")
        if told["state"] == "connected":
            say(f"  {client.then}")
    return told


def carry_out(change: Change) -> str | None:
    """Write it. Gives the path of the copy of what was there, if there was something.

    Raises:
        Failed: the file cannot be written, or somebody changed it meanwhile.
    """
    path = os.path.realpath(change.path)  # settings are often links into a repository of dotfiles
    kept = change.path + KEPT
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        adding = change.after is not None and entry_in(change.client, change.after, change.path) is not None
        if adding and change.before is not None and _worth_keeping(change, kept):
            _replace(kept, change.before, path)
        if _read(change.path) != change.before:
            raise Failed(f"{change.path} was changed meanwhile; run this again", CONFLICT)
        if change.after is None:
            os.unlink(path)
        else:
            _replace(path, change.after, path)
        if not adding and change.after in {None, _read(kept)}:
            with suppress(FileNotFoundError):
                os.unlink(kept)
    except OSError as error:
        raise Failed(f"cannot write {change.path}: {error.strerror}; nothing was changed") from error
    return kept if adding and change.before is not None and os.path.exists(kept) else None


def _worth_keeping(change: Change, kept: str) -> bool:
    """The copy is of the file as it was without us; one that has us already is kept only for want of a better."""
    has_ours = entry_in(change.client, change.before or "", change.path) is not None
    return not has_ours or not os.path.exists(kept)


def _replace(path: str, text: str, like: str) -> None:
    """The whole file or nothing, with the mode of `like`, if that is there."""
    mode = os.stat(like).st_mode & 0o777 if os.path.exists(like) else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".mimo-")
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Failed(f"{path} is not UTF-8 text; nothing was changed", FAILED) from error
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error


def _coloured(diff: str) -> str:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    lines = [f"  {line}" for line in diff.splitlines()]
    return "\n".join(paint(line, styles[line[2]]) if line[2:3] in styles else line for line in lines)


def _list(*, as_json: bool) -> int:
    """Who is here, and who is connected."""
    rows: list[dict[str, Any]] = []
    for client in BY_NAME.values():
        path = client.path(os.environ)
        try:
            connected = entry_in(client, _read(path) or "", path) is not None
        except Failed:
            connected = False
        rows.append(
            {"client": client.name, "found": client.is_here(os.environ), "connected": connected, "path": path}
        )
    if as_json:
        say_json({"clients": rows})
        return OK
    states = [
        (r["client"], "connected" if r["connected"] else "found" if r["found"] else "-", r["path"])
        for r in rows
    ]
    say(table(states))
    say("\nConnect one: mimo install CLIENT. All that are found: mimo install --all.")
    return OK
