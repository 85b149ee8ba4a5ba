"""What befalls procedures and their runs, as events. None holds an argument or a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mimo.observability.events import Event


@dataclass(frozen=True, slots=True)
class Defined(Event):
    kind: ClassVar[str] = "procedure:defined"

    name: str
    version: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Deactivated(Event):
    """These versions begin no more runs."""

    kind: ClassVar[str] = "procedure:deactivated"

    name: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A file in the folder is no procedure."""

    kind: ClassVar[str] = "procedure:refused"

    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class Updated(Event):
    """A run has gone on. `prompt` is what somebody is asked to approve."""

    kind: ClassVar[str] = "procedure:update"

    run: str
    procedure: str
    version: str
    status: str
    state: str
    line: int  # the last of its history
    prompt: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Ended(Event):
    kind: ClassVar[str] = "procedure:ended"

    run: str
    procedure: str
    version: str
    status: str
    trouble: str = ""  # its kind
