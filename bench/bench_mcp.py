"""A trivial tool over stdio: our door, our bridge, the official Python server and a bare JSON loop, in turns, in one run.

    python bench/bench_mcp.py [--rounds N] [--calls N] [--official PYTHON] [--json]

`--official` names a Python that has the package `mcp` 2.x (`ops/clients` makes one); without one that peer is left
out. CPU is the server process's own (for the bridge: bridge and daemon, apart), from /proc, which counts in ticks of
10 ms; it moves little when the machine is busy, and wall time moves a lot. Starts are of the whole `mimo`, with its
memory: warm is a bridge to a daemon that runs, cold a bridge on an empty directory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

WINDOW = 32
TICKS = os.sysconf("SC_CLK_TCK")

OURS = """
import os, socket, sys, trio
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.mcp.about import ServerInfo
from mimo.tool import Answer, Arguments, Call, Tool
from mimo.transports.desk import Desk

class Echo(Arguments):
    "Use when something is to be said again."
    text: str

async def echo(arguments: Echo, call: Call) -> Answer:
    return Answer.text(arguments.text)

async def main() -> None:
    events, metrics = Events(), Metrics()
    box = Toolbox(events)
    box.add(Tool("echo", Echo, echo))
    desk = Desk(ServerInfo("bench", "1"), box, Dispatch(box, events, metrics), sessions=Sessions(events, metrics))
    if len(sys.argv) == 1:
        from mimo.transports.stdio import StdioDoor
        await StdioDoor(desk, {}, "/", "/").run()
    else:
        from mimo.home import Home
        from mimo.launch import bind
        from mimo.transports.unix import UnixDoor
        os.makedirs(sys.argv[1], mode=0o700)
        listening = bind(Home(sys.argv[1]))
        print("ready", flush=True)
        await UnixDoor([listening], desk, None, "/").run()

trio.run(main)
"""

OFFICIAL = """
import asyncio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def tools(ctx, params):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return types.ListToolsResult(tools=[types.Tool(name="echo", input_schema=schema)])

async def call(ctx, params):
    return types.CallToolResult(content=[types.TextContent(type="text", text=params.arguments["text"])])

async def main():
    server = Server("bench", on_list_tools=tools, on_call_tool=call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

asyncio.run(main())
"""

BARE = """
import json, sys
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message:
        text = message["params"].get("arguments", {}).get("text", "")
        result = {"content": [{"type": "text", "text": text}]}
        if message["method"] == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "b", "version": "1"}}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\\n")
        sys.stdout.buffer.flush()
"""

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class Figures:
    """Of one peer, a value for each round."""

    alone: list[float] = field(default_factory=list[float])  # calls/s, one at a time
    p50: list[float] = field(default_factory=list[float])  # microseconds
    cpu: list[float] = field(default_factory=list[float])  # microseconds of the server for each call
    window: list[float] = field(default_factory=list[float])  # calls/s, 32 in flight
    window_cpu: list[float] = field(default_factory=list[float])
    bridge_cpu: list[float] = field(
        default_factory=list[float]
    )  # of the process on the pipe, if it is another
    start: list[float] = field(default_factory=list[float])  # ms to the first answer
    memory: list[float] = field(default_factory=list[float])  # MiB resident


def cpu_of(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def request(identity: int, method: str, params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode() + b"\n"


DISCOVER = request(0, "server/discover", {"_meta": META})


def call(identity: int) -> bytes:
    return request(identity, "tools/call", {"name": "echo", "arguments": {"text": "sixteen letters."}})


def measure(command: list[str], calls: int, figures: Figures, worker: int | None) -> None:
    """One round. `worker` is the process whose CPU counts, when it is not the one on the pipe."""
    began = time.perf_counter()
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert server.stdin is not None
    assert server.stdout is not None
    source, sink = os.fdopen(os.dup(server.stdout.fileno()), "rb"), server.stdin
    try:
        sink.write(request(0, "initialize", INITIALIZE))
        assert b"result" in source.readline()
        figures.start.append((time.perf_counter() - began) * 1000)
        sink.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        counted = worker or server.pid
        talk(source, sink, calls // 10, 1)
        before, carried = cpu_of(counted), cpu_of(server.pid)
        took, each = talk(source, sink, calls, 1)
        figures.alone.append(calls / took)
        figures.p50.append(statistics.median(each) * 1e6)
        figures.cpu.append((cpu_of(counted) - before) / calls * 1e6)
        figures.bridge_cpu.append((cpu_of(server.pid) - carried) / calls * 1e6)
        before = cpu_of(counted)
        took, _ = talk(source, sink, calls * 2, WINDOW)
        figures.window.append(calls * 2 / took)
        figures.window_cpu.append((cpu_of(counted) - before) / (calls * 2) * 1e6)
        figures.memory.append(memory_of(server.pid))
    finally:
        sink.close()
        server.wait(10)
        source.close()
        server.stdout.close()


def talk(source: IO[bytes], sink: IO[bytes], calls: int, window: int) -> tuple[float, list[float]]:
    """`calls` calls with `window` of them in flight; seconds altogether, and for each batch of a window."""
    each = list[float]()
    began = time.perf_counter()
    for first in range(0, calls, window):
        sent = time.perf_counter()
        sink.write(b"".join(call(1000 + number) for number in range(first, first + window)))
        for _ in range(window):
            assert b"sixteen" in source.readline()
        each.append(time.perf_counter() - sent)
    return time.perf_counter() - began, each


def first_answer(command: list[str], asked: bytes) -> float:
    """Milliseconds from the start of a process to its first answer."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(asked)
        assert b"result" in process.stdout.readline()
        took = (time.perf_counter() - began) * 1000
        process.stdin.close()
    return took


