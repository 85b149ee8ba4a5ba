"""What a state says of its action that such an action has no use for: refused, where it would be ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from mimo.services.procedures import definition as d

# A field, and why it is of no use.
Reasons: TypeAlias = Mapping[str, str]

_AT_ONCE: Reasons = {
    "retry": "is done at once and fails for good: it has no retry",
    "timeout": "is done at once: it has no timeout",
}
_NOTHING_DONE: Reasons = {**_AT_ONCE, "compensate": "does nothing that could be taken back"}
_WAITING: Reasons = {"retry": "waits, which is not done better by doing it again: it has no retry"}
_REFUSED: Mapping[type[d.Part] | None, Reasons] = {
    None: _AT_ONCE,
    d.SetAction: _AT_ONCE,
    d.LogAction: _AT_ONCE,
    d.ChooseAction: _NOTHING_DONE,
    d.FailAction: _NOTHING_DONE,
    d.WaitAction: _WAITING,
    d.AwaitAction: _WAITING,
    d.ParallelAction: {"retry": "is tried again branch by branch: give the retry to the branches"},
}
_TERMINAL = ("action", "transitions", "compensate", "retry", "timeout", "max_visits")


def needless(place: str, state: d.State) -> Iterator[tuple[str, str]]:
    """Each place and what is wrong there."""
    if state.terminal is not None:
        for field in _TERMINAL:
            if getattr(state, field):
                yield f"{place}.{field}", "a terminal state is the end: it has none"
    elif state.output is not None:
        yield f"{place}.output", "only a terminal state has an output"
    if not state.rollback and state.terminal != "failure":
        yield f"{place}.rollback", "only a state that is a failure says whether it takes back"
    if state.terminal is None:
        yield from _beside(place, state.action, state)
    if isinstance(state.action, d.ParallelAction):
        for name, branch in state.action.branches.items():
            yield from _beside(f"{place}.action.branches.{name}", branch.action, branch)
            if branch.compensate is not None:
                yield from _of_undo(f"{place}.action.branches.{name}.compensate", branch.compensate)
    if state.compensate is not None:
        yield from _of_undo(f"{place}.compensate", state.compensate)


def _beside(place: str, action: d.Part | None, holder: d.State | d.Branch) -> Iterator[tuple[str, str]]:
    what = "without an action it" if action is None else f"{getattr(action, 'type', '')!r}"
    for field, why in _REFUSED.get(None if action is None else type(action), {}).items():
        if getattr(holder, field) is not None:
            yield f"{place}.{field}", f"{what} {why}"


def _of_undo(place: str, undo: d.Undo) -> Iterator[tuple[str, str]]:
    if isinstance(undo.action, d.LogAction):
        for field in ("retry", "timeout"):
            if getattr(undo, field) is not None:
                yield f"{place}.{field}", f"'log' {_AT_ONCE[field]}"
