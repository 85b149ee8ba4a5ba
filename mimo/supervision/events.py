"""What a supervisor tells whoever listens, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The child is ready to serve."""

    supervisor: str
    child: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The child's task is over, by itself or because it was asked to stop."""

    supervisor: str
    child: str
    asked: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Restarting:
    """The child fell. It is started again after `delay` seconds, and so are the `siblings` that share its fate."""

    supervisor: str
    child: str
    delay: float
    siblings: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The child fell too often; the supervisor stops all its children and ends with `TooManyRestarts`."""

    supervisor: str
    child: str
    falls: int
    within: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Stuck:
    """The child was cancelled `grace` seconds ago and still runs. It is waited for."""

    supervisor: str
    child: str
    grace: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The child was not added: the supervisor is full."""

    supervisor: str
    child: str
    limit: int


SupervisionEvent = Started | Ended | Restarting | GaveUp | Stuck | Refused
