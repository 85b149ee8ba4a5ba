"""A daemon that is told to end while agents are connected: who waits is answered or told, and it ends in its grace."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream


@pytest.mark.holds_up_the_loop  # it waits for subprocesses
async def test_a_daemon_that_ends_closes_its_websockets_with_1001(
    serve: Callable[..., Any], mimo: Callable[..., Any]
) -> None:
    served = serve()
    doors = json.loads(mimo("status", "--json").stdout)["doors"]
    url = next(door["address"] for door in doors if door["name"] == "synapse")
    key = mimo("token").stdout.strip()
    port = int(url.rpartition(":")[2])
    shown = [(b"authorization", f"Bearer {key}".encode())]
    async with (
        await trio.open_tcp_stream("127.0.0.1", port) as one,
        await trio.open_tcp_stream("127.0.0.1", port) as two,
        trio.open_nursery() as nursery,
    ):
        agent = await wrap_client_stream(nursery, one, "localhost", "/cortex/websocket?vsn=2.0.0")
        client = await wrap_client_stream(
            nursery, two, "localhost", "/mcp", subprotocols=["mcp"], extra_headers=shown
        )
        await agent.send_message(json.dumps(["1", "1", "cortex:a", "phx_join", {"key": key}]))
        await agent.send_message(json.dumps(["1", "2", "cortex:a", "subscribe", {"events": ["system:*"]}]))
        # A head that never ends holds nobody up, either.
        async with await trio.open_tcp_stream("127.0.0.1", port) as loris:
            await loris.send_all(b"GET /cortex/websocket HTTP/1.1\r\n")
            with trio.fail_after(20):
                while json.loads(await agent.get_message())[1] != "2":
                    pass
                began = time.monotonic()
                served.process.terminate()
                for socket in (agent, client):
                    with suppress(ConnectionClosed):
                        while True:
                            await socket.get_message()
                    assert socket.closed is not None
                    assert socket.closed.code == 1001
                assert await trio.to_thread.run_sync(served.stop) == 0
                assert time.monotonic() - began < 10
