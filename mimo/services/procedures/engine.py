"""One pure function: a run, and what happens to it, give the next run and what is to be done.

No clock, no chance, no disk: time and luck are arguments. What an action needs is part of the run before it
begins, so whoever saves the run first and acts then can be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mimo.services.procedures.acting import enter
from mimo.services.procedures.definition import INPUT, RUN, Definition
from mimo.services.procedures.ending import fail_run, left
from mimo.services.procedures.happenings import (
    Advanced,
    Again,
    Began,
    Failed,
    Finished,
    Granted,
    Happening,
    Interrupt,
    Overgrown,
    Pause,
    Recovered,
    Resume,
    Signalled,
    TimePassed,
)
from mimo.services.procedures.outcomes import failed, finished, launch_queued, time_passed
from mimo.services.procedures.outside import again, heard, interrupted, paused, recovered, resumed
from mimo.services.procedures.runs import Activity, Phase, Run, Trouble
from mimo.services.procedures.turn import Turn


def new_run(
    id_: int, uid: str, definition: Definition, given: Mapping[str, Any], now: int, depth: int = 0
) -> Run:
    """At rest before its initial state."""
    context = {
        INPUT: dict(given),
        RUN: {"uid": uid, "procedure": definition.name, "version": definition.version},
    }
    deadline = None if definition.timeout is None else now + round(definition.timeout * 1000)
    return Run(id_, uid, definition.initial, context, deadline=deadline, saved_at=now, depth=depth)


def advance(
    definition: Definition,
    run: Run,
    happening: Happening,
    now: int,
    *,
    chance: float = 1.0,
    may_act: bool = True,
    repeatable: Callable[[str], bool] = lambda tool: False,
) -> Advanced:
    """What follows. `may_act`: there is a place for what it wants to call.

    Raises:
        Conflict, NotFound, InvalidArguments, Busy: it cannot happen to this run; nothing follows.
    """
    turn = Turn(definition, run, now, chance=chance, may_act=may_act, repeatable=repeatable)
    match happening:
        case Began():
            turn.tell("started")
            enter(turn, definition.initial)
        case Granted():
            launch_queued(turn)
        case Finished():
            if (activity := _of(turn, happening)) is not None:
                if activity.phase is Phase.LEAVING and not activity.comes_again:
                    left(turn, activity, well=True, result=happening.result)
                else:
                    finished(turn, activity, happening.result)
        case Failed():
            if (activity := _of(turn, happening)) is not None:
                if activity.phase is not Phase.LEAVING:
                    failed(turn, activity, happening.trouble, over=True)
                elif activity.trouble is not None:
                    failed(turn, activity, activity.trouble, over=True)
                else:
                    left(turn, activity, well=False)
        case TimePassed():
            time_passed(turn)
        case Signalled():
            heard(turn, happening)
        case Pause():
            paused(turn, held=happening.held)
        case Resume():
            resumed(turn)
        case Interrupt():
            interrupted(turn, happening)
        case Again():
            again(turn, happening.state)
        case Recovered():
            recovered(turn)
        case Overgrown():
            if not turn.ended:
                fail_run(turn, Trouble("too_large", happening.message, retry=False))
    return turn.advanced()


def _of(turn: Turn, told: Finished | Failed) -> Activity | None:
    """What this is about, if somebody still waits for it."""
    activity = turn.activities.get(told.step)
    waited = activity is not None and activity.phase in {Phase.FLYING, Phase.CHILD, Phase.LEAVING}
    return activity if waited and activity is not None and activity.attempt == told.attempt else None
