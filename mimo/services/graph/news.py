"""What befalls graphs, as events. None says what a fact is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mimo.observability.events import Event


@dataclass(frozen=True, slots=True)
class Taught(Event):
    """New facts, facts that were known, and facts that these have ended."""

    kind: ClassVar[str] = "graph:taught"

    graph: str
    ids: tuple[str, ...]
    known: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    client: str = ""


@dataclass(frozen=True, slots=True)
class Retracted(Event):
    kind: ClassVar[str] = "graph:retracted"

    graph: str
    ids: tuple[str, ...]
    client: str = ""


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """Facts whose time was over."""

    kind: ClassVar[str] = "graph:expired"

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inferred(Event):
    """A round of inference has changed what follows. `bounded`: there is more than is kept."""

    kind: ClassVar[str] = "graph:inferred"

    graph: str
    drawn: int
    withdrawn: int
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Renamed(Event):
    """`action` is "merge", "split" or "undo"."""

    kind: ClassVar[str] = "graph:renamed"

    graph: str
    action: str
    client: str = ""


@dataclass(frozen=True, slots=True)
class Suggested(Event):
    """Facts that bear on what is talked about, by their ids."""

    kind: ClassVar[str] = "graph:suggested"

    graph: str
    ids: tuple[str, ...]
    client: str = ""
