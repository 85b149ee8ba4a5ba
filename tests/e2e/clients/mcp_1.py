"""PyPI `mcp` 1.x: mcp_1.py COMMAND ARGS..."""

import json
import re
import sys

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    command, *args = sys.argv[1:]
    async with (
        stdio_client(StdioServerParameters(command=command, args=args)) as (read, write),
        ClientSession(read, write) as client,
    ):
        met = await client.initialize()
        tools = [tool.name for tool in (await client.list_tools()).tools]
        added = await client.call_tool("memory_add", {"content": "The harbour master is called Ilse."})
        found = await client.call_tool("memory_search", {"query": "harbour master"})
        wrong = await client.call_tool("memory_search", {"question": "harbour master"})
        identity = re.search(r"\bm\d\w*", added.content[0].text)[0]
        resource = await client.read_resource(f"mimo://memory/{identity}")
        story = {
            "revision": met.protocolVersion,
            "tools": tools,
            "found": found.content[0].text,
            "wrong": wrong.isError,
            "read": resource.contents[0].text,
        }
        print(json.dumps(story))


anyio.run(main)
