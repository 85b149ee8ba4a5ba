"""A request as a handler sees it, and what it may give back. No handler sees ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mimo.protocol import jsonrpc
from mimo.protocol.openapi import Operation
from mimo.protocol.rest import MAX_BODY, read_object
from mimo.tool import Call, Client

JSON = "application/json"

Emit: TypeAlias = "Callable[[bytes], Awaitable[None]]"
# Writes a response piece by piece. It is cancelled when the client leaves, and when the door is drained.
Stream: TypeAlias = "Callable[[Emit], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Request:
    """Admitted, read to its end, and within bounds."""

    id: str
    client: Client
    headers: Mapping[str, str]  # names in lower case
    query: Mapping[str, str]
    parts: Mapping[str, str]  # what stood in the place of each {name} of the path
    body: bytes

    def object(self) -> dict[str, Any]:
        """Raises: Refused, InvalidArguments."""
        return read_object(self.body)

    def call(self) -> Call:
        """What dispatch wants to know of it."""
        return Call(self.id, self.client, key=self.headers.get("idempotency-key"))


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    stream: Stream | None = None


Handler: TypeAlias = "Callable[[Request], Awaitable[Reply]]"


@dataclass(frozen=True, slots=True)
class Route:
    """What happens where. `scope` is what a key must allow; None: no key is asked for."""

    operation: Operation
    handler: Handler
    scope: str | None = "read"
    most: int = MAX_BODY
    for_browsers: bool = False  # a person may show the key as a password

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def path(self) -> str:
        return self.operation.path


def reply_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, jsonrpc.encode(value), headers={k.replace("_", "-"): v for k, v in headers.items()})
