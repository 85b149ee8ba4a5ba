"""How a run ends: well, or by taking back in reverse order what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mimo.services.procedures import definition as d
from mimo.services.procedures.expressions import Nonsense
from mimo.services.procedures.runs import Activity, Done, Phase, Status, Trouble
from mimo.services.procedures.templates import filled
from mimo.services.procedures.turn import Turn
from mimo.services.procedures.written import is_deep


def finish(turn: Turn, state: d.State) -> None:
    """It has come to a terminal state."""
    try:
        turn.output = filled(state.output, turn.context)
    except Nonsense as error:
        turn.output = None
        turn.tell("failed", detail={"kind": "template", "message": f"output: {error}"})
    if state.terminal == "success":
        _end(turn, Status.COMPLETED)
        return
    before: Mapping[str, Any] = turn.context.get(d.ERROR) or {}
    said = f": {before['message']}" if before.get("message") else ""
    trouble = Trouble("failed", f"it ended in {turn.state}{said}", retry=False)
    if state.rollback:
        fail_run(turn, trouble)
    else:
        turn.trouble = trouble
        _end(turn, Status.FAILED)


def fail_run(turn: Turn, trouble: Trouble) -> None:
    """Nothing leads on from here: what was done is taken back, the latest first."""
    turn.take_all_off()
    turn.due = None
    turn.trouble = turn.ending = trouble
    turn.halted = False
    if turn.done:
        turn.tell("compensating", detail={"kind": trouble.kind, "message": trouble.message})
    next_undo(turn)


def next_undo(turn: Turn) -> None:
    """Take back the latest step that is left; when none is, the run has ended."""
    if turn.paused_at is not None or turn.leaving:
        return
    from mimo.services.procedures.acting import started  # they end here what begins there

    while turn.done:
        latest = turn.done[-1]
        undo = turn.way_back(latest.state, latest.branch)
        if undo is None:  # cannot be: it is kept only with a way back
            turn.done.pop()
            continue
        context = turn.context.without(d.RESULT)
        if latest.known:
            context = context.and_also(d.RESULT, latest.result)
        try:
            activity = started(
                turn,
                undo.action,
                undo.timeout,
                latest.state,
                branch=latest.branch,
                undoes=latest.step,
                context=context,
            )
        except Nonsense as error:
            said = str(error)
            if not latest.known:
                said += f" (what {latest.state} gave is not known: nobody saw its end, or it was too much to keep)"
            stuck(turn, Activity(turn.next_step(), latest.state, Phase.STUCK, latest.branch, latest.step),
                  Trouble("template", said, retry=False))  # fmt: skip
            return
        if activity.step in turn.activities:
            return
        taken_back(turn, latest)
    _end(turn, Status.ROLLED_BACK if turn.undone else Status.FAILED)


def undone(turn: Turn, activity: Activity) -> None:
    """A way back was gone."""
    del turn.activities[activity.step]
    turn.trouble = turn.ending  # it may have been late
    taken_back(turn, turn.done[-1])
    next_undo(turn)


def left(turn: Turn, activity: Activity, *, well: bool, result: Any = None) -> None:
    """A child that was to stop has ended: taken back, or done after all, as if it had been in time."""
    del turn.activities[activity.step]
    turn.tell("left", state=activity.state, step=activity.step, detail={"done": well})
    if well and not activity.undoes and turn.way_back(activity.state, activity.branch) is not None:
        result, known = (None, False) if is_deep(result) else (result, True)
        turn.done.append(Done(activity.step, activity.state, activity.branch, result, known))
        turn.done.sort(key=lambda each: each.step)
    if well and activity.undoes:
        for done in [each for each in turn.done if each.step == activity.undoes]:
            taken_back(turn, done)
    if turn.ending is not None and not turn.activities:
        next_undo(turn)


def taken_back(turn: Turn, done: Done) -> None:
    turn.done.remove(done)
    turn.undone += 1
    turn.tell("undone", state=done.state, step=done.step)


def stuck(turn: Turn, activity: Activity, trouble: Trouble, *, phase: Phase = Phase.STUCK) -> None:
    """Only a person can say how it goes on; or, where `phase` says that somebody is still at it, they and time."""
    turn.put(replace(activity, phase=phase, due=None, events=(), prompt="", trouble=trouble))
    turn.trouble = trouble
    turn.tell_of("needs_attention", activity, trouble)


def _end(turn: Turn, status: Status) -> None:
    turn.take_all_off()
    turn.activities.clear()
    turn.status = status
    turn.ending = None
    detail = None if turn.trouble is None else {"kind": turn.trouble.kind, "message": turn.trouble.message}
    turn.tell(status.value, detail=detail)
