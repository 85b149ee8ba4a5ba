"""What all connections of the WebSocket door share, and how many of them one key may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mimo.errors import Busy
from mimo.gateway.keys import Key
from mimo.tool import Answer, Call, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.http.guard import Guard
from mimo.transports.websocket.herald import Herald
from mimo.transports.websocket.lanes import Lanes
from mimo.transports.websocket.presence import Presences
from mimo.transports.websocket.pulse import Pulse

# One question, all stores: the question, who asks, and how many seconds there are. Raises only MimoError.
Ask: TypeAlias = Callable[[str, Call, float | None], Awaitable[JsonObject]]


class Dispatch(Protocol):
    async def call(self, name: str, arguments: object, call: Call, *, seconds: float | None = None) -> Answer:
        """Run a tool. Raises only MimoError."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    connections: int = 1000
    per_key: int = 100  # connections that one key holds; the owner's may have all
    in_flight: int = 64  # errands of one connection
    message: int = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    guard: Guard
    desk: Desk
    dispatch: Dispatch
    ask: Ask
    herald: Herald
    lanes: Lanes
    caps: Caps = Caps()
    presences: Presences = field(default_factory=Presences)
    pulse: Pulse = field(default_factory=Pulse)
    held: Counter[str] = field(default_factory=Counter[str])

    @contextmanager
    def hold(self, key: Key) -> Generator[None]:
        """Count a connection of this key while it lasts. Raises: Busy: it has too many."""
        if not key.is_owner and self.held[key.id] >= self.caps.per_key:
            raise Busy(f"the key {key.name!r} has {self.caps.per_key} connections; close some", after=5.0)
        self.held[key.id] += 1
        try:
            yield
        finally:
            self.held[key.id] -= 1
            if not self.held[key.id]:
                del self.held[key.id]
