"""Keys from the command line."""

import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mimo.home import Home
from mimo.owner import owner_token

Mimo = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_key_is_made_shown_once_listed_and_revoked(serve: Callable[..., Any], mimo: Mimo) -> None:
    serve()
    made = mimo("key", "create", "ci", "--scope", "read")
    assert made.returncode == 0
    assert made.stdout.startswith("mimo_")
    assert len(made.stdout.split()) == 1
    assert mimo("key", "create", "ci").returncode == 5
    assert mimo("key", "create", "owner").returncode == 5
    listed = json.loads(mimo("key", "list", "--json").stdout)["keys"]
    assert [(each["name"], each["scopes"], each["revoked_at"]) for each in listed] == [("ci", ["read"], None)]
    assert made.stdout.strip() not in mimo("key", "list").stdout
    assert mimo("key", "revoke", "ci").returncode == 0
    assert mimo("key", "revoke", "ci").returncode == 3
    assert "revoked" in mimo("key", "list").stdout
    assert mimo("key", "create", "ci").returncode == 0  # the name is free again


def test_the_owners_key_needs_no_daemon_and_is_the_same_every_time(mimo: Mimo, home: Home) -> None:
    first = mimo("token")
    assert first.returncode == 0
    assert mimo("token").stdout == first.stdout
    assert stat.S_IMODE(os.stat(os.path.join(home, "owner.key")).st_mode) == 0o600
    renewed = mimo("token", "--renew")
    assert renewed.stdout != first.stdout
    assert mimo("token").stdout == renewed.stdout


def test_of_many_who_make_the_owners_key_at_once_all_get_the_same(home: Home) -> None:
    os.mkdir(home, 0o700)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(owner_token(home))) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert os.listdir(home) == ["owner.key"]


@pytest.mark.parametrize("torn", ["", "mimo_", "something else"])
def test_an_owners_key_that_was_torn_is_made_anew(home: Home, torn: str) -> None:
    os.mkdir(home, 0o700)
    with open(os.path.join(home, "owner.key"), "w") as file:
        file.write(torn)
    assert len(owner_token(home)) == 48
    assert owner_token(home) == owner_token(home)
