"""A daemon that is told to end while streams of every kind are open: each has its right ending, within the grace."""

import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import apsw
import pytest
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from mimo.home import Home

PATIENCE = 30.0
GRACE = 2.0


@dataclass
class Ports:
    http: int
    synapse: int
    key: str

    async def ask(
        self, stream: trio.SocketStream, method: str, path: str, body: str = "", **more: str
    ) -> None:
        asked = {"host": "localhost", "authorization": f"Bearer {self.key}"} | more
        if body:
            asked |= {"content-type": "application/json", "content-length": str(len(body))}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in asked.items())
        await stream.send_all(f"{method} {path} HTTP/1.1\r\n{head}\r\n{body}".encode())

    async def stream(self, path: str, **more: str) -> trio.SocketStream:
        """A stream of events that has begun."""
        made = await trio.open_tcp_stream("127.0.0.1", self.http)
        await self.ask(made, "GET", path, **more)
        said = b""
        while b"\r\n\r\n" not in said:
            said += await made.receive_some()
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"text/event-stream" in said
        return made

    async def stuck(self, port: int) -> trio.SocketStream:
        """A connection of one who reads nothing."""
        plain = trio.socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await plain.connect(("127.0.0.1", port))
        return trio.SocketStream(plain)

    @asynccontextmanager
    async def agent(self, nursery: trio.Nursery) -> AsyncIterator[Any]:
        async with await trio.open_tcp_stream("127.0.0.1", self.synapse) as stream:
            agent = await wrap_client_stream(nursery, stream, "localhost", "/cortex/websocket?vsn=2.0.0")
            await agent.send_message(json.dumps(["1", "1", "cortex:a", "phx_join", {"key": self.key}]))
            yield agent


async def mcp_session(ports: Ports) -> str:
    """What an MCP client of the older kind has after it has introduced itself."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about})
    async with await trio.open_tcp_stream("127.0.0.1", ports.http) as stream:
        accept = "application/json, text/event-stream"
        await ports.ask(stream, "POST", "/mcp", hello, accept=accept, connection="close")
        said = b""
        while data := await stream.receive_some():
            said += data
    heads = said.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return next(each.split(": ")[1] for each in heads if each.startswith("mcp-session-id"))


async def rest_of(stream: trio.SocketStream) -> bytes:
    """All that still comes; a stream that ends well says so."""
    said = b""
    with trio.fail_after(PATIENCE):
        while data := await stream.receive_some():
            said += data
    return said


@pytest.mark.holds_up_the_loop  # it waits for subprocesses
async def test_a_signal_ends_every_kind_of_stream_in_order_and_in_time(
    serve: Callable[..., Any], mimo: Callable[..., Any], home: Home
) -> None:
    served = serve(MIMO_DAEMON__GRACE_SECONDS=str(GRACE))
    doors = json.loads(mimo("status", "--json").stdout)["doors"]
    port = {door["name"]: int(door["address"].rpartition(":")[2]) for door in doors if "state" in door}
    ports = Ports(port["http"], port["synapse"], mimo("token").stdout.strip())
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, ports.agent(nursery) as agent:
            events = await ports.stream("/v1/events")
            news = await ports.stream(
                "/mcp", accept="text/event-stream", mcp_session_id=await mcp_session(ports)
            )
            deaf = await ports.stuck(ports.http)
            for _ in range(40):  # more than the kernel keeps for one who does not read
                await ports.ask(deaf, "GET", "/openapi.json")
            mute = await ports.stuck(ports.synapse)
            await ports.ask(
                mute,
                *("GET", "/cortex/websocket?vsn=2.0.0"),
                connection="upgrade",
                upgrade="websocket",
                sec_websocket_version="13",
                sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==",
            )
            busy = apsw.Connection(str(home.database))
            busy.execute("BEGIN IMMEDIATE")  # whoever writes waits for us
            add = {"name": "memory_add", "arguments": {"content": "said at last"}, "ref": "t"}
            await agent.send_message(json.dumps(["1", "2", "cortex:a", "tool", add]))
            await agent.send_message(json.dumps(["1", "3", "cortex:a", "ping", {}]))
            while json.loads(await agent.get_message())[1] != "3":
                pass
            began = time.monotonic()
            served.process.terminate()
            assert (await rest_of(events)).endswith(b"0\r\n\r\n")
            assert (await rest_of(news)).endswith(b"0\r\n\r\n")
            busy.close()
            heard: list[Any] = []
            with suppress(ConnectionClosed):
                while True:
                    heard.append(json.loads(await agent.get_message()))
            assert agent.closed is not None
            assert agent.closed.code == 1001
            assert await trio.to_thread.run_sync(served.stop) == 0
            took = time.monotonic() - began
            for each in (events, news, deaf, mute):
                await each.aclose()
            nursery.cancel_scope.cancel()
    assert took < GRACE + 5  # the streams' endings, and the database's
    assert [each[4]["status"] for each in heard if each[3] == "result"] == ["ok"]  # who waited was answered
    assert "Traceback" not in served.errors()
