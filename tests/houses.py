"""A whole house in this process, and a client that has the owner's key: what the tests of its doors share."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from mimo.app import build
from mimo.choices import Settings
from mimo.home import Home
from mimo.house import House
from mimo.launch import bind
from mimo.owner import owner_token

PATIENCE = 20.0
# To make one takes a client longer than a request does, and nothing here is encrypted.
NO_TLS = ssl.create_default_context()
ON: dict[str, Any] = {"port": 0, "enabled": "on"}  # a door with a port of its own


@contextmanager
def at_rest(home: Home, settings: Settings) -> Iterator[House]:
    """Built before a loop runs: building takes a while."""
    os.mkdir(home, 0o700)
    socket = bind(home)
    yield build(home, lambda: settings, listening=[socket])
    socket.close()


@dataclass
class Reached:
    """A house whose HTTP door is open, and a client that has the owner's key."""

    house: House
    url: str
    token: str
    client: httpx.AsyncClient


def reached(house: House) -> Reached:
    """Once the house runs. The client is to be closed."""
    assert house.http is not None
    token, url = owner_token(house.home), house.http.url
    head = {"authorization": f"Bearer {token}"}
    client = httpx.AsyncClient(base_url=url, headers=head, timeout=PATIENCE, verify=NO_TLS)
    return Reached(house, url, token, client)
