"""How a state is entered and its action begins; what can be done at once is, without leaving the turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mimo.services.procedures import definition as d
from mimo.services.procedures.ending import fail_run, finish
from mimo.services.procedures.expressions import Nonsense, holds
from mimo.services.procedures.runs import Activity, Done, Phase, Trouble
from mimo.services.procedures.templates import filled
from mimo.services.procedures.turn import Turn, as_error
from mimo.services.procedures.written import MOST_NESTED, is_deep

# A run that goes on for so long is no procedure any more, but something that has run away.
MOST_STEPS = 100_000
# States that only compute follow each other within a turn, which the loop has to wait for; then others have theirs.
AT_ONCE = 500
# The calendar's, in milliseconds since 1970: nobody could be told of a time before or after.
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999


def enter(turn: Turn, name: str) -> None:
    """Go to this state, and on, for as long as nothing has to be waited for; but not for too long at once."""
    following: str | None = name
    entered = 0
    while following is not None:
        entered += 1
        following = _enter(turn, following, rest=entered > AT_ONCE)


def begin(turn: Turn) -> str | None:
    """Begin the action of the state that it is in; the next state if there is nothing to wait for."""
    state = turn.definition.states[turn.state]
    if state.terminal is not None:
        finish(turn, state)
        return None
    match state.action:
        case d.ParallelAction(branches=branches):
            turn.results, turn.broken = {}, None
            turn.due = None if state.timeout is None else turn.now + round(state.timeout * 1000)
            for branch, work in branches.items():
                if turn.broken is None:
                    _begin_branch(turn, branch, work)
            return branches_over(turn)
        case d.ToolAction() | d.WaitAction() | d.AwaitAction() | d.ProcedureAction():
            try:
                activity = started(turn, state.action, state.timeout, turn.state)
            except Nonsense as error:
                return onward_after(turn, Trouble("template", str(error), retry=False))
            return after_mail(turn, activity)
        case _:
            return _at_once(turn, state)


def started(
    turn: Turn,
    action: d.BranchAction | d.UndoAction,
    timeout: float | None,
    state: str,
    *,
    branch: str = "",
    undoes: int = 0,
    context: Mapping[str, Any] | None = None,
) -> Activity:
    """The action under way, as a step of its own.

    Raises:
        Nonsense: its templates cannot be filled.
    """
    context = turn.context if context is None else context
    new = Activity(turn.next_step(), state, Phase.WAITING, branch, undoes)
    due = None if timeout is None else turn.now + round(timeout * 1000)
    match action:
        case d.ToolAction():
            repeat = turn.repeatable(action.tool) if action.idempotent is None else action.idempotent
            call = {"tool": action.tool, "arguments": filled(action.arguments, context)}
            flying = Activity(new.step, state, Phase.QUEUED, branch, undoes, repeat=repeat, call=call)
            turn.launch(flying, patience=timeout)
        case d.ProcedureAction():
            call = {
                "procedure": action.procedure,
                "version": action.version,
                "input": filled(action.input, context),
            }
            turn.bear(turn.put(replace(new, phase=Phase.CHILD, call=call, due=due)))
            turn.tell("child", state=state, step=new.step, detail={"procedure": action.procedure})
        case d.WaitAction():
            until = _until(turn.now, action, context)
            if due is not None and due < until:
                turn.put(replace(new, due=due, cut=True))
            else:
                turn.put(replace(new, due=until))
            turn.tell("waiting", state=state, step=new.step, detail={"until": until})
        case d.AwaitAction():
            events = action.asks_for
            prompt = "" if action.approval is None else str(filled(action.approval, context))
            turn.put(replace(new, events=events, prompt=prompt, due=due))
            turn.tell("awaiting", state=state, step=new.step, detail={"events": events, "prompt": prompt})
        case d.LogAction():
            turn.tell("log", state=state, step=new.step, detail=str(filled(action.message, context)))
    return turn.activities.get(new.step, new)


def onward(turn: Turn, event: str, heard: Mapping[str, Any] | None = None) -> str | None:
    """The state to which this event leads from here; None when nothing follows it, or no guard holds. `heard` is what
    the guards see of an event that is not taken yet.

    Raises:
        Nonsense: a guard has no value.
    """
    fitting = [each for each in turn.definition.states[turn.state].transitions if each.event == event]
    fitting.sort(key=lambda each: (each.guard is None, each.order or 0))
    context = turn.context if heard is None else turn.context.and_also(d.EVENT_NAME, heard)
    for each in fitting:
        if each.guard is None or holds(each.guard, context):
            return each.to
    return None


def onward_done(turn: Turn, event: str, result: Any, save: str | None, *, heard: bool = False) -> str | None:
    """The action has given this: the next state, or None when the run is over or goes another way.

    A letter that came meanwhile goes before the end of an action. What was `heard` is such a letter itself, and the
    others, of the same name maybe, are for the states that follow.
    """
    turn.remember(d.RESULT, result)
    if save is not None:
        turn.remember(save, result)
    if not heard and (to := by_letter(turn)) is not None:
        return to
    try:
        turn.remember(d.EVENT_NAME, {"name": event, "data": result})
        if (to := onward(turn, event)) is not None:
            return to
    except Nonsense as error:
        return onward_after(turn, Trouble("guard", str(error), retry=False))
    if heard and (to := by_letter(turn)) is not None:
        return to
    blocked = Trouble("blocked", f"no guard lets {event!r} out of {turn.state}", retry=False)
    turn.tell("blocked", detail={"event": event})
    return onward_after(turn, blocked)


def onward_after(turn: Turn, trouble: Trouble) -> str | None:
    """The action has failed for good: where its error leads, or None, and the run fails."""
    turn.remember(d.ERROR, as_error(trouble, turn.state))
    turn.tell("failed", detail={"kind": trouble.kind, "message": trouble.message})
    try:
        to = onward(turn, d.TIMEOUT) if trouble.kind == "timeout" else None
        to = to or onward(turn, d.FAILED)
    except Nonsense as error:
        to, trouble = None, Trouble("guard", str(error), retry=False)
    if to is None:
        fail_run(turn, trouble)
    return to


def after_mail(turn: Turn, activity: Activity) -> str | None:
    """If a letter that came before is what this waits for, where it leads."""
    if activity.phase is not Phase.WAITING or activity.step not in turn.activities:
        return None
    for number, letter in enumerate(turn.mailbox):
        if letter.event in activity.events:
            del turn.mailbox[number]
            return received(turn, activity, letter.event, letter.data)
    if activity.branch or (to := by_letter(turn)) is None:
        return None
    turn.take_off(activity)
    return to


def received(turn: Turn, activity: Activity, event: str, data: Any) -> str | None:
    """What an activity has waited for is there."""
    if activity.branch:
        _branch_received(turn, activity, event, data)
        return branches_over(turn)
    turn.tell("event", state=activity.state, step=activity.step, detail={"event": event})
    turn.take_off(activity)
    _keep_way_back(turn, activity, data)
    save = getattr(turn.definition.states[turn.state].action, "save", None)
    return onward_done(turn, event, data, save, heard=True)


def succeeded(turn: Turn, activity: Activity, result: Any) -> str | None:
    """A step of the way forward is done: the next state, if that follows."""
    del turn.activities[activity.step]  # whoever worked on it has ended
    _keep_way_back(turn, activity, result)
    if activity.branch:
        turn.results[activity.branch] = result
        return branches_over(turn)
    return onward_done(turn, d.DONE, result, getattr(turn.definition.states[turn.state].action, "save", None))


def branches_over(turn: Turn) -> str | None:
    """Join: when nothing of a parallel is under way any more, where it leads."""
    if turn.broken is not None:
        for each in list(turn.activities.values()):
            if each.phase in {Phase.QUEUED, Phase.PAUSING, Phase.WAITING} or each.comes_again:
                turn.take_off(each)  # nothing of it is begun, or nothing comes of it
    under_way = any(each.phase is not Phase.LEAVING or each.comes_again for each in turn.activities.values())
    if under_way or turn.ending is not None:
        return None
    action = turn.definition.states[turn.state].action
    assert isinstance(action, d.ParallelAction)
    if turn.broken is not None:
        return onward_after(turn, turn.broken)
    for name, branch in action.branches.items():
        if (save := getattr(branch.action, "save", None)) is not None:
            turn.remember(save, turn.results.get(name))
    if turn.way_back(turn.state, "") is not None:
        turn.done.append(Done(turn.next_step(), turn.state, "", dict(turn.results)))
    return onward_done(turn, d.DONE, dict(turn.results), action.save)


def by_letter(turn: Turn) -> str | None:
    """Where an event that came before leads from here, if one does. One that makes a guard meaningless is dropped."""
    listened = {each.event for each in turn.definition.states[turn.state].transitions}
    for letter in [each for each in turn.mailbox if each.event in listened]:
        heard = {"name": letter.event, "data": letter.data}
        try:
            to = onward(turn, letter.event, heard)
        except Nonsense as error:
            turn.mailbox.remove(letter)
            turn.tell("blocked", detail={"event": letter.event, "message": str(error)})
            continue
        if to is not None:
            turn.mailbox.remove(letter)
            turn.remember(d.EVENT_NAME, heard)
            turn.tell("event", detail={"event": letter.event})
            return to
    return None


def _enter(turn: Turn, name: str, *, rest: bool) -> str | None:
    """`rest`: what it does is for the next turn."""
    turn.take_all_off()
    turn.due = None
    turn.state = name
    state = turn.definition.states[name]
    times = turn.visits[name] = turn.visits.get(name, 0) + 1
    turn.steps += 1
    turn.tell("entered", step=turn.steps)
    if state.max_visits is not None and times > state.max_visits:
        return onward_after(
            turn, Trouble("bound", f"{name} was entered more than {state.max_visits} times", retry=False)
        )
    if turn.steps > MOST_STEPS:
        fail_run(turn, Trouble("bound", f"more than {MOST_STEPS:,} steps", retry=False))
        return None
    if (rest or turn.paused_at is not None) and state.terminal is None:
        turn.halted = True
        return None
    return begin(turn)


def _at_once(turn: Turn, state: d.State) -> str | None:
    """Actions that nobody outside sees."""
    try:
        match state.action:
            case d.SetAction(values=values):
                given = filled(values, turn.context)
                if (
                    deep := next((name for name, value in given.items() if is_deep(value)), None)
                ) is not None:
                    said = f"{deep!r} would be nested more than {MOST_NESTED} deep: keep it flatter"
                    return onward_after(turn, Trouble("too_deep", said, retry=False))
                for name, value in given.items():
                    turn.remember(name, value)
            case d.LogAction(message=message):
                turn.tell("log", detail=str(filled(message, turn.context)))
            case d.ChooseAction(choices=choices, otherwise=otherwise):
                event = next((each.event for each in choices if holds(each.when, turn.context)), otherwise)
                return onward_done(turn, event, None, None)
            case d.FailAction(message=message, kind=kind):
                said = str(filled(message, turn.context))
                return onward_after(turn, Trouble(kind, said, retry=False))
            case _:
                pass
    except Nonsense as error:
        return onward_after(turn, Trouble("template", str(error), retry=False))
    if state.compensate is not None:
        turn.done.append(Done(turn.next_step(), turn.state))
    return onward_done(turn, d.DONE, turn.context.get(d.RESULT), None)


def _begin_branch(turn: Turn, name: str, work: d.Branch) -> None:
    try:
        activity = started(turn, work.action, work.timeout, turn.state, branch=name)
    except Nonsense as error:
        turn.broken = Trouble("template", f"{name}: {error}", retry=False)
        return
    for number, letter in enumerate(turn.mailbox):
        if letter.event in activity.events:
            del turn.mailbox[number]
            _branch_received(turn, activity, letter.event, letter.data)
            return


def _branch_received(turn: Turn, activity: Activity, event: str, data: Any) -> None:
    turn.tell("event", state=activity.state, step=activity.step, detail={"event": event})
    turn.take_off(activity)
    if event == d.REJECTED:
        turn.broken = turn.broken or Trouble("rejected", f"{activity.branch} was rejected", retry=False)
    else:
        turn.results[activity.branch] = {"event": event, "data": data}
        _keep_way_back(turn, activity, data)


def _keep_way_back(turn: Turn, activity: Activity, result: Any) -> None:
    if turn.way_back(activity.state, activity.branch) is not None:
        turn.done.append(Done(activity.step, activity.state, activity.branch, result))


def _until(now: int, action: d.WaitAction, context: Mapping[str, Any]) -> int:
    until = _as_asked(now, action, context)
    if not FIRST <= until <= LAST:
        raise Nonsense("one can wait for a time from the year 1 to the year 9999, in UTC")
    return until


def _as_asked(now: int, action: d.WaitAction, context: Mapping[str, Any]) -> int:
    if action.until is not None:
        said = filled(action.until, context)
        try:
            at = datetime.fromisoformat(str(said))
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return round(at.timestamp() * 1000)
        except (ValueError, OverflowError):
            raise Nonsense(
                f"until must be a time like 2031-05-23T09:30:00Z (got {str(said)[:40]!r})"
            ) from None
    seconds = filled(action.seconds, context) if isinstance(action.seconds, str) else action.seconds
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= d.YEAR:
        raise Nonsense(f"seconds must be a number from 0 to {d.YEAR:,.0f} (got {str(seconds)[:40]!r})")
    return now + round(seconds * 1000)
