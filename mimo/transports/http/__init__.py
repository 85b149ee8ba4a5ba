"""The HTTP door: REST, OpenAI's API, events and MCP on one port, without a framework.

- `door`: sockets, what may stand open to whom, drain
- `server`: hypercorn, and the patience that it lacks; the only file that knows it
- `router`: guard, route, body, handler, and every error in one form
- `guard`: our host name, no foreign page, a key
- `exchange`: requests and replies as handlers see them
- `house`, `tools`, `memories`, `openai`: the routes
- `mcp`: MCP's streamable HTTP, both eras, mounted as a bare application
- `mailbox`, `responses`: what a response is made of
"""