def starts(rounds: int, official: str | None) -> dict[str, list[float]]:
    """Milliseconds to the first answer, a value for each round."""
    seen: dict[str, list[float]] = {}
    hello, mimo = request(0, "initialize", INITIALIZE), [sys.executable, "-m", "mimo"]
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
            took = {"bare JSON loop": first_answer([sys.executable, "-c", BARE], hello)}
            bridge = [*mimo, "stdio", "--home", f"{folder}/a"]
            took["mimo, cold"] = first_answer(bridge, hello)
            took["mimo, warm"] = min(first_answer(bridge, hello) for _ in range(3))
            took["mimo, warm, server/discover"] = first_answer(bridge, DISCOVER)
            other = [*mimo, "stdio", "--home", f"{folder}/b"]
            took["mimo, cold, server/discover"] = first_answer(other, DISCOVER)
            if official:
                took["official mcp, low level"] = first_answer([official, "-c", OFFICIAL], hello)
            for home in "ab":
                subprocess.run(
                    [*mimo, "stop", "--home", f"{folder}/{home}"], check=True, stdout=subprocess.DEVNULL
                )
        for name, value in took.items():
            seen.setdefault(name, []).append(value)
    return seen


def claims(figures: dict[str, Figures], started: dict[str, list[float]]) -> list[tuple[str, float, float]]:
    """What is to hold: a name, the figure (the best of all rounds), and the most that it may be."""
    ours, bridge = figures["mimo, own stdio"], figures["mimo, through the bridge"]
    held = [
        ("warm start through the bridge, ms", min(started["mimo, warm"]), 60.0),
        ("cold start through the bridge, ms", min(started["mimo, cold"]), 900.0),
        ("cold server/discover, ms", min(started["mimo, cold, server/discover"]), 580.0),
        ("memory of the bridge, MiB", max(bridge.memory), 15.0),
    ]
    if theirs := figures.get("official mcp, low level"):
        held.append(("CPU of a call, of the official server's", min(ours.cpu) / min(theirs.cpu), 0.25))
        ratio = min(ours.window_cpu) / min(theirs.window_cpu)
        held.append(("the same with 32 in flight", ratio, 0.25))
    return held


@contextmanager
def daemon() -> Iterator[tuple[int, str]]:
    """Our server on a socket, for the bridge to carry calls to."""
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        home = os.path.join(folder, "home")
        server = subprocess.Popen([sys.executable, "-c", OURS, home], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "ready\n"
            yield server.pid, home
        finally:
            server.terminate()
            server.wait(10)
            server.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--official", metavar="PYTHON", help="a Python that has `mcp` 2.x")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with daemon() as (pid, home):
        peers: dict[str, tuple[list[str], int | None]] = {
            "mimo, own stdio": ([sys.executable, "-c", OURS], None),
            "mimo, through the bridge": ([sys.executable, "-m", "mimo", "stdio", "--home", home], pid),
            "bare JSON loop": ([sys.executable, "-c", BARE], None),
        }
        if options.official:
            peers["official mcp, low level"] = ([options.official, "-c", OFFICIAL], None)
        figures = {name: Figures() for name in peers}
        for _ in range(options.rounds):
            for name, (command, worker) in peers.items():
                measure(command, options.calls, figures[name], worker)
    started = starts(options.rounds, options.official)
    held = claims(figures, started)
    if options.json:
        told = {name: vars(each) for name, each in figures.items()}
        print(json.dumps({"calls": told, "starts_ms": started, "claims": held}, indent=1))
        return
    print(
        f"best of {options.rounds} rounds (median in brackets); start and memory of the process on the pipe"
    )
    print(
        f"{'':26}{'calls/s':>16}{'p50 us':>8}{'CPU us':>8}{'32 at once/s':>18}{'CPU us':>8}{'start ms':>14}{'MiB':>6}"
    )
    for name, each in figures.items():
        print(
            f"{name:26}{max(each.alone):8.0f} ({statistics.median(each.alone):5.0f}){min(each.p50):8.0f}"
            f"{min(each.cpu):8.0f}{max(each.window):10.0f} ({statistics.median(each.window):5.0f})"
            f"{min(each.window_cpu):8.0f}{min(each.start):7.0f} ({statistics.median(each.start):4.0f})"
            f"{max(each.memory):6.0f}"
        )
    carried = figures["mimo, through the bridge"].bridge_cpu
    print(
        f"the bridge itself: {min(carried):.0f} us of CPU a call\n\nto the first answer, ms (best, median):"
    )
    for name, each in started.items():
        print(f"  {name:32}{min(each):7.0f} ({statistics.median(each):.0f})")
    print()
    for name, figure, most in held:
        print(f"  {'holds' if figure <= most else 'FAILS'}: {name}: {figure:.3g} (at most {most:g})")


if __name__ == "__main__":
    main()
