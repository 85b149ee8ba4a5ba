"""What becomes of actions: done, failed, tried again, out of time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mimo.services.procedures import definition as d
from mimo.services.procedures.acting import begin, branches_over, enter, onward_after, succeeded
from mimo.services.procedures.ending import fail_run, stuck, undone
from mimo.services.procedures.happenings import Stop
from mimo.services.procedures.runs import Activity, Phase, Trouble
from mimo.services.procedures.turn import Turn, preview
from mimo.services.procedures.written import MOST_NESTED, is_deep

# A way back that was refused before it was begun (its tool is busy, or rests) is tried again without being told to:
# what was done stays done until it is gone. Its pauses are 1.5 to 3 minutes in all, and a breaker rests for one.
UNDO_AGAIN = d.Retry(attempts=8, backoff=2.0, longest=60.0)


def finished(turn: Turn, activity: Activity, result: Any) -> None:
    if not activity.undoes and is_deep(result):
        # It was done, so it may be taken back, but what it gave is not kept.
        said = f"what {activity.state} gave is nested more than {MOST_NESTED} deep: have it give less"
        failed(turn, activity, Trouble("too_deep", said, retry=False, unsure=True), over=True)
        return
    turn.tell(
        "done", state=activity.state, step=activity.step, attempt=activity.attempt, detail=preview(result)
    )
    if activity.undoes:
        undone(turn, activity)
    else:
        go(turn, succeeded(turn, activity, result))


def failed(turn: Turn, activity: Activity, trouble: Trouble, *, over: bool = False) -> None:
    """Again if that may help; else where its error leads. `over`: whoever worked on it has ended."""
    retry = _retry_of(turn, activity)
    if retry is None and activity.undoes and trouble.refused:
        retry = UNDO_AGAIN
    if trouble.unsure and not activity.unsure:
        activity = replace(activity, unsure=True)  # and stays so: a later attempt says nothing of this one
    may = trouble.retry and (activity.repeat or not activity.unsure)
    if retry is not None and may and activity.attempt < retry.attempts:
        if not over:
            turn.intend(Stop(activity.step, activity.attempt, rollback=True))
        if not over and activity.phase is Phase.CHILD:  # what it did is gone before it is done again
            turn.put(replace(activity, phase=Phase.LEAVING, due=None, trouble=trouble))
            turn.tell_of("attempt_failed", activity, trouble)
            return
        _pause_before_next(turn, activity, trouble, retry)
        return
    turn.tell_of("attempt_failed", activity, trouble)
    if activity.undoes:
        stuck(turn, activity, trouble)
        return
    if over:
        del turn.activities[activity.step]
        if activity.unsure:
            turn.keep_in_doubt(activity)
    else:
        turn.take_off(activity)
    if activity.branch:
        turn.broken = turn.broken or replace(trouble, message=f"{activity.branch}: {trouble.message}")
        go(turn, branches_over(turn))
    else:
        go(turn, onward_after(turn, trouble))


def time_passed(turn: Turn) -> None:
    if turn.ended or turn.interrupted or turn.paused_at is not None:
        return
    if turn.deadline is not None and turn.ending is None and turn.now >= turn.deadline:
        turn.tell("timeout", detail={"seconds": turn.definition.timeout})
        fail_run(
            turn, Trouble("timeout", f"the run took longer than {turn.definition.timeout:g} s", retry=False)
        )
        return
    if turn.halted:
        turn.halted = False
        go(turn, begin(turn))
        return
    if turn.due is not None and turn.now >= turn.due:
        _all_branches_late(turn)
        return
    for each in list(turn.activities.values()):
        if each.due is None or each.due > turn.now or turn.activities.get(each.step) is not each:
            continue
        _due(turn, each)


def launch_queued(turn: Turn) -> None:
    if turn.interrupted or turn.paused_at is not None:
        return
    for each in list(turn.activities.values()):
        if each.phase is Phase.QUEUED:
            turn.launch(each, patience=patience_of(turn, each))


def go(turn: Turn, to: str | None) -> None:
    if to is not None:
        enter(turn, to)


def patience_of(turn: Turn, activity: Activity) -> float | None:
    work = _work_of(turn, activity)
    return None if work is None else work.timeout


def _pause_before_next(turn: Turn, activity: Activity, trouble: Trouble, retry: d.Retry) -> None:
    longest = min(retry.backoff * 2 ** min(activity.attempt - 1, 40), retry.longest)
    pause = longest * (0.5 + 0.5 * turn.chance)
    turn.put(
        replace(
            activity,
            phase=Phase.PAUSING,
            attempt=activity.attempt + 1,
            # An attempt of unknown outcome may have worked: its key, asked again, tells.
            keyed=activity.keyed if activity.unsure else activity.attempt + 1,
            due=turn.now + round(pause * 1000),
            trouble=None,
        )
    )
    if activity.undoes:
        turn.trouble = turn.ending
    turn.tell(
        "retrying",
        state=activity.state,
        step=activity.step,
        attempt=activity.attempt + 1,
        detail={"kind": trouble.kind, "message": trouble.message, "after": round(pause, 3)},
    )


def _due(turn: Turn, activity: Activity) -> None:
    match activity.phase:
        case Phase.PAUSING if activity.call is not None and "tool" in activity.call:
            turn.launch(activity, patience=patience_of(turn, activity))
        case Phase.PAUSING:
            patience = patience_of(turn, activity)
            due = None if patience is None else turn.now + round(patience * 1000)
            turn.bear(turn.put(replace(activity, phase=Phase.CHILD, due=due)))
        case Phase.WAITING if activity.cut:
            said = f"the wait was longer than {patience_of(turn, activity) or 0:g} s"
            failed(turn, activity, Trouble("timeout", said, retry=False))
        case Phase.WAITING if not activity.events:
            turn.tell("waited", state=activity.state, step=activity.step)
            go(turn, succeeded(turn, activity, None))
        case Phase.WAITING:
            trouble = Trouble("timeout", f"none of {', '.join(activity.events)} came in time", retry=False)
            failed(turn, activity, trouble)
        case Phase.CHILD if activity.undoes:
            # Stopped, it would leave half of it done; and a second one might take back what this one does yet.
            said = f"what takes it back is not done within {patience_of(turn, activity) or 0:g} s; it goes on"
            stuck(turn, activity, Trouble("timeout", said, retry=False), phase=Phase.CHILD)
        case _:
            said = f"not done within {patience_of(turn, activity) or 0:g} s"
            failed(turn, activity, Trouble("timeout", said, unsure=activity.phase is Phase.FLYING))


def _all_branches_late(turn: Turn) -> None:
    """The state's patience with its branches together is over."""
    turn.due = None
    seconds = turn.definition.states[turn.state].timeout or 0
    turn.take_all_off()
    turn.broken = turn.broken or Trouble("timeout", f"not all branches were done within {seconds:g} s")
    go(turn, onward_after(turn, turn.broken))


def _retry_of(turn: Turn, activity: Activity) -> d.Retry | None:
    work = _work_of(turn, activity)
    return None if work is None else work.retry


def _work_of(turn: Turn, activity: Activity) -> d.State | d.Branch | d.Undo | None:
    if activity.undoes:
        return turn.way_back(activity.state, activity.branch)
    state = turn.definition.states[activity.state]
    if activity.branch and isinstance(state.action, d.ParallelAction):
        return state.action.branches.get(activity.branch)
    return state
