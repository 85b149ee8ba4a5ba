"""How stand-ins for services hear what they are asked by HTTP."""

import json
from typing import Any, NamedTuple

import h11
import trio


class Request(NamedTuple):
    path: str
    key: str  # the header Authorization, empty if there is none
    question: dict[str, Any]


async def heard(connection: h11.Connection, stream: trio.abc.Stream) -> Request | None:
    """The next request, with the JSON of its body; None: whoever came has left."""
    path, key, body = "", "", b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            path, key = event.target.decode(), dict(event.headers).get(b"authorization", b"").decode()
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return None
    return Request(path, key, json.loads(body))
