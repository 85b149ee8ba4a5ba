"""The state of a run as a value: where it is, what it knows, what is under way, and what could be taken back."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, TypeAlias, cast

from mimo.record import record

Context: TypeAlias = Mapping[str, Any]


class Status(enum.Enum):
    __hash__ = object.__hash__  # the names' is computed in Python, and sets of these are asked all the time

    PENDING = "pending"  # its next action waits for a place
    RUNNING = "running"
    WAITING = "waiting"  # for a time, an event, a child, or to be resumed
    COMPLETED = "completed"
    FAILED = "failed"
    COMPENSATING = "compensating"
    ROLLED_BACK = "rolled_back"
    INTERRUPTED = "interrupted"
    NEEDS_ATTENTION = "needs_attention"  # what became of an action, only a person can say


ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.ROLLED_BACK})


class Phase(enum.Enum):
    """How far an activity is."""

    __hash__ = object.__hash__

    QUEUED = "queued"  # not begun: no place is free
    FLYING = "flying"  # a tool has been called, or is about to be
    PAUSING = "pausing"  # between two attempts
    WAITING = "waiting"  # for a time or an event
    CHILD = "child"  # for another run
    LEAVING = "leaving"  # a child that nobody needs any more, until it has taken back what it did
    STUCK = "stuck"  # for a person


@record
class Trouble:
    """Why an action failed. `retry`: another attempt may help. `unsure`: it may have had its effect. `refused`: it was
    not even begun."""

    kind: str
    message: str
    retry: bool = True
    unsure: bool = False
    refused: bool = False


@record
class Activity:
    """One action under way. `step` numbers it in its run, and its key is made of the run, that and `keyed`."""

    step: int
    state: str
    phase: Phase
    branch: str = ""
    undoes: int = 0  # the step that it takes back
    attempt: int = 1
    keyed: int = 1  # the attempt that the key names: after an attempt of unknown outcome it stays
    due: int | None = None  # milliseconds since 1970: the end of the pause, the wait, or the patience
    cut: bool = False  # of a wait: what is due is its timeout
    repeat: bool = False  # harmless to do twice
    unsure: bool = False  # an attempt before this one may have had its effect
    call: Mapping[str, Any] | None = None  # what is called, with its arguments as they were rendered
    events: Sequence[str] = ()
    prompt: str = ""
    trouble: Trouble | None = None

    @property
    def may_be_done(self) -> bool:
        """Whether it may have had its effect, as far as anybody knows. A child takes itself back."""
        return self.unsure or self.phase is Phase.FLYING or self.phase is Phase.STUCK

    @property
    def comes_again(self) -> bool:
        """Whether it is a late child, after which the next attempt begins."""
        return self.phase is Phase.LEAVING and self.trouble is not None

    @property
    def is_late(self) -> bool:
        """Whether it is a child that takes something back, and should have done so by now."""
        return self.phase is Phase.CHILD and self.trouble is not None


@record
class Done:
    """A step that can be taken back."""

    step: int
    state: str
    branch: str = ""
    result: Any = None
    known: bool = True  # what it gave: null may be a result


@record
class Letter:
    """An event from outside that nothing has waited for yet."""

    event: str
    data: Any = None


@record
class Heard:
    """An event that came under a key, and what was said to it."""

    key: str
    event: str
    said: str
    digest: str = ""  # of its data; runs of before have kept none


@record
class Run:
    """All of it. What changes it is `engine.advance`, and nothing else."""

    id: int
    uid: str  # random: a key must not come again when the database is an older copy of itself
    state: str
    context: Context
    status: Status = Status.PENDING
    activities: Sequence[Activity] = ()
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the branches that are done
    broken: Trouble | None = None  # of the first branch that failed
    done: Sequence[Done] = ()
    mailbox: Sequence[Letter] = ()
    heard: Sequence[Heard] = ()  # of the last events that came under keys
    visits: Mapping[str, int] = field(default_factory=dict[str, int])
    steps: int = 0
    entries: int = 0
    deadline: int | None = None
    due: int | None = None  # the end of the patience with all branches of a parallel together
    paused_at: int | None = None
    held: bool = False  # paused because its parent was
    interrupted: bool = False
    halted: bool = False  # its state was entered, and its action is for a later turn
    ending: Trouble | None = None  # it is being taken back because of this
    undone: int = 0
    trouble: Trouble | None = None
    output: Any = None
    saved_at: int = 0
    depth: int = 0

    @property
    def wake(self) -> int | None:
        """When something is due."""
        if self.status in ENDED or self.interrupted or self.paused_at is not None:
            return None
        dues = [each.due for each in self.activities if each.due is not None]
        if self.halted:
            dues.append(self.saved_at)
        if self.due is not None:
            dues.append(self.due)
        if self.deadline is not None and self.ending is None:
            dues.append(self.deadline)
        return min(dues, default=None)

    @property
    def needs_place(self) -> bool:
        """Whether a place would let it begin something. What stands still begins nothing."""
        if self.interrupted or self.paused_at is not None:
            return False
        return any(each.phase is Phase.QUEUED for each in self.activities)

    @property
    def holds_place(self) -> bool:
        return any(each.phase is Phase.FLYING for each in self.activities) and not self.interrupted


def to_json(run: Run) -> dict[str, Any]:
    """Everything but the context, the status and the id, which have columns of their own."""
    told: dict[str, Any] = {"uid": run.uid, "state": run.state, "steps": run.steps, "entries": run.entries}
    if run.activities:
        told["activities"] = [_activity_json(each) for each in run.activities]
    if run.done:
        told["done"] = [_done_json(each) for each in run.done]
    if run.mailbox:
        told["mailbox"] = [[each.event, each.data] for each in run.mailbox]
    if run.heard:
        told["heard"] = [[each.key, each.event, each.said, each.digest] for each in run.heard]
    for name in ("broken", "ending", "trouble"):
        if (trouble := cast("Trouble | None", getattr(run, name))) is not None:
            told[name] = _trouble_json(trouble)
    for name in _PLAIN:
        value = getattr(run, name)
        if value or (value is not None and name in _MAY_BE_NOTHING):
            told[name] = value
    return told


_PLAIN = (
    "results", "visits", "deadline", "due", "paused_at", "held", "interrupted", "halted", "undone", "output", "saved_at", "depth",
)  # fmt: skip

# Where 0 or an empty text says something.
_MAY_BE_NOTHING = frozenset({"deadline", "due", "paused_at", "output"})


def from_json(id_: int, status: str, told: Mapping[str, Any], context: Context) -> Run:
    return Run(
        id=id_,
        uid=told["uid"],
        state=told["state"],
        context=context,
        status=Status(status),
        activities=tuple(_activity(each) for each in told.get("activities", ())),
        done=tuple(Done(*each) for each in told.get("done", ())),
        mailbox=tuple(Letter(*each) for each in told.get("mailbox", ())),
        heard=tuple(Heard(*each) for each in told.get("heard", ())),
        broken=_trouble(told.get("broken")),
        ending=_trouble(told.get("ending")),
        trouble=_trouble(told.get("trouble")),
        steps=told["steps"],
        entries=told["entries"],
        **{name: told[name] for name in _PLAIN if name in told},
    )


def _done_json(each: Done) -> list[Any]:
    return [each.step, each.state, each.branch, each.result, *([] if each.known else [False])]


def _activity_json(each: Activity) -> dict[str, Any]:
    told: dict[str, Any] = {"step": each.step, "state": each.state, "phase": each.phase.value}
    for name in ("branch", "undoes", "due", "cut", "repeat", "unsure", "call", "prompt"):
        value = getattr(each, name)
        if value or (value is not None and name == "due"):
            told[name] = value
    if each.attempt != 1 or each.keyed != 1:
        told |= {"attempt": each.attempt, "keyed": each.keyed}
    if each.events:
        told["events"] = list(each.events)
    if each.trouble is not None:
        told["trouble"] = _trouble_json(each.trouble)
    return told


def _activity(told: Mapping[str, Any]) -> Activity:
    given: dict[str, Any] = {**told, "phase": Phase(told["phase"]), "trouble": _trouble(told.get("trouble"))}
    return Activity(**given)


def _trouble_json(trouble: Trouble) -> list[Any]:
    return [
        trouble.kind,
        trouble.message,
        trouble.retry,
        trouble.unsure,
        *([True] if trouble.refused else []),
    ]


def _trouble(told: Sequence[Any] | None) -> Trouble | None:
    return None if told is None else Trouble(*told)
