"""What a conversation tells its driver: frames to send, work to do, work to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mimo.protocol.jsonrpc import Id, Object, Response
from mimo.protocol.mcp.operations import Errand
from mimo.protocol.mcp.terms import Terms


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One request that somebody has to run."""

    id: Id
    method: str
    params: Object
    errand: Errand
    terms: Terms
    token: Id | None  # for progress, if the client wants to hear of it


@dataclass(frozen=True, slots=True)
class Say:
    """Send this frame; it belongs to the request `to`, or to none. `last` is the request's answer."""

    frame: bytes
    to: Id | None = None
    last: bool = False
    code: int | None = None  # of the error, if the answer is one


@dataclass(frozen=True, slots=True)
class Do:
    work: Work


@dataclass(frozen=True, slots=True)
class Stop:
    """The client does not want this any more. Nothing is to be answered."""

    work: Work


@dataclass(frozen=True, slots=True)
class Heard:
    """The client's answer to a question of ours."""

    response: Response


@dataclass(frozen=True, slots=True)
class Met:
    """A handshake told us who the client is. May happen again."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Noted:
    """A notification that concerns whoever knows what to do with it, such as changed roots."""

    method: str
    params: Object


Event: TypeAlias = "Say | Do | Stop | Heard | Met | Noted"
