"""The WebSocket door under load: many agents at once, interrupts, a broadcast to all of them, and one too many.

    python bench/load_synapse.py [--sockets 1000] [--seconds 10] [--json]

Round trips are printed beside those of a bare echo server on trio-websocket, in the same run. All of it on
loopback, and the clients take their share of the same cores.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

ECHO = """
import trio, trio_websocket

async def echo(request):
    socket = await request.accept()
    try:
        while True:
            await socket.send_message(await socket.get_message())
    except trio_websocket.ConnectionClosed:
        pass

async def main():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, echo, "127.0.0.1", 0, None)
        print(server.port, flush=True)

trio.run(main)
"""


class Agent:
    """A WebSocket client that does just enough to cost little."""

    def __init__(self, port: int, token: str = "", name: str = "bench") -> None:
        self.topic = f"cortex:{name}"
        self._port, self._token, self._rest, self._ref = port, token, b"", 0
        self._stream: trio.SocketStream | None = None
        self._hears, self._heard = trio.open_memory_channel[bytes](math.inf)

    async def connect(
        self, nursery: trio.Nursery | None = None, path: str = "/cortex/websocket?vsn=2.0.0"
    ) -> int:
        """The status that the upgrade got. From then on a task in the nursery reads, and answers pings."""
        self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        shown = f"authorization: Bearer {self._token}\r\n" if self._token else ""
        await self._stream.send_all(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n{shown}"
            "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._rest:
            await self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        if nursery is not None:
            nursery.start_soon(self._read)
        return int(head.split(b" ", 2)[1])

    async def say(self, text: bytes) -> None:
        assert self._stream is not None
        size = len(text)
        length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
        await self._stream.send_all(b"\x81" + length + b"\0\0\0\0" + text)  # a mask that changes nothing

    async def hear(self) -> bytes:
        return await self._heard.receive()

    async def _read(self) -> None:
        assert self._stream is not None
        with self._hears:
            while True:
                kind, payload = await self._frame()
                if kind == 1:
                    self._hears.send_nowait(payload)
                elif kind == 9:  # a ping
                    await self._stream.send_all(bytes([0x8A, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)
                elif kind == 8:
                    raise ConnectionError(f"closed: {payload!r}")

    async def ask(self, event: str, payload: object) -> dict[str, Any]:
        self._ref += 1
        await self.say(json.dumps(["1", str(self._ref), self.topic, event, payload]).encode())
        while True:
            _, ref, _, _, told = json.loads(await self.hear())
            if ref == str(self._ref):
                return told

    async def wait_for(self, event: str) -> None:
        while json.loads(await self.hear())[3] != event:
            pass

    async def _frame(self) -> tuple[int, bytes]:
        await self._at_least(2)
        kind, size, begin = self._rest[0] & 15, self._rest[1] & 127, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            await self._at_least(begin)
            size = int.from_bytes(self._rest[2:begin], "big")
        await self._at_least(begin + size)
        payload, self._rest = self._rest[begin : begin + size], self._rest[begin + size :]
        return kind, payload

    async def _at_least(self, size: int) -> None:
        while len(self._rest) < size:
            await self._more()

    async def _more(self) -> None:
        assert self._stream is not None
        data = await self._stream.receive_some(65536)
        if not data:
            raise ConnectionError("hung up")
        self._rest += data

    async def close(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)


@contextmanager
def daemon(sockets: int) -> Iterator[tuple[int, str, int]]:
    """Port, key and process of a daemon in a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        home = os.path.join(folder, "home")
        more = {
            "MIMO_HTTP__ENABLED": "off",
            "MIMO_SYNAPSE__PORT": "0",
            "MIMO_SYNAPSE__ENABLED": "on",
            "MIMO_SYNAPSE__CONNECTIONS": str(sockets),
            "MIMO_LOG__LEVEL": "error",
        }
        mimo = [sys.executable, "-m", "mimo"]

        def told(*words: str) -> str:
            return subprocess.run(
                [*mimo, *words, "--home", home], capture_output=True, text=True, check=False
            ).stdout

        with subprocess.Popen([*mimo, "serve", "--home", home], env=os.environ | more) as process:
            try:
                until = time.monotonic() + 30
                while not (said := told("status", "--json")).strip() or "doors" not in json.loads(said):
                    assert time.monotonic() < until, "the daemon does not start"
                    time.sleep(0.2)
                url = next(d["address"] for d in json.loads(said)["doors"] if d["name"] == "synapse")
                yield int(url.rpartition(":")[2]), told("token").strip(), process.pid
            finally:
                process.terminate()


@contextmanager
def echo_server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("VmRSS")).split()[1]) / 1024


def ms(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 2)


