"""One hop more: a call of another server's tool through mimo, and through a gateway made of the official package, in turns.

    python bench/bench_gateway.py [--rounds N] [--calls N] [--official PYTHON] [--fastmcp PYTHON] [--json]

Both stand between the same client on a pipe and the same server, a bare JSON loop. `--official` names a Python that
has the package `mcp` 2.x, `--fastmcp` one that has `fastmcp`; a peer without a Python is left out. CPU is the
gateway's own, from /proc, in ticks of 10 ms; it moves little when the machine is busy, and wall time moves a lot.
"direct" is the client with the server and nothing between them, for what the hop adds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench_mcp import Figures, measure

SERVER = """
import json, sys
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, params = message["method"], message.get("params", {})
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "b", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        answer["result"] = {"tools": [{"name": "echo", "inputSchema": schema}]}
    elif method == "tools/call":
        answer["result"] = {"content": [{"type": "text", "text": params["arguments"]["text"]}]}
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""

OURS = """
import gc, sys, trio
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.mcp.about import ServerInfo
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import Supervisor
from mimo.transports.desk import Desk
from mimo.transports.stdio import StdioDoor

async def main():
    events, metrics, supervisor = Events(), Metrics(), Supervisor("skills")
    box = Toolbox(events)
    dispatch = Dispatch(box, events, metrics)
    desk = Desk(ServerInfo("bench", "1"), box, dispatch, sessions=Sessions(events, metrics))
    skills = Skills(sys.argv[1], supervisor, box, events, dispatch.call, patience=Patience(),
                    result_cap=100_000, updated=desk.updated, supervised=lambda event: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        nursery.start_soon(skills.run)
        await skills.control("list", {})
        await skills.skills["bench"].connected()
        gc.freeze()  # as the daemon does when it stands
        await StdioDoor(desk, {}, "/", "/").run()
        nursery.cancel_scope.cancel()

trio.run(main)
"""

OFFICIAL = """
import asyncio, sys
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def main():
    behind = StdioServerParameters(command=sys.executable, args=[sys.argv[1]])
    async with Client(stdio_client(behind), mode="legacy") as client:
        async def tools(ctx, params):
            return await client.list_tools()
        async def call(ctx, params):
            return await client.call_tool(params.name, params.arguments)
        server = Server("bench", on_list_tools=tools, on_call_tool=call)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

asyncio.run(main())
"""

FASTMCP = """
import sys
from fastmcp.server import create_proxy
create_proxy({"mcpServers": {"b": {"command": sys.executable, "args": [sys.argv[1]]}}}).run(show_banner=False, log_level="ERROR")
"""


def claims(figures: dict[str, Figures]) -> list[tuple[str, float, float]]:
    """What is to hold: a name, the figure (of the best rounds), and the most that it may be."""
    ours, theirs = figures["mimo"], figures.get("official mcp")
    if theirs is None:
        return []
    return [
        ("CPU of a call, of the official gateway's", min(ours.cpu) / min(theirs.cpu), 0.2),
        ("time of 32 in flight, of the official gateway's", max(theirs.window) / max(ours.window), 0.2),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--official", metavar="PYTHON", help="a Python that has `mcp` 2.x")
    parser.add_argument("--fastmcp", metavar="PYTHON", help="a Python that has `fastmcp`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
        server = Path(folder, "server.py")
        server.write_text(SERVER)
        declared = {"bench": {"command": sys.executable, "args": [str(server)], "prefix": ""}}
        Path(folder, "skills.json").write_text(json.dumps(declared))
        peers = {
            "direct": [sys.executable, str(server)],
            "mimo": [sys.executable, "-c", OURS, folder],
        }
        if options.official:
            peers["official mcp"] = [options.official, "-c", OFFICIAL, str(server)]
        if options.fastmcp:
            peers["fastmcp proxy"] = [options.fastmcp, "-c", FASTMCP, str(server)]
        figures = {name: Figures() for name in peers}
        for _ in range(options.rounds):
            for name, command in peers.items():
                measure(command, options.calls, figures[name], None)
    held = claims(figures)
    if options.json:
        print(
            json.dumps(
                {"calls": {name: vars(each) for name, each in figures.items()}, "claims": held}, indent=1
            )
        )
        return
    print(f"best of {options.rounds} rounds (median in brackets)")
    print(
        f"{'':16}{'calls/s':>16}{'p50 us':>8}{'hop us':>8}{'CPU us':>8}{'32 at once/s':>18}{'CPU us':>8}{'MiB':>6}"
    )
    for name, each in figures.items():
        hop = min(each.p50) - min(figures["direct"].p50)
        print(
            f"{name:16}{max(each.alone):8.0f} ({statistics.median(each.alone):5.0f}){min(each.p50):8.0f}{hop:8.0f}"
            f"{min(each.cpu):8.0f}{max(each.window):10.0f} ({statistics.median(each.window):5.0f})"
            f"{min(each.window_cpu):8.0f}{max(each.memory):6.0f}"
        )
    for name, figure, most in held:
        print(f"  {'holds' if figure <= most else 'FAILS'}: {name}: {figure:.3g} (at most {most:g})")


if __name__ == "__main__":
    main()
