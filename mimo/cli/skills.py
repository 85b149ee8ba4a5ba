"""`mimo skill ...`: other MCP servers, declared in a file that is edited here, and run by the daemon."""

import json
import os
from typing import Any, cast

from mimo.cli import jsonc
from mimo.cli.client import Daemon, Unreachable
from mimo.cli.terminal import (
    CONFLICT,
    FAILED,
    NOT_FOUND,
    OK,
    Failed,
    foreign,
    note,
    paint,
    say,
    say_json,
    table,
)
from mimo.cli.words import Words, Wrong
from mimo.home import Home

# A start is waited for, and a cold one of a large program takes its time.
PATIENCE = 120.0


def add(words: Words) -> int:
    """Into the file, checked as a whole before it counts; a running daemon is told."""
    name, command = words.text("NAME"), words.all("COMMAND")
    url = words.text("url")
    if bool(url) == bool(command):
        raise Wrong("say either what to start, after --, or --url ADDRESS")
    skill: dict[str, Any] = {"url": url} if url else {"command": command[0], "args": command[1:]}
    for option, key in (("env", "env"), ("header", "headers")):
        if pairs := words.all(option):
            skill[key] = dict(_pair(option, each) for each in pairs)
    if variables := words.all("variable"):
        skill["variables"] = variables
    if words.text("cwd"):
        skill["cwd"] = os.path.abspath(words.text("cwd"))
    if words.has("prefix"):
        skill["prefix"] = words.text("prefix")
    skill |= {switch: True for switch in ("expose", "approve") if words.has(switch)}
    path = _path(words.home)
    text = _read(path)
    if _member(text, name) is not None and not words.has("replace"):
        raise Failed(f"there is a skill named {name!r} in {path}; say --replace to change it", CONFLICT)
    _write(path, jsonc.put(text, [*_within(text), name], skill))
    told = _tell(words.home)
    if words.has("json"):
        say_json({"added": name, "path": path, "running": told})
    else:
        say(foreign(f"{name} is in {path}"))
        note(f"try it: mimo skill test {name}" if told else "the daemon reads it when it starts")
    return OK


def remove(words: Words) -> int:
    name, path = words.text("NAME"), _path(words.home)
    text = _read(path)
    if _member(text, name) is None:
        raise Failed(f"there is no skill named {name!r} in {path}", NOT_FOUND)
    _write(path, jsonc.remove(text, [*_within(text), name]))
    told = _tell(words.home)
    if words.has("json"):
        say_json({"removed": name, "path": path, "running": told})
    else:
        say(foreign(f"{name} is gone from {path}"))
    return OK


