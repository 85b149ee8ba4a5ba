"""PyPI `mcp` 2.x over HTTP: mcp_2_http.py MODE URL KEY."""

import json
import sys

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    mode, url, key = sys.argv[1:]
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        await client.call_tool("memory_add", {"content": "The harbour master is called Ilse."})
        found = await client.call_tool("memory_search", {"query": "harbour master"})
        wrong = await client.call_tool("memory_search", {"question": "harbour master"})
        story = {
            "revision": client.protocol_version,
            "tools": tools,
            "found": found.content[0].text,
            "wrong": wrong.is_error,
        }
        print(json.dumps(story))


anyio.run(main)
