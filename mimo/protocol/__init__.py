"""Bytes to meaning and back. Pure: no tasks, no clock, no sockets; whoever owns those drives what is here.

- `jsonrpc`: messages, ids, batches, error objects, bounded parsing
- `mcp`: the Model Context Protocol, in all its revisions
"""
