"""Our server keeps the contract of the doors."""

import importlib.util
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio

from mimo.transports.http.server import Server
from mimo.transports.ports import tls

_path = Path(__file__).parent.parent / "contracts" / "door.py"
_spec = importlib.util.spec_from_file_location("contracts_door", _path)
assert _spec is not None
assert _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)


class TestHypercornOnTrio(contract.DoorContract):
    def serve(self, app: Any, **limits: Any) -> Server:
        return Server(app, **limits)


class Encrypted(Server):
    """The same, with a certificate."""

    certificate = ("", "")

    async def run(self, listening: Any, **more: Any) -> None:
        await super().run(listening, tls=tls(*self.certificate), **more)


class TestHypercornOnTrioWithTls(contract.DoorContract):
    full = b""  # to say anything would cost a handshake

    @pytest.fixture(autouse=True)
    def made(self, certificate: tuple[str, str]) -> None:
        self.certificate = certificate
        self.trusting = ssl.create_default_context(cafile=certificate[0])

    def serve(self, app: Any, **limits: Any) -> Server:
        server = Encrypted(app, **limits)
        server.certificate = self.certificate
        return server

    def wrap(self, stream: trio.SocketStream) -> Any:
        return trio.SSLStream(stream, self.trusting, server_hostname="localhost", https_compatible=True)

    async def test_hands_that_are_not_shaken_are_not_waited_for(self) -> None:
        for begun in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET /echo HTTP/1.1\r\nhost: localhost\r\n\r\n"):
            async with self.running(head_seconds=0.1) as door:
                async with await trio.open_tcp_stream("127.0.0.1", door.port) as stream:
                    await stream.send_all(begun)
                    assert b"HTTP" not in await contract.Line(stream).until_hung_up()
                    await door.emptied()
                assert await contract.line_of(door, "/echo") == (200, b"/echo")
