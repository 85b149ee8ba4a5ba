"""One turn of the engine: a run being changed, the lines and intents that come of it. Lives as long as the call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mimo.services.procedures.definition import Definition, ParallelAction, Undo
from mimo.services.procedures.effort import Knowledge
from mimo.services.procedures.happenings import Act, Advanced, Bear, Entry, Intent, Stop
from mimo.services.procedures.runs import ENDED, Activity, Done, Phase, Run, Status, Trouble, to_json
from mimo.services.procedures.written import is_deep, written

PREVIEW = 500  # characters of a result that the history shows


class Turn:
    """`repeatable` says of a tool whether it is harmless to call twice; `chance` is between 0 and 1."""

    def __init__(
        self,
        definition: Definition,
        run: Run,
        now: int,
        *,
        chance: float,
        may_act: bool,
        repeatable: Callable[[str], bool],
    ) -> None:
        self.definition = definition
        self.now = now
        self.chance = chance
        self.may_act = may_act
        self.repeatable = repeatable
        self.before = run
        self.state = run.state
        self.status = run.status
        self.context = Knowledge(run.context)
        self._remembered = False
        self.activities = {each.step: each for each in run.activities}
        self.results = dict(run.results)
        self.broken = run.broken
        self.done = list(run.done)
        self.mailbox = list(run.mailbox)
        self.heard = run.heard
        self.visits = dict(run.visits)
        self.steps = run.steps
        self.deadline = run.deadline
        self.due = run.due
        self.paused_at = run.paused_at
        self.held = run.held and run.paused_at is not None
        self.interrupted = run.interrupted
        self.halted = run.halted
        self.ending = run.ending
        self.undone = run.undone
        self.trouble = run.trouble
        self.output = run.output
        self.said = ""
        self._entries: list[Entry] = []
        self._intents: list[Intent] = []

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def tell(
        self, kind: str, *, state: str = "", step: int = 0, attempt: int = 0, detail: Any = None
    ) -> None:
        number = self.before.entries + len(self._entries) + 1
        self._entries.append(Entry(number, kind, state or self.state, step, attempt, detail))

    def tell_of(self, kind: str, activity: Activity, trouble: Trouble) -> None:
        """A line of what went wrong with it."""
        self.tell(
            kind,
            state=activity.state,
            step=activity.step,
            attempt=activity.attempt,
            detail={"kind": trouble.kind, "message": trouble.message},
        )

    def intend(self, intent: Intent) -> None:
        self._intents.append(intent)

    def remember(self, name: str, value: Any) -> None:
        """Put this into the context."""
        self.context[name] = value
        self._remembered = True

    def next_step(self) -> int:
        self.steps += 1
        return self.steps

    def put(self, activity: Activity) -> Activity:
        self.activities[activity.step] = activity
        return activity

    def take_off(self, activity: Activity) -> None:
        """It is over, one way or another. Whoever still works on it is told to stop; what it may have done is
        taken back with the rest."""
        if activity.phase is Phase.LEAVING:
            self.put(replace(activity, trouble=None))  # and does not come again
            return
        del self.activities[activity.step]
        if activity.may_be_done:
            self.keep_in_doubt(activity)
        if activity.phase in {Phase.FLYING, Phase.CHILD}:
            self.intend(Stop(activity.step, activity.attempt, rollback=True))
        if activity.phase is Phase.CHILD:
            self.put(replace(activity, phase=Phase.LEAVING, due=None, trouble=None))

    def keep_in_doubt(self, activity: Activity) -> None:
        """It may have been done: if there is a way back, it is gone."""
        if activity.undoes or self.way_back(activity.state, activity.branch) is None:
            return
        self.done.append(Done(activity.step, activity.state, activity.branch, known=False))
        self.tell(
            "unsure",
            state=activity.state,
            step=activity.step,
            attempt=activity.attempt,
            detail={"message": "it may have been done, and is taken back if the rest is"},
        )

    def way_back(self, state: str, branch: str) -> Undo | None:
        """How what was done there is taken back."""
        where = self.definition.states[state]
        if branch and isinstance(where.action, ParallelAction):
            return where.action.branches[branch].compensate
        return where.compensate

    def take_all_off(self) -> None:
        for each in list(self.activities.values()):
            self.take_off(each)

    @property
    def leaving(self) -> bool:
        """Whether a child still takes back what it did, which comes before everything that was done before it."""
        return any(each.phase is Phase.LEAVING for each in self.activities.values())

    def launch(self, activity: Activity, *, patience: float | None) -> None:
        """Call its tool, or queue for a place."""
        if not self.may_act:
            self.put(replace(activity, phase=Phase.QUEUED, due=None, trouble=None))
            return
        due = None if patience is None else self.now + round(patience * 1000)
        flying = self.put(replace(activity, phase=Phase.FLYING, due=due, trouble=None))
        call = flying.call or {}
        key = f"procedure {self.before.uid} {flying.step} {flying.keyed}"
        self.intend(Act(flying.step, flying.attempt, key, call["tool"], call["arguments"]))
        self.tell(
            "undoing" if flying.undoes else "acting",
            state=flying.state,
            step=flying.step,
            attempt=flying.attempt,
            detail={"tool": call["tool"], **({"branch": flying.branch} if flying.branch else {})},
        )

    def bear(self, activity: Activity) -> None:
        """See to its child."""
        call = activity.call or {}
        self.intend(
            Bear(activity.step, activity.attempt, call["procedure"], call.get("version"), call["input"])
        )

    def advanced(self) -> Advanced:
        run = Run(
            id=self.before.id,
            uid=self.before.uid,
            state=self.state,
            context=self.context if self._remembered else self.before.context,
            status=self._status(),
            activities=tuple(self.activities.values()),
            results=self.results,
            broken=self.broken,
            done=tuple(self.done),
            mailbox=tuple(self.mailbox),
            heard=self.heard,
            visits=self.visits,
            steps=self.steps,
            entries=self.before.entries + len(self._entries),
            deadline=self.deadline,
            due=self.due,
            paused_at=self.paused_at,
            held=self.held and self.paused_at is not None,
            interrupted=self.interrupted,
            halted=self.halted,
            ending=self.ending,
            undone=self.undone,
            trouble=self.trouble,
            output=self.output,
            saved_at=self.now,
            depth=self.before.depth,
        )
        context = written(self.context) if self._remembered else None
        text = written(to_json(run))
        return Advanced(run, tuple(self._entries), tuple(self._intents), self.said, context, text)

    def _status(self) -> Status:
        if self.ended:
            return self.status
        if self.interrupted:
            return Status.INTERRUPTED
        phases = {each.phase for each in self.activities.values()}
        stopped = Phase.STUCK in phases or any(each.is_late for each in self.activities.values())
        if stopped and Phase.FLYING not in phases:
            return Status.NEEDS_ATTENTION
        if self.ending is not None:
            return Status.COMPENSATING
        if Phase.FLYING in phases:
            return Status.RUNNING
        if Phase.QUEUED in phases and self.paused_at is None:
            return Status.PENDING
        return Status.WAITING


def as_error(trouble: Trouble, state: str) -> Mapping[str, Any]:
    """As guards see it."""
    return {"kind": trouble.kind, "message": trouble.message, "state": state}


def preview(value: Any) -> Any:
    """A result as the history keeps it: small ones whole."""
    if value is None or isinstance(value, int | float) or (isinstance(value, str) and len(value) < PREVIEW):
        return value
    if is_deep(value):
        return "nested too deeply to be shown"
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= PREVIEW else f"{text[: PREVIEW - 3]}..."
