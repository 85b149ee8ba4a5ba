"""Both doors of a whole house as they are reached from outside: with TLS, and through a proxy."""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import wrap_client_stream

from mimo.choices import Settings
from mimo.home import Home
from mimo.house import House
from mimo.owner import owner_token
from mimo.transports.http import guard

from ..houses import ON, PATIENCE, at_rest


@pytest.fixture
def http() -> dict[str, Any]:
    """What a test wants set in the section http, beside ports of their own."""
    return {}


@pytest.fixture
def house(home: Home, http: dict[str, Any]) -> Iterator[House]:
    with at_rest(home, Settings.model_validate({"http": ON | http, "synapse": ON})) as built:
        yield built


@pytest.fixture
async def token(house: House, nursery: trio.Nursery) -> AsyncIterator[str]:
    await nursery.start(house.root.run)
    yield owner_token(house.home)
    nursery.cancel_scope.cancel()


def url(house: House, name: str) -> str:
    door = house.http if name == "http" else house.synapse
    assert door is not None
    return door.url.replace("127.0.0.1", "localhost")


def port(house: House, name: str) -> int:
    return int(url(house, name).rpartition(":")[2])


async def status(house: House, name: str, tls: ssl.SSLContext | None = None, **headers: str) -> int:
    """What a door answers to a proxy that says exactly this, on a connection of its own."""
    asked = {"host": "localhost", "connection": "close"} | headers
    path = "/v1/memories"
    if name == "synapse":
        path = "/cortex/websocket?vsn=2.0.0"
        asked |= {"connection": "upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
        asked |= {"sec_websocket_key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in asked.items())
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", port(house, name)) as plain:
            stream: Any = plain
            if tls is not None:
                stream = trio.SSLStream(plain, tls, server_hostname="localhost", https_compatible=True)
            await stream.send_all(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
            return int((await stream.receive_some()).split(b" ", 2)[1])


# With TLS.


@pytest.fixture
def trusting(certificate: tuple[str, str], http: dict[str, Any]) -> ssl.SSLContext:
    """A client's side. Whoever asks for it has a house with a certificate."""
    http |= {"certificate": certificate[0], "certificate_key": certificate[1]}
    return ssl.create_default_context(cafile=certificate[0])


async def test_the_guard_stands_behind_tls_too(trusting: ssl.SSLContext, house: House, token: str) -> None:
    shown = {"authorization": f"Bearer {token}"}
    assert url(house, "http").startswith("https://")
    async with httpx.AsyncClient(base_url=url(house, "http"), verify=trusting, timeout=PATIENCE) as client:
        assert (await client.get("/health")).json()["status"] == "healthy"
        assert (await client.get("/v1/memories")).status_code == 401
        assert (await client.get("/v1/memories", headers=shown)).status_code == 200
        for headers, refused in (
            ({"host": "rebound.example"}, 421),
            ({"origin": "https://evil.example"}, 403),
            ({"authorization": "Bearer mimo_" + "x" * 43}, 401),
        ):
            assert (await client.get("/v1/memories", headers=shown | headers)).status_code == refused


async def test_agents_come_by_wss(trusting: ssl.SSLContext, house: House, token: str) -> None:
    assert url(house, "synapse").startswith("wss://")

    with trio.fail_after(PATIENCE):
        async with (
            await trio.open_ssl_over_tcp_stream(
                "localhost", port(house, "synapse"), ssl_context=trusting, https_compatible=True
            ) as stream,
            trio.open_nursery() as nursery,
        ):
            shown = [(b"authorization", f"Bearer {token}".encode())]
            path = "/cortex/websocket?vsn=2.0.0"
            socket = await wrap_client_stream(nursery, stream, "localhost", path, extra_headers=shown)
            await socket.send_message(json.dumps(["1", "1", "cortex:a", "phx_join", {}]))
            assert json.loads(await socket.get_message())[4]["status"] == "ok"
            await socket.aclose()
            nursery.cancel_scope.cancel()
    for headers, refused in (
        ({"host": "rebound.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"authorization": "Bearer mimo_wrong"}, 401),
    ):
        assert await status(house, "synapse", trusting, **headers) == refused


async def test_who_does_not_trust_or_does_not_encrypt_disturbs_nobody(
    trusting: ssl.SSLContext, house: House, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = ssl.create_default_context()
    for name in ("http", "synapse"):
        async with await trio.open_ssl_over_tcp_stream(
            "localhost", port(house, name), ssl_context=stranger
        ) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.do_handshake()
        async with await trio.open_tcp_stream("127.0.0.1", port(house, name)) as stream:
            await stream.send_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with trio.fail_after(PATIENCE):
                while said := await stream.receive_some():
                    assert b"HTTP" not in said
    async with httpx.AsyncClient(verify=trusting, timeout=PATIENCE) as client:
        assert (await client.get(f"{url(house, 'http')}/health")).status_code == 200
    assert [each for each in caplog.records if each.levelname in {"ERROR", "CRITICAL"}] == []


# Through a proxy.


@pytest.mark.parametrize("name", ["http", "synapse"])
@pytest.mark.parametrize("http", [{"behind_proxy": True, "hosts": "memory.example"}])
async def test_behind_a_proxy_each_client_pays_for_its_own_wrong_keys(
    name: str, house: House, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PENALTY_SECONDS", 0.01)
    wrong = {"host": "memory.example", "authorization": "Bearer mimo_wrong"}
    for number in range(10):
        # What stands before the last address the client made up itself.
        forged = f"198.51.100.{number}, 203.0.113.7"
        assert await status(house, name, **wrong, x_forwarded_for=forged) == 401
    assert await status(house, name, **wrong, x_forwarded_for="203.0.113.7") == 429
    assert await status(house, name, **wrong, x_forwarded_for="203.0.113.8") == 401
    good = wrong | {"authorization": f"Bearer {token}"}
    assert await status(house, name, **good, x_forwarded_for="203.0.113.7") in {200, 101}
    assert await status(house, name, **good | {"host": "other.example"}) == 421


@pytest.mark.parametrize("name", ["http", "synapse"])
async def test_without_a_proxy_nobody_is_believed_who_says_that_they_are_another(
    name: str, house: House, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PENALTY_SECONDS", 0.01)
    for number in range(11):
        said = f"203.0.113.{number}"
        told = await status(house, name, authorization="Bearer mimo_wrong", x_forwarded_for=said)
        assert told == (401 if number < 10 else 429)


@pytest.mark.parametrize("http", [{"behind_proxy": True}])
async def test_one_network_of_ipv6_is_one_client(
    house: House, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PENALTY_SECONDS", 0.01)
    for number in range(11):
        said = {"authorization": "Bearer mimo_wrong", "x_forwarded_for": f"2001:db8:1:2::{number:x}"}
        assert await status(house, "http", **said) == (401 if number < 10 else 429)
    assert await status(house, "http", authorization="Bearer x", x_forwarded_for="2001:db8:1:3::1") == 401


@pytest.mark.parametrize(("http", "told"), [({"behind_proxy": True}, "60"), ({}, None)])
async def test_what_may_come_from_outside_is_limited_whosever_key_it_shows(
    house: House, token: str, told: str | None
) -> None:
    async with httpx.AsyncClient(base_url=url(house, "http"), timeout=PATIENCE) as client:
        said = await client.get("/v1/memories", headers={"authorization": f"Bearer {token}"})
    assert said.headers.get("x-ratelimit-limit") == told
