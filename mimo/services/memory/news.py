"""What befalls memories, as events. None holds a memory's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mimo.observability.events import Event


@dataclass(frozen=True, slots=True)
class Added(Event):
    """New memories, and what was said before and is now said again."""

    kind: ClassVar[str] = "memory:added"

    namespace: str
    ids: tuple[str, ...]
    merged: tuple[str, ...] = ()
    client: str = ""


@dataclass(frozen=True, slots=True)
class Merged(Event):
    """`ids` said the same as `into`, and are found under it from now on."""

    kind: ClassVar[str] = "memory:merged"

    ids: tuple[str, ...]
    into: str


@dataclass(frozen=True, slots=True)
class Edited(Event):
    """`action` is as in memory_edit: "update", "forget", "restore", "purge", ..."""

    kind: ClassVar[str] = "memory:edited"

    action: str
    ids: tuple[str, ...]
    client: str = ""


@dataclass(frozen=True, slots=True)
class Recalled(Event):
    kind: ClassVar[str] = "memory:recalled"

    ids: tuple[str, ...]
    abstained: bool
    client: str = ""


@dataclass(frozen=True, slots=True)
class Promoted(Event):
    """Working memory that stays: its score was above the threshold."""

    kind: ClassVar[str] = "memory:promoted"

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """Working memory whose time was over."""

    kind: ClassVar[str] = "memory:expired"

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consolidated(Event):
    """One round over working memory."""

    kind: ClassVar[str] = "memory:consolidated"

    looked_at: int
    promoted: int
    expired: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Archived(Event):
    """Faded, and out of search; restorable for a while."""

    kind: ClassVar[str] = "memory:archived"

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gone(Event):
    """Archived or forgotten long ago, and erased."""

    kind: ClassVar[str] = "memory:gone"

    count: int


@dataclass(frozen=True, slots=True)
class Embedded(Event):
    """A batch can be found by meaning."""

    kind: ClassVar[str] = "memory:embedded"

    count: int
    waiting: int
    model: str
