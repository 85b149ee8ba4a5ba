"""What happens to skills, as events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mimo.observability.events import Event


@dataclass(frozen=True, slots=True)
class SkillStarted(Event):
    """A skill serves. `era` is the kind of protocol that it speaks."""

    kind: ClassVar[str] = "system:skill_started"

    skill: str
    era: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SkillStopped(Event):
    """A skill does not run any more. `reason` is how its process ended, or why it was stopped."""

    kind: ClassVar[str] = "system:skill_stopped"

    skill: str
    reason: str


@dataclass(frozen=True, slots=True)
class SkillFailed(Event):
    """A skill could not be started, or fell too often. Told once until it has served again."""

    kind: ClassVar[str] = "system:skill_failed"

    skill: str
    error: str


@dataclass(frozen=True, slots=True)
class SkillCalled(Event):
    """A request to a skill has ended. `outcome` is "ok", "failed", "cancelled", or the kind of an error."""

    kind: ClassVar[str] = "system:skill_called"

    skill: str
    method: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SkillChanged(Event):
    """Definitions of a skill's tools are not what was approved."""

    kind: ClassVar[str] = "system:skill_changed"

    skill: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SkillsReloaded(Event):
    """The file was read again. `problem` is why nothing was changed, if nothing was."""

    kind: ClassVar[str] = "system:skills_reloaded"

    started: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    problem: str = ""
