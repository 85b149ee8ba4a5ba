"""`mimo key create|list|revoke` and `mimo token`: what opens the network doors."""

import time
from typing import Any

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.terminal import OK, Failed, foreign, note, say, say_json, table
from mimo.cli.words import Words
from mimo.owner import owner_token


def create(words: Words) -> int:
    """The key goes to stdout, alone, so that it can be piped; all else is beside it."""
    scopes = words.all("scope") or ["read", "write"]
    with Daemon(words.home, start=True) as daemon:
        made = daemon.ask("mimo/key_create", {"name": words.text("NAME"), "scopes": scopes})
    if words.has("json"):
        say_json(made)
    else:
        say(made["key"])
        note(f"keep it: it is shown this once ({made['id']}, may {', '.join(made['scopes'])})")
    return OK


def listing(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        keys: list[dict[str, Any]] = daemon.ask("mimo/key_list")["keys"]
    if words.has("json"):
        say_json({"keys": keys})
    elif not keys:
        say("no keys but the owner's ('mimo token' shows it); make one with: mimo key create NAME")
    else:
        say(foreign(table([("id", "name", "scopes", "made", ""), *(_row(key) for key in keys)])))
    return OK


def revoke(words: Words) -> int:
    with Daemon(words.home, start=True) as daemon:
        gone = daemon.ask("mimo/key_revoke", {"name": words.text("NAME")})
    if words.has("json"):
        say_json(gone)
    else:
        say(foreign(f"{gone['name']} ({gone['id']}) opens nothing any more"))
    return OK


def token(words: Words) -> int:
    """Read from its file: no daemon is needed, and none is started."""
    import os

    try:
        os.makedirs(words.home, mode=0o700, exist_ok=True)
        text = owner_token(words.home, renew=words.has("renew"))
    except OSError as error:
        raise Failed(f"cannot use the owner's key in {words.home}: {error.strerror}") from error
    if words.has("renew"):
        try:
            with Daemon(words.home) as daemon:
                daemon.ask("mimo/key_load")
        except Unreachable:
            pass  # it will read the new one when it starts
    say(text)
    return OK


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    made = time.strftime("%Y-%m-%d", time.localtime(key["created_at"] / 1000))
    state = "revoked" if key["revoked_at"] is not None else ""
    return key["id"], key["name"], " ".join(key["scopes"]), made, state
