"""What comes from outside: events, a pause, an interruption, another try; and mimo's own end and beginning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from mimo.errors import Busy, Conflict, InvalidArguments, NotFound
from mimo.services.procedures import definition as d
from mimo.services.procedures.acting import begin, by_letter, enter, onward, received
from mimo.services.procedures.ending import fail_run, next_undo, stuck
from mimo.services.procedures.expressions import Nonsense
from mimo.services.procedures.happenings import Hold, Interrupt, Signalled, Stop
from mimo.services.procedures.outcomes import (
    failed,
    finished,
    go,
    launch_queued,
    patience_of,
    time_passed,
)
from mimo.services.procedures.runs import Activity, Heard, Letter, Phase, Status, Trouble
from mimo.services.procedures.turn import Turn
from mimo.services.procedures.written import MOST_NESTED, is_deep

MOST_LETTERS = 100
# Who has had no answer sends again soon.
MOST_KEYS = 50
LOST = Trouble("lost", "it was under way when mimo ended, and whether it was done is not known", unsure=True)


def heard(turn: Turn, told: Signalled) -> None:
    """An event that somebody sends, maybe not for the first time."""
    if is_deep(told.data):
        raise InvalidArguments(
            f"the data are nested more than {MOST_NESTED} deep: keep them flatter", field="data"
        )
    if not told.key:
        signalled(turn, told)
        return
    digest = _digest(told.data)
    before = next((each for each in turn.heard if each.key == told.key), None)
    if before is None:
        signalled(turn, told)
        turn.heard = (*turn.heard, Heard(told.key, told.event, turn.said, digest))[-MOST_KEYS:]
        return
    if before.event != told.event:
        raise Conflict(f"under this key the run was sent {before.event!r}; take another for {told.event!r}")
    if before.digest not in {"", digest}:
        raise Conflict(
            f"under this key the run was sent the event {told.event!r} with other data; take another key for these"
        )
    turn.said = before.said


def signalled(turn: Turn, told: Signalled) -> None:
    require_alive(turn, f"the event {told.event!r}")
    for each in turn.activities.values():
        if each.phase is Phase.STUCK and told.event in {d.DONE, d.FAILED}:
            _settle(turn, each, told)
            return
    if told.event in {d.DONE, d.FAILED, d.TIMEOUT}:
        _require_none_late(turn)
        raise InvalidArguments(
            f"{told.event!r} is what actions end with; from outside it means something only to a run that needs attention"
        )
    held = turn.paused_at is not None or turn.interrupted or turn.ending is not None
    waiting = next((each for each in turn.activities.values() if told.event in each.events), None)
    if waiting is not None and not held:
        turn.said = "taken"
        go(turn, received(turn, waiting, told.event, told.data))
        return
    if (
        not held
        and not _busy(turn)
        and any(each.event == told.event for each in turn.definition.states[turn.state].transitions)
    ):
        event = {"name": told.event, "data": told.data}
        try:
            to = onward(turn, told.event, event)
        except Nonsense as error:
            turn.tell("blocked", detail={"event": told.event, "message": str(error)})
            turn.said = "blocked"
            return
        if to is not None:
            turn.remember(d.EVENT_NAME, event)
        turn.tell("event" if to else "blocked", detail={"event": told.event})
        turn.said = "taken" if to else "blocked"
        go(turn, to)
        return
    if len(turn.mailbox) >= MOST_LETTERS:
        raise Busy(f"{MOST_LETTERS} events wait for this run to ask for them; no more are kept")
    turn.mailbox.append(Letter(told.event, told.data))
    turn.tell("kept", detail={"event": told.event})
    turn.said = "kept"


def paused(turn: Turn, *, held: bool) -> None:
    require_alive(turn, "pause")
    if turn.paused_at is not None:
        return
    turn.paused_at, turn.held = turn.now, held
    turn.tell("paused")
    _hold_children(turn)


def resumed(turn: Turn) -> None:
    require_alive(turn, "resume")
    if turn.paused_at is None and not turn.interrupted:
        raise Conflict("the run is neither paused nor interrupted")
    if turn.deadline is not None and turn.paused_at is not None:
        turn.deadline += max(0, turn.now - turn.paused_at)  # what it stood still does not count
    was_interrupted, turn.interrupted, turn.paused_at = turn.interrupted, False, None
    turn.tell("resumed")
    if was_interrupted:
        recovered(turn)
    else:
        for each in turn.activities.values():
            if each.phase is Phase.CHILD:
                turn.bear(each)  # or have it go on
    if turn.halted:
        turn.halted = False
        go(turn, begin(turn))
    elif turn.ending is not None and not turn.activities:
        next_undo(turn)
    launch_queued(turn)
    for letter in list(turn.mailbox):
        if letter in turn.mailbox and any(letter.event in each.events for each in turn.activities.values()):
            turn.mailbox.remove(letter)
            signalled(turn, Signalled(letter.event, letter.data))
    if turn.ending is None and not turn.ended and not _busy(turn):
        go(turn, by_letter(turn))
    time_passed(turn)


def interrupted(turn: Turn, asked: Interrupt) -> None:
    require_alive(turn, "interrupt")
    if turn.interrupted and not asked.rollback:
        raise Conflict("the run is interrupted already; resume it, or interrupt it with rollback")
    if asked.rollback and turn.ending is not None:
        if turn.paused_at is None:
            raise Conflict("what the run did is being taken back already")
        resumed(turn)
        return
    turn.tell("interrupted", detail={"rollback": asked.rollback})
    if asked.rollback:
        turn.interrupted, turn.paused_at = False, None
        fail_run(turn, Trouble("interrupted", "it was interrupted", retry=False))
        return
    for each in turn.activities.values():
        if each.phase in {Phase.FLYING, Phase.CHILD}:
            turn.intend(Stop(each.step, each.attempt))
    turn.interrupted = True
    turn.paused_at = turn.now if turn.paused_at is None else turn.paused_at


def again(turn: Turn, state: str | None) -> None:
    _require_none_late(turn)
    if state is None:
        stopped = [each for each in turn.activities.values() if each.phase is Phase.STUCK]
        if stopped:
            turn.trouble = turn.ending  # what it had until then
            for each in stopped:
                turn.tell("again", state=each.state, step=each.step)
                _launch_again(turn, each)
            return
        if turn.status not in {Status.FAILED, Status.ROLLED_BACK, Status.INTERRUPTED}:
            raise Conflict(f"a run that is {turn.status.value} is not tried again; say from which state to")
        if turn.definition.states[turn.state].terminal is not None:
            raise Conflict(f"it ended in {turn.state}; say from which state to try again")
        if flying := [each for each in turn.activities.values() if each.phase is Phase.FLYING]:
            _take_up(turn, flying)
            return
        state = turn.state
    if state not in turn.definition.states:
        raise NotFound(f"no state {state[:64]!r}; there are: {', '.join(turn.definition.states)[:300]}")
    if any(each.phase is Phase.FLYING for each in turn.activities.values()) and not turn.interrupted:
        raise Conflict("an action is under way; interrupt the run first")
    turn.take_all_off()
    turn.status = Status.WAITING
    turn.interrupted, turn.paused_at, turn.halted = False, None, False
    turn.ending, turn.trouble, turn.output, turn.undone = None, None, None, 0
    turn.visits = {}
    timeout = turn.definition.timeout
    turn.deadline = None if timeout is None else turn.now + round(timeout * 1000)
    turn.tell("again", state=state)
    enter(turn, state)


def recovered(turn: Turn) -> None:
    """What was in flight is done again if that is harmless; what is not is for a person to say."""
    if turn.ended:
        return
    if (back := turn.before.saved_at - turn.now) > 0:  # the clock was set back meanwhile
        turn.deadline = None if turn.deadline is None else turn.deadline - back
        turn.due = None if turn.due is None else turn.due - back
        for each in list(turn.activities.values()):
            turn.put(each if each.due is None else replace(each, due=each.due - back))
    if turn.interrupted:
        return
    if turn.paused_at is not None:
        _hold_children(turn)
    for each in list(turn.activities.values()):
        if each.phase is Phase.CHILD and turn.paused_at is not None:
            continue
        if each.phase is Phase.CHILD:
            turn.bear(each)
        elif each.phase is Phase.LEAVING:
            turn.intend(Stop(each.step, each.attempt, rollback=True))
        elif each.phase is Phase.QUEUED and turn.paused_at is not None:
            continue
        elif each.phase is Phase.QUEUED or (each.phase is Phase.FLYING and each.repeat):
            turn.tell("recovered", state=each.state, step=each.step, attempt=each.attempt)
            doubt = each if each.phase is Phase.QUEUED else replace(each, unsure=True)
            turn.launch(doubt, patience=patience_of(turn, each))
        elif each.phase is Phase.FLYING:
            stuck(turn, each, LOST)


def require_alive(turn: Turn, what: str) -> None:
    if turn.ended:
        raise Conflict(
            f"the run has ended ({turn.status.value}): {what} comes too late; 'retry' would begin again"
        )


def _digest(data: object) -> str:
    """Short, as a run keeps many; and the same in whatever order its names stand."""
    told = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _hold_children(turn: Turn) -> None:
    for each in turn.activities.values():
        if each.phase is Phase.CHILD:
            turn.intend(Hold(each.step, each.attempt))


def _require_none_late(turn: Turn) -> None:
    for each in turn.activities.values():
        if each.is_late:
            raise Conflict(
                f"the child that takes back {each.state} still runs, and might take it back twice: its end is waited"
                " for; to have it end now, interrupt it with rollback"
            )


def _busy(turn: Turn) -> bool:
    """Whether something is under way that no event tears apart, or is about to be begun."""
    still = {Phase.WAITING, Phase.PAUSING, Phase.LEAVING}
    return turn.halted or any(each.phase not in still for each in turn.activities.values())


def _settle(turn: Turn, activity: Activity, told: Signalled) -> None:
    """A person says what became of it."""
    turn.said = "taken"
    turn.tell("settled", state=activity.state, step=activity.step, detail={"event": told.event})
    others = (each.trouble for each in turn.activities.values() if each.step != activity.step)
    turn.trouble = next((each for each in others if each is not None), turn.ending)
    if told.event == d.DONE:
        finished(turn, turn.put(replace(activity, phase=Phase.FLYING)), told.data)
    elif activity.undoes:
        raise Conflict("a compensation that failed is done again (retry), or told as done")
    else:
        settled = turn.put(replace(activity, phase=Phase.WAITING, unsure=False))
        failed(turn, settled, Trouble("settled", str(told.data or "told to have failed")[:1000], retry=False))


def _take_up(turn: Turn, flying: Sequence[Activity]) -> None:
    """What an interruption stopped in the middle is done again if that is harmless, under its key."""
    if harmful := next((each for each in flying if not each.repeat), None):
        state = harmful.state
        raise Conflict(
            f"{state} was under way when it was interrupted, and whether it was done is not known: resume, and say"
            f" by a signal what became of it; or retry with state {state!r}, which does it again"
        )
    turn.tell("again", state=turn.state)
    resumed(turn)


def _launch_again(turn: Turn, activity: Activity) -> None:
    if activity.call is None:  # its arguments could not be made, and may be now
        del turn.activities[activity.step]
        next_undo(turn)
        return
    # Who asks for it vouches for that it was not done.
    number = activity.attempt + 1
    anew = replace(activity, attempt=number, keyed=number, unsure=False, trouble=None)
    if "tool" in activity.call:
        turn.launch(anew, patience=patience_of(turn, activity))
    else:
        turn.bear(turn.put(replace(anew, phase=Phase.CHILD)))
