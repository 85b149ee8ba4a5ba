"""Synapse: the WebSocket door, for agents that think aloud and are interrupted, and for MCP clients that speak WebSocket.

- `door`: how many may stand open, drain; the only part that a daemon nobody has come to imports
- `connection`: the upgrade and what stands before it: our host name, no foreign page, a key
- `link`: one open WebSocket: a bounded backlog, closing in good order; beside `connection` the only one
  that knows trio-websocket
- `pulse`: who still answers: pings for all of them
- `backlog`: what waits for a slow reader, and what is left out first
- `cortex`: channels: join, leave, heartbeat, and the wishes of an agent
- `errands`: queries and tools as tasks that can be interrupted
- `lanes`: which query waits for which
- `herald`: what happens in the house, told to those who subscribed
- `presence`: who else is there under the same name
- `mcp`: MCP, one message a frame
"""
