"""HTTP doors. What belongs to MCP is a bare ASGI application, which costs a quarter of a framework's.

- `mailbox`: the frames that wait for one response
- `responses`: bodies read, responses sent
- `mcp`: MCP's streamable HTTP, both eras
"""
