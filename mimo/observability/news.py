"""The events of the house itself. Services declare their own, beside what they do.

None of them holds a memory's text or an argument: they go to every listener with a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mimo.observability.events import Event


@dataclass(frozen=True, slots=True)
class ToolCalled(Event):
    """A call has ended. `outcome` is "ok", "failed", "cancelled", or the kind of an error."""

    kind: ClassVar[str] = "system:tool_called"

    tool: str
    client: str
    outcome: str
    seconds: float
    call: str = ""


@dataclass(frozen=True, slots=True)
class ToolboxChanged(Event):
    """What agents can list is no longer what it was."""

    kind: ClassVar[str] = "system:toolbox_changed"

    tools: bool = False
    resources: bool = False
    prompts: bool = False


@dataclass(frozen=True, slots=True)
class ClientConnected(Event):
    kind: ClassVar[str] = "system:client_connected"

    session: str
    client: str
    door: str


@dataclass(frozen=True, slots=True)
class ClientLeft(Event):
    kind: ClassVar[str] = "system:client_left"

    session: str
    client: str
    door: str


@dataclass(frozen=True, slots=True)
class Draining(Event):
    """The daemon takes no new work and ends soon."""

    kind: ClassVar[str] = "system:draining"


@dataclass(frozen=True, slots=True)
class ChildFailed(Event):
    """A supervised child ended with an error. Below zero seconds: it is not started again."""

    kind: ClassVar[str] = "system:child_failed"

    child: str
    error: str
    again_in: float


@dataclass(frozen=True, slots=True)
class ChildStarted(Event):
    """A supervised child serves; `restarts` says how often it had to be started again."""

    kind: ClassVar[str] = "system:child_started"

    child: str
    restarts: int


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    kind: ClassVar[str] = "system:breaker_changed"

    breaker: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Degraded(Event):
    """Something is served by a lesser means than the first (`by`), because of `reason`."""

    kind: ClassVar[str] = "system:degraded"

    what: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResourceChanged(Event):
    """A resource has crossed one of its limits. `level` is "ok", "warning" or "critical"."""

    kind: ClassVar[str] = "system:resource_changed"

    resource: str
    level: str
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class CacheHit(Event):
    """What was asked for had been computed a moment ago. `key_type` is "query", "embedding" or "classification"."""

    kind: ClassVar[str] = "system:cache_hit"

    key_type: str


@dataclass(frozen=True, slots=True)
class CacheMissed(Event):
    kind: ClassVar[str] = "system:cache_missed"

    key_type: str


@dataclass(frozen=True, slots=True)
class LoopStalled(Event):
    """A task kept the event loop to itself for too long."""

    kind: ClassVar[str] = "system:loop_stalled"

    task: str
    seconds: float
