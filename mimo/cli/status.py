"""`mimo status`, and `mimo` alone: is the daemon up, how are its parts, what to do next."""

import os
from typing import Any

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.terminal import OK, UNREACHABLE, foreign, note, paint, say, say_json
from mimo.cli.words import Words
from mimo.home import Home

# A status that takes longer says enough by that.
PATIENCE = 5.0
_COLOURS = {
    "running": "green",
    "ready": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "failed": "red",
}


def status(words: Words) -> int:
    try:
        with Daemon(words.home, seconds=PATIENCE) as daemon:
            facts = daemon.ask("mimo/status", seconds=PATIENCE)
    except Unreachable as error:
        if words.has("json"):
            say_json({"running": False, "home": words.home, "reason": str(error)})
        else:
            note(f"mimo: {error}")
        return UNREACHABLE
    if words.has("json"):
        say_json({"running": True} | facts)
    else:
        say("\n".join(_told(facts)))
    return OK


def front(words: Words) -> int:
    """`mimo` alone: status, and the next three things to do. Never a failure."""
    try:
        with Daemon(words.home, seconds=PATIENCE) as daemon:
            facts: dict[str, Any] | None = daemon.ask("mimo/status", seconds=PATIENCE)
    except Unreachable as error:
        facts = None
        say(f"mimo: {error}")
    else:
        say("\n".join(_told(facts or {})))
    say()
    say(paint("Next:", "bold"))
    for command, purpose in _next_steps(words.home, running=facts is not None)[:3]:
        say(f"  {paint(f'{command:<38}', 'cyan')} {purpose}")
    return OK


def _next_steps(home: Home, *, running: bool) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    if not os.path.exists(home.database):
        steps.append(("mimo install --all", "connect the editors and agents on this machine"))
        steps.append(('mimo remember "I prefer tea"', "store a first memory"))
        steps.append(("mimo doctor", "see whether all is well"))
        return steps
    if not running:
        steps.append(("mimo serve", "start the daemon (editors start it by themselves)"))
    steps.append(('mimo search "what did we decide"', "find something"))
    steps.append(("mimo install --all", "connect the editors and agents on this machine"))
    steps.append(("mimo doctor", "see whether all is well"))
    return steps


def _told(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"{paint('mimo', 'bold')} {facts.get('version', '?')} runs as process {facts.get('pid', '?')}",
        f"  home    {facts.get('home', '?')}",
    ]
    doors: list[dict[str, Any]] = facts.get("doors") or []
    for door in doors:
        lines.append(f"  door    {door['name']}  {door['address']}  ({door['connections']} connected)")
    if embedding := facts.get("embedding"):
        lines.append(f"  vectors {foreign(vectors(embedding))}")
    tree: Any = facts.get("tree")
    if tree:
        lines += ["", *_branch(tree, 1)]
    return lines


def vectors(embedding: dict[str, Any]) -> str:
    """How many memories can be found by meaning, and what becomes of the others."""
    done, waiting, aside = embedding["done"], embedding["waiting"], embedding["set_aside"]
    told = f"{done:,} of {done + waiting + aside:,} by {embedding['model'] or 'no model'}"
    if waiting:
        told += f", {waiting:,} wait"
    if aside:
        told += f", {aside:,} refused: {embedding['refused'] or 'tried again later'}"
    if embedding["serving"] != embedding["model"]:
        told += f"; until then {embedding['serving']} answers questions"
    return f"{told}; {embedding['down']}" if embedding["down"] else told


def _branch(node: dict[str, Any], depth: int) -> list[str]:
    """One child of the supervision tree and, below it, its children."""
    state = str(node.get("state", ""))
    line = f"{'  ' * depth}{node.get('name', '?')}  {paint(state, _COLOURS.get(state, 'dim'))}"
    if restarts := node.get("restarts"):
        line += f"  restarted {restarts}x"
    if error := node.get("last_error"):
        line += f"  {paint(foreign(str(error)), 'red')}"
    children: list[dict[str, Any]] = node.get("children") or []
    return [line, *(below for child in children for below in _branch(child, depth + 1))]
