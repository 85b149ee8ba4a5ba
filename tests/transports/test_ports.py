"""Where doors listen: what is safe, what is in the way, and certificates that will not do."""

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.errors import Unusable
from mimo.transports import ports
from mimo.transports.ports import Address, Port, listening, tls


@pytest.mark.parametrize(
    ("address", "keys", "safe"),
    [
        (Address(), 0, True),
        (Address("::1"), 0, True),
        (Address("127.1.2.3"), 0, True),
        (Address("0.0.0.0"), 0, False),
        (Address("0.0.0.0"), 1, False),
        (Address("0.0.0.0", behind_proxy=True), 0, False),
        (Address("0.0.0.0", behind_proxy=True), 1, True),
        (Address("::", certificate=("a", "b")), 1, True),
        (Address("127.0.0.1.evil.example"), 0, False),
    ],
)
def test_what_can_be_reached_from_outside_needs_keys_and_encryption(
    address: Address, keys: int, safe: bool
) -> None:
    assert (address.unsafe(keys) is None) is safe


@pytest.mark.parametrize("certificate", [None, ("", "key.pem"), ("nowhere.pem", "")])
def test_what_could_never_be_opened_is_told_before_anything_is(certificate: tuple[str, str] | None) -> None:
    with pytest.raises(Unusable, match=r"http\.certificate"):
        Address("0.0.0.0", certificate=certificate).check()
    Address("0.0.0.0", behind_proxy=True).check()


async def test_addresses_of_both_families_are_listened_at() -> None:
    for each in await listening("localhost", 0):
        each.close()


# Certificates.


def test_a_certificate_may_have_its_key_beside_it_or_in_it(
    certificate: tuple[str, str], tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(each).read_text() for each in certificate))
    assert tls(*certificate) is not tls(str(both), "")


def test_a_file_that_will_not_do_is_named(
    certificate: tuple[str, str], tmp_path: Path, make_certificate: Callable[..., tuple[str, str]]
) -> None:
    chain, key = certificate
    text = tmp_path / "text"
    text.write_text("these are my notes")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for files, told in (
        ((str(tmp_path / "none"), key), "cannot read .*none"),
        ((chain, str(tmp_path / "none")), "cannot read .*none"),
        ((str(tmp_path), key), "no file"),
        ((str(pipe), key), "no file"),  # and it is not waited for
        ((str(text), key), "no certificate in .*text"),
        ((chain, str(text)), "private key in .*text"),
        ((chain, make_certificate()[1]), "is not that of the certificate"),
        (make_certificate("-passout", "pass:secret"), "is encrypted"),  # and nobody is asked at the terminal
        (("", key), "http.certificate is not"),
    ):
        with pytest.raises(Unusable, match=told):
            tls(*files)


# What is in the way, while the house lives.


async def opened(port: Port, nursery: trio.Nursery) -> None:
    """Until it is open, or has said why not."""

    async def run(task_status: trio.TaskStatus[None]) -> None:
        try:
            await port.open(task_status)
            await trio.sleep_forever()
        finally:
            port.close()

    await nursery.start(run)


async def test_a_door_without_keys_opens_when_there_is_one(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ports, "AGAIN_SECONDS", 0.01)
    keys = [0]
    port = Port("http", Address("127.1", 0, behind_proxy=True), lambda: keys[0])  # loopback, but not by name
    await opened(port, nursery)
    assert "mimo key create" in port.state
    await trio.sleep(0.05)
    assert len(caplog.records) == 1  # told once
    keys[0] = 1
    with trio.fail_after(20):
        while port.state != "open":  # noqa: ASYNC110 (it tells nobody)
            await trio.sleep(0.005)
    nursery.cancel_scope.cancel()


async def test_a_door_with_a_certificate_that_went_bad_stays_shut(
    nursery: trio.Nursery, certificate: tuple[str, str], tmp_path: Path
) -> None:
    port = Port("synapse", Address("127.0.0.1", 0, (str(tmp_path / "gone"), certificate[1])), lambda: 0)
    await opened(port, nursery)
    assert "cannot read" in port.state
    assert port.url.startswith("wss://")
    nursery.cancel_scope.cancel()


async def test_a_door_that_waits_does_not_open_when_it_is_drained(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "AGAIN_SECONDS", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = Port("http", Address("127.0.0.1", taken.getsockname()[1]), lambda: 0)
        await opened(port, nursery)
        port.drain()
    await trio.sleep(0.05)
    assert port.state == "draining"
    assert port.sockets == ()
    nursery.cancel_scope.cancel()


# From the shell.


def words_of(ended: "subprocess.CompletedProcess[str]") -> str:
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    return ended.stderr


def test_a_start_that_could_never_be_safe_is_refused(mimo: Callable[..., Any], home: Any) -> None:
    for section in ("http", "synapse"):
        refused = words_of(mimo("serve", "--set", f"{section}.host=0.0.0.0"))
        assert "--behind-proxy" in refused
        assert "http.certificate" in refused
    refused = words_of(mimo("serve", "--set", "http.certificate=/nowhere/chain.pem"))
    assert "cannot read /nowhere/chain.pem" in refused
    assert not os.path.exists(home.socket)


def test_behind_a_proxy_it_may_be_reached_from_outside_when_there_is_a_key(
    serve: Callable[..., Any], mimo: Callable[..., Any]
) -> None:
    def states() -> list[str]:
        doors = json.loads(mimo("status", "--json").stdout)["doors"]
        return [door["state"] for door in doors if door["name"] in {"http", "synapse"}]

    proxied = ["--behind-proxy", "--set", "http.host=127.1", "--set", "synapse.host=127.1"]
    served = serve(*proxied)
    assert all("mimo key create" in each for each in states())
    assert mimo("key", "create", "program").returncode == 0
    assert served.stop() == 0
    serve(*proxied)
    assert states() == ["open", "open"]
