"""What one asks the memory, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mimo.storage.engrams.search import Filter

Strategy: TypeAlias = Literal["balanced", "semantic", "recent", "important", "popular"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for. `offset` is where the page begins that a cursor names."""

    text: str
    filter: Filter = field(default_factory=Filter)
    limit: int = 10
    offset: int = 0
    strategy: Strategy = "balanced"
    why: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """An engram that was found. `id` is its number in the table; doors show `public_id`."""

    id: int
    content: str
    kind: str
    namespace: str
    score: float  # 0..1: how likely it bears on the question, and a little more for what is in hand now
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    session: str | None = None
    position: int | None = None
    importance: float = 0.5
    state: str = "live"
    client: str = ""
    trust: str = "agent"
    created_at: int = 0
    valid_from: int | None = None
    valid_to: int | None = None
    superseded_by: int | None = None
    why: Mapping[str, float] | None = None  # each arm's part


@dataclass(frozen=True, slots=True)
class Found:
    """The answer. `arms` says of each arm "ran", or why it did not."""

    hits: tuple[Hit, ...]
    arms: Mapping[str, str]
    abstained: bool = False  # nothing bears on the question; `hits` are the nearest, for whoever wants them
    relevance: float = 0.0  # how likely the best of all bears on the question
    more: bool = False  # there are further ones behind these
    ended: bool = False  # the list ends here, and not for want of others that may match
