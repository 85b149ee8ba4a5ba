"""PyPI `mcp` 2.x: mcp_2.py MODE COMMAND ARGS..."""

import json
import re
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    mode, command, *args = sys.argv[1:]
    async with Client(stdio_client(StdioServerParameters(command=command, args=args)), mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        added = await client.call_tool("memory_add", {"content": "The harbour master is called Ilse."})
        found = await client.call_tool("memory_search", {"query": "harbour master"})
        wrong = await client.call_tool("memory_search", {"question": "harbour master"})
        identity = re.search(r"\bm\d\w*", added.content[0].text)[0]
        read = await client.read_resource(f"mimo://memory/{identity}")
        story = {
            "revision": client.protocol_version,
            "tools": tools,
            "found": found.content[0].text,
            "wrong": wrong.is_error,
            "read": read.contents[0].text,
        }
        print(json.dumps(story))


anyio.run(main)