def listing(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        told = daemon.ask("mimo/skills/list")
    if words.has("json"):
        say_json(told)
        return OK
    if told["problem"]:
        note(paint(foreign(told["problem"]), "red"))
    if not told["skills"]:
        say(f"no skills in {told['path']}; add one with: mimo skill add NAME -- COMMAND ARGS...")
        return OK
    rows = [("name", "state", "tools", "prefix", "how it is started"), *map(_row, told["skills"])]
    say(foreign(table(rows)))
    for each in told["skills"]:
        if each["changed"]:
            waits = " and wait" if each["withheld"] else ""
            note(
                f"{each['name']}: tools changed{waits}: {', '.join(each['changed'])} (mimo skill approve {each['name']})"
            )
        if each["last_error"]:
            note(foreign(f"{each['name']}: {each['last_error']}"))
    return OK


def try_out(words: Words) -> int:
    """Start it, list its tools, say how long that took."""
    with Daemon(words.home, start=True) as daemon:
        told = daemon.ask("mimo/skills/test", {"name": words.text("NAME")}, seconds=PATIENCE)
    if words.has("json"):
        say_json(told)
    elif told["ok"]:
        server = told["server"].get("name", "a server without a name")
        say(foreign(f"{told['name']}: {server}, {told['era']} protocol, answered in {told['seconds']:.2f} s"))
        say(foreign(f"{told['tools']} tools: {', '.join(told['names']) or 'none'}"))
        say(foreign(f"{told['resources']} resources, {told['prompts']} prompts"))
    else:
        raise Failed(
            f"{told['name']}: {told['problem']}\nwhat it said: mimo skill logs {told['name']}", FAILED
        )
    return OK if told["ok"] else FAILED


def logs(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        lines: list[str] = daemon.ask("mimo/skills/logs", {"name": words.text("NAME")})["lines"]
    if words.has("json"):
        say_json({"lines": lines})
    for line in [] if words.has("json") else lines:
        say(foreign(line))
    return OK


def reload(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        told = daemon.ask("mimo/skills/reload", seconds=PATIENCE)
    if words.has("json"):
        say_json(told)
        return OK
    for kind, names in (("new", told["started"]), ("changed", told["changed"]), ("gone", told["gone"])):
        if names:
            say(foreign(f"{kind}: {', '.join(names)}"))
    if not any(told.values()):
        say("nothing has changed")
    return OK


def approve(words: Words) -> int:
    asked = {"name": words.text("NAME")} | ({"tool": words.text("TOOL")} if words.text("TOOL") else {})
    with Daemon(words.home, start=True) as daemon:
        told = daemon.ask("mimo/skills/approve", asked)
    if words.has("json"):
        say_json(told)
    else:
        say(foreign(f"approved: {', '.join(told['approved']) or 'nothing had changed'}"))
    return OK


def check(words: Words) -> int:
    """Without a daemon: the file as it is on the disk."""
    if words.has("schema"):
        from mimo.services.skills.fields import schema

        say_json(schema())
        return OK
    from mimo.services.skills.configuration import Faulty, read

    path = _path(words.home)
    try:
        found, problems = list(read(path)), []
    except Faulty as error:
        found, problems = [], [{"place": each.place, "text": each.text} for each in error.problems]
    if words.has("json"):
        say_json({"path": path, "skills": found, "problems": problems})
    elif problems:
        for each in problems:
            note(foreign(f"{each['place'] or path}: {each['text']}"))
    else:
        say(foreign(f"{path}: {', '.join(found) or 'no skills'}"))
    return FAILED if problems else OK


def _path(home: Home) -> str:
    return os.path.join(home, "skills.json")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        json.loads(text)
        return text
    except FileNotFoundError:
        return "{}\n"
    except (OSError, ValueError) as error:
        raise Failed(f"cannot change {path}: {error}; mend it first") from error


def _within(text: str) -> list[str]:
    """Where in the file the skills are."""
    from mimo.services.skills.configuration import WRAPPERS, unwrapped

    tree: Any = json.loads(text)
    if not isinstance(tree, dict):
        raise Failed("the file holds no object; mend it first")
    file = cast("dict[str, Any]", tree)
    held = unwrapped(file)
    return [wrapper for wrapper in WRAPPERS if file.get(wrapper) is held]


def _member(text: str, name: str) -> Any:
    held = json.loads(text)
    for key in _within(text):
        held = held[key]
    return held.get(name)


def _write(path: str, text: str) -> None:
    """Only what can be used gets into the place of what is there."""
    from mimo.services.skills.configuration import Faulty, read

    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text if text.endswith("\n") else text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            read(fresh)
        except Faulty as error:
            raise Failed("; ".join(str(each) for each in error.problems)) from error
        os.replace(fresh, path)
    finally:
        if os.path.lexists(fresh):
            os.unlink(fresh)


def _tell(home: Home) -> bool:
    """Have a running daemon read the file. False: none runs."""
    try:
        with Daemon(home) as daemon:
            daemon.ask("mimo/skills/reload", seconds=PATIENCE)
    except Unreachable:
        return False
    return True


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Wrong(f"--{option} takes NAME=VALUE, not {text!r}")
    return name, value


def _row(skill: dict[str, Any]) -> tuple[str, ...]:
    start = skill["start"]
    return (
        skill["name"],
        skill["state"],
        str(skill["tools"]),
        skill["prefix"] or "(none)",
        start if len(start) <= 60 else start[:59] + "…",
    )
