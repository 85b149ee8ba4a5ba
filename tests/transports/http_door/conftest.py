"""A house whose HTTP door is open, over real sockets, as programs meet it."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import trio

from mimo.app import build
from mimo.choices import Settings
from mimo.cli.client import Daemon
from mimo.home import Home
from mimo.house import House
from mimo.launch import bind
from mimo.owner import owner_token

PATIENCE = 20.0
TOOLS = ["memory_search", "memory_add", "memory_edit", "memory_get", "memory_context"]
# To make one takes a client longer than a request does, and nothing here is encrypted.
NO_TLS = ssl.create_default_context()
JSON = {"content-type": "application/json"}


@dataclass
class Open:
    """A house whose HTTP door is open, and a client that has the owner's key."""

    house: House
    url: str
    token: str
    client: httpx.AsyncClient

    async def tool(self, name: str, **arguments: Any) -> httpx.Response:
        return await self.client.post("/v1/mimo/tool", json={"tool": name, "arguments": arguments})

    async def key(self, *scopes: str, name: str = "program") -> str:
        """Another key, as 'mimo key create' makes it."""
        return (await self.asked("mimo/key_create", {"name": name, "scopes": list(scopes)}))["key"]

    async def asked(self, method: str, params: Mapping[str, Any]) -> Any:
        """What a program of ours asks of the daemon over its socket."""

        def ask() -> Any:
            with Daemon(self.house.home) as daemon:
                return daemon.ask(method, params)

        return await trio.to_thread.run_sync(ask)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Without a key, unless there is one among the headers."""
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE, verify=NO_TLS) as client:
            return await client.get(path, headers={n.replace("_", "-"): v for n, v in headers.items()})


def settings(**http: Any) -> Settings:
    on = {"port": 0, "enabled": "on"}
    return Settings.model_validate({"http": on | http, "synapse": {"enabled": "off"}})


@pytest.fixture
def chosen() -> dict[str, Any]:
    """What a test wants set otherwise, in the section http."""
    return {}


@pytest.fixture
def house(home: Home, chosen: dict[str, Any]) -> Iterator[House]:
    """At rest, and built before a loop runs: building takes a while."""
    os.mkdir(home, 0o700)
    socket = bind(home)
    yield build(home, lambda: settings(**chosen), listening=[socket])
    socket.close()


@pytest.fixture
async def door(house: House, nursery: trio.Nursery) -> AsyncIterator[Open]:
    await nursery.start(house.root.run)
    assert house.http is not None
    token = owner_token(house.home)
    client = httpx.AsyncClient(
        base_url=house.http.url,
        headers={"authorization": f"Bearer {token}"},
        timeout=PATIENCE,
        verify=NO_TLS,
    )
    async with client:
        yield Open(house, house.http.url, token, client)
    nursery.cancel_scope.cancel()


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, in the one form that all have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    told = response.json()["error"]
    assert told["id"] == response.headers["x-request-id"]
    assert told["message"]
    assert isinstance(told["retry"], bool)
    return told
