"""A house whose HTTP door is open, over real sockets, as programs meet it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import trio

from mimo.choices import Settings
from mimo.cli.client import Daemon
from mimo.home import Home
from mimo.house import House

from ...houses import NO_TLS, ON, PATIENCE, Reached, at_rest, reached

TOOLS = ["memory_search", "memory_add", "memory_edit", "memory_get", "memory_context"]
JSON = {"content-type": "application/json"}


@dataclass
class Open(Reached):
    """And what its tests ask of it."""

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
    return Settings.model_validate({"http": ON | http, "synapse": {"enabled": "off"}})


@pytest.fixture
def chosen() -> dict[str, Any]:
    """What a test wants set otherwise, in the section http."""
    return {}


@pytest.fixture
def house(home: Home, chosen: dict[str, Any]) -> Iterator[House]:
    with at_rest(home, settings(**chosen)) as built:
        yield built


@pytest.fixture
async def door(house: House, nursery: trio.Nursery) -> AsyncIterator[Open]:
    await nursery.start(house.root.run)
    owner = reached(house)
    async with owner.client:
        yield Open(**vars(owner))
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
