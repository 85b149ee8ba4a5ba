"""What can go wrong, named for the situation: whose fault it is, and whether to try again.

No error here knows a transport; each protocol has one table from these classes to its own codes.
The text of an error says what happened and the cure, for the person or the agent who reads it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar


class Fault(enum.Enum):
    """Who would have to change something."""

    CALLER = "caller"
    NOBODY = "nobody"
    US = "us"


class MimoError(Exception):
    """Any error that a caller is told about.

    `details` are facts for programs (a field's name, seconds to wait); they never repeat secrets
    or a memory's text. `done` there is False where it is certain that nothing of what was asked was done.
    """

    kind: ClassVar[str]
    fault: ClassVar[Fault]
    retry: ClassVar[bool]

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, object] = details


class InvalidArguments(MimoError):
    """The arguments do not fit the tool."""

    kind, fault, retry = "invalid_arguments", Fault.CALLER, False


class NotFound(MimoError):
    """What was asked for by name or id is not there."""

    kind, fault, retry = "not_found", Fault.CALLER, False


class UnknownTool(NotFound):
    """No tool has this name."""

    kind = "unknown_tool"


class Unauthorized(MimoError):
    """Who is calling is not known."""

    kind, fault, retry = "unauthorized", Fault.CALLER, False


class Forbidden(MimoError):
    """Who is calling is known, and may not do this."""

    kind, fault, retry = "forbidden", Fault.CALLER, False


class Conflict(MimoError):
    """The state is not what the caller took it for; read again, then decide."""

    kind, fault, retry = "conflict", Fault.CALLER, False


class Busy(MimoError):
    """Full at the moment. `details["after"]` may say how many seconds to wait."""

    kind, fault, retry = "busy", Fault.NOBODY, True


class Unavailable(MimoError):
    """Something of ours does not run at the moment, and is expected back."""

    kind, fault, retry = "unavailable", Fault.US, True


class StorageFull(Unavailable):
    """The disk (or the allowed size) is full: reading and forgetting still work, adding does not."""

    kind = "storage_full"


class TooSlow(MimoError):
    """The deadline passed first. Whether the work was done is not known; a key resolves it."""

    kind, fault, retry = "too_slow", Fault.US, True


class Broken(MimoError):
    """A bug of ours. `details["id"]` names the traceback in the log."""

    kind, fault, retry = "broken", Fault.US, False


class Unusable(MimoError):
    """The data directory, a file in it, or a setting does not let mimo start. Nothing was changed."""

    kind, fault, retry = "unusable", Fault.CALLER, False