async def round_trips(agents: Sequence[Agent], seconds: float, rate: float, *, bare: bool) -> list[float]:
    """Pings of all agents, `rate` a second in all, for so long."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def one(agent: Agent, number: int) -> None:
        mine = random.Random(number)
        while True:
            await trio.sleep(mine.expovariate(rate / len(agents)))
            began = time.perf_counter()
            if began > until:
                return
            if bare:
                await agent.say(b'["1","1","cortex:bench","ping",{}]')
                await agent.hear()
            else:
                await agent.ask("ping", {})
            taken.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        for number, agent in enumerate(agents):
            nursery.start_soon(one, agent, number)
    return taken


async def peer(port: int, seconds: float) -> dict[str, Any]:
    agents = [Agent(port) for _ in range(100)]
    async with trio.open_nursery() as nursery:
        for agent in agents:
            await agent.connect(nursery, "/")
        taken = await round_trips(agents, seconds, 200, bare=True)
        nursery.cancel_scope.cancel()
    for agent in agents:
        await agent.close()
    return {"bare_echo_100_p50_ms": ms(taken, 0.5), "bare_echo_100_p99_ms": ms(taken, 0.99)}


async def load(port: int, token: str, pid: int, sockets: int, seconds: float) -> dict[str, Any]:
    async with trio.open_nursery() as nursery:
        found = await measured(nursery, port, token, pid, sockets, seconds)
        nursery.cancel_scope.cancel()
    return found


async def measured(
    nursery: trio.Nursery, port: int, token: str, pid: int, sockets: int, seconds: float
) -> dict[str, Any]:
    first = Agent(port, token)
    await first.connect(nursery)
    await first.ask("phx_join", {})
    before, began_at = resident(pid), time.perf_counter()
    agents, took, found = [first], list[float](), dict[str, Any]()
    while len(agents) < sockets:
        if len(agents) == 100:
            taken = await round_trips(agents, seconds, 200, bare=False)
            found |= {"100_p50_ms": ms(taken, 0.5), "100_p99_ms": ms(taken, 0.99)}
            found |= await interrupts(agents, seconds, 50)
        agent = Agent(port, token, f"agent-{len(agents)}")
        began = time.perf_counter()
        assert await agent.connect(nursery) == 101
        assert (await agent.ask("phx_join", {}))["status"] == "ok"
        took.append(time.perf_counter() - began)
        agents.append(agent)
    found |= {"connect_p50_ms": ms(took, 0.5), "connect_max_ms": ms(took, 1.0)}
    found["sockets"] = len(agents)
    taken = await round_trips(agents, seconds, 200, bare=False)
    found |= {"all_p50_ms": ms(taken, 0.5), "all_p99_ms": ms(taken, 0.99)}
    found["extra_mb"] = round(resident(pid) - before, 1)
    for agent in agents[1:]:
        await agent.ask("subscribe", {"events": ["system:tool_called"]})
    found["broadcast_ms"] = [await broadcast(agents) for _ in range(5)]
    refusals: list[float] = []
    for _ in range(50):
        began = time.perf_counter()
        agent = Agent(port, token)
        assert await agent.connect() == 503
        refusals.append(time.perf_counter() - began)
        await agent.close()
    found |= {"refused_p50_ms": ms(refusals, 0.5), "refused_max_ms": ms(refusals, 1.0)}
    found["seconds"] = round(time.perf_counter() - began_at, 1)
    return found


async def interrupts(agents: Sequence[Agent], seconds: float, rate: float) -> dict[str, Any]:
    """Agents ask and change their minds, `rate` a second in all: how long until the `result` says `interrupted`.

    A query that was answered before it could be interrupted counts for nothing.
    """
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def one(agent: Agent, number: int) -> None:
        mine = random.Random(number)
        while time.perf_counter() < until:
            await trio.sleep(mine.expovariate(rate / len(agents)))
            await agent.ask("query", {"q": "what was said about the harbour", "ref": "q"})
            began = time.perf_counter()
            await agent.say(json.dumps(["1", "0", agent.topic, "interrupt", {"ref": "q"}]).encode())
            while (heard := json.loads(await agent.hear()))[3] != "result":
                pass
            if heard[4]["status"] == "interrupted":
                taken.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        for number, agent in enumerate(agents):
            nursery.start_soon(one, agent, number)
    if not taken:
        return {"interrupted": 0}
    return {
        "interrupted": len(taken),
        "interrupt_p50_ms": ms(taken, 0.5),
        "interrupt_p99_ms": ms(taken, 0.99),
        "interrupt_max_ms": ms(taken, 1.0),
    }


async def broadcast(agents: Sequence[Agent]) -> float:
    """Milliseconds from a call that all but the first subscribed to until the last of them has heard of it."""
    last = 0.0

    async def hear(agent: Agent) -> None:
        nonlocal last
        await agent.wait_for("system:tool_called")
        last = time.perf_counter()

    async with trio.open_nursery() as nursery:
        for agent in agents[1:]:
            nursery.start_soon(hear, agent)
        await trio.sleep(0.2)
        began = time.perf_counter()
        await agents[0].ask("tool", {"name": "memory_get", "arguments": {"ids": ["m1"]}, "ref": str(began)})
    return round((last - began) * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    gc.disable()  # a pause of the clients is none of the daemon's
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * options.sockets + 200)), hard))
    with echo_server() as port:
        found = trio.run(peer, port, options.seconds)
    with daemon(options.sockets) as (port, token, pid):
        found |= trio.run(load, port, token, pid, options.sockets, options.seconds)
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<26} {value}")


if __name__ == "__main__":
    main()
