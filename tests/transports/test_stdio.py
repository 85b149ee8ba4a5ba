"""Our own stdio as a door: nothing but protocol on stdout, also when something prints; an end with the client's."""

import json
import subprocess
import sys
import textwrap

PROGRAM = textwrap.dedent(
    """
    import os, sys, trio
    from mimo.gateway.dispatch import Dispatch
    from mimo.gateway.toolbox import Toolbox
    from mimo.observability.events import Events
    from mimo.observability.metrics import Metrics
    from mimo.protocol.mcp.about import ServerInfo
    from mimo.tool import Answer, Arguments, Call, Tool
    from mimo.transports.desk import Desk
    from mimo.transports.stdio import StdioDoor

    class Nothing(Arguments):
        "Use when something is to be printed."

    async def chatty(arguments: Nothing, call: Call) -> Answer:
        print("from Python", flush=True)
        os.write(1, b"from a library\\n")
        return Answer.text(call.client.namespace)

    async def main() -> None:
        box = Toolbox()
        box.add(Tool("chatty", Nothing, chatty))
        desk = Desk(ServerInfo("mimo", "1"), box, Dispatch(box, Events(), Metrics()))
        door = StdioDoor(desk, {"MIMO_NAMESPACE": "team"}, "/", "/home/nobody")
        await door.run()
        assert door.ended.is_set()
        print("after")

    trio.run(main)
    """
)
MESSAGES = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "chatty"}},
]


def test_what_is_printed_meanwhile_goes_to_stderr_and_eof_ends_the_door() -> None:
    said = "".join(json.dumps(message) + "\n" for message in MESSAGES)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=said, capture_output=True, text=True, timeout=30, check=True
    )
    *lines, last = ended.stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert json.loads(lines[1])["result"]["content"][0]["text"] == "team"
    assert "from Python" in ended.stderr
    assert "from a library" in ended.stderr
    assert last == "after", "stdout is stdout again"
