"""What a machine of the right shape can still be wrong in: names that lead nowhere, guards that overlap, ends out of reach."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

from mimo.errors import MimoError
from mimo.services.procedures import definition as d
from mimo.services.procedures.bounded import endless, reached
from mimo.services.procedures.grammar import Node, Unreadable, parsed, roots
from mimo.services.procedures.guards import Said, exclude, said_by
from mimo.services.procedures.needless import needless
from mimo.services.procedures.shapes import misfits, unknown_words
from mimo.services.procedures.templates import expressions_in, is_plain
from mimo.tool import JsonObject, Tool

# A tool and the schema of its arguments; raises `UnknownTool`, which names the nearest.
Find: TypeAlias = Callable[[str], tuple[Tool, JsonObject]]
OURSELVES = "procedure"
# So many problems are told to whoever reads them.
HINTS = 10
# Where an action has templates.
_TEMPLATES = ("arguments", "values", "message", "seconds", "until", "approval", "input")


@dataclass(frozen=True, slots=True)
class Problem:
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


def problems_in(
    header: d.Header,
    states: Mapping[str, d.State],
    known: Collection[str],
    find: Find,
    *,
    whole: bool,
    torn: Mapping[str, d.State] = MappingProxyType({}),
) -> Iterator[Problem]:
    """Every one. `known` are the names of all states, `states` those that could be read; `whole`: that is all of them.

    Of those that are `torn` something could not be read: what is there is judged, and not what is missing.
    """
    if header.name in d.KEPT:
        yield Problem("name", f"{header.name!r} is an address of its own; kept are {', '.join(d.KEPT)}")
    if header.input:
        yield from (Problem("input", text) for text in unknown_words(header.input, "input"))
        if header.input.get("type", "object") != "object":
            yield Problem("input.type", "a run's input is an object")
    there = _Names(known)
    if header.initial not in known:
        yield Problem("initial", _no_state(header.initial, there))
    names = _Names(d.GIVEN | _saved({**states, **torn}))
    for name, state in states.items():
        place = f"states.{name}"
        yield from (Problem(*each) for each in needless(place, state))
        yield from _state(place, state, there)
        yield from _expressions(place, state, names)
        for where, action in actions_of(place, state):
            yield from _action(where, action, find)
    for name, state in torn.items():
        place = f"states.{name}"
        yield from _transitions(place, state.transitions, there)
        for where, action in actions_of(place, state):
            yield from _action(where, action, find)
    if whole and header.initial in known:
        yield from _paths(header.initial, states)


def actions_of(place: str, state: d.State) -> Iterator[tuple[str, d.Action]]:
    """Every action of a state: its own, its branches', and those that take them back."""
    if state.action is not None:
        yield f"{place}.action", state.action
        if isinstance(state.action, d.ParallelAction):
            for name, branch in state.action.branches.items():
                yield f"{place}.action.branches.{name}.action", branch.action
                if branch.compensate is not None:
                    yield f"{place}.action.branches.{name}.compensate.action", branch.compensate.action
    if state.compensate is not None:
        yield f"{place}.compensate.action", state.compensate.action


def _saves(action: d.Action) -> str | None:
    """The name under which its result stays."""
    return getattr(action, "save", None) if _may_save(type(action)) else None


# Pydantic takes its time to say what a model has, and that it has not.
@cache
def _may_save(kind: type[d.Part]) -> bool:
    return "save" in kind.model_fields


@cache
def _templates_of(kind: type[d.Part]) -> Sequence[str]:
    return [name for name in _TEMPLATES if name in kind.model_fields]


def _saved(states: Mapping[str, d.State]) -> frozenset[str]:
    """The names that some action gives to the context."""
    found: set[str] = set()
    for name, state in states.items():
        for _, action in actions_of(name, state):
            if isinstance(action, d.SetAction):
                found.update(action.values)
            elif (save := _saves(action)) is not None:
                found.add(save)
    return frozenset(found)


def _state(place: str, state: d.State, known: _Names) -> Iterator[Problem]:
    if _ends(state):
        return
    if not state.transitions:
        yield Problem(place, "leads nowhere: give it transitions, or make it terminal")
        return
    yield from _transitions(place, state.transitions, known)
    there = {each.event for each in state.transitions}
    for event in _own_events(state):
        if event not in there:
            yield Problem(place, f"no transition for the event {event!r}, which its action gives")


def _ends(state: d.State) -> bool:
    """Whether a run may end there, with nothing to lead on: a failure that nobody catches is an end, too."""
    return state.terminal is not None or (isinstance(state.action, d.FailAction) and not state.transitions)


def _own_events(state: d.State) -> Sequence[str]:
    """What the action of a state ends with when all is well."""
    match state.action:
        case d.ChooseAction(choices=choices, otherwise=otherwise):
            return list(dict.fromkeys([*(each.event for each in choices), otherwise]))
        case d.AwaitAction() as action:
            return action.asks_for
        case d.FailAction():
            return []
        case _:
            return [d.DONE]


def _transitions(place: str, transitions: Sequence[d.Transition], known: _Names) -> Iterator[Problem]:
    for number, transition in enumerate(transitions):
        if transition.to not in known.all:
            yield Problem(f"{place}.transitions[{number}].to", _no_state(transition.to, known))
    yield from _overlaps(place, transitions)


def _overlaps(place: str, transitions: Sequence[d.Transition]) -> Iterator[Problem]:
    of_event: dict[str, list[d.Transition]] = {}
    said = cache(_said_by)
    for number, other in enumerate(transitions):
        where = f"{place}.transitions[{number}]"
        earlier = of_event.setdefault(other.event, [])
        if any(one.guard == other.guard for one in earlier):
            yield Problem(where, f"a duplicate: the same event {other.event!r} under the same guard")
        elif any(_may_both_hold(one, other, said) for one in earlier):
            yield Problem(
                where, f"its guard and an earlier one of {other.event!r} may both hold: give each an order"
            )
        earlier.append(other)


def _may_both_hold(one: d.Transition, other: d.Transition, said: Callable[[str], Said | None]) -> bool:
    """With nothing to say which is asked first."""
    if one.guard is None or other.guard is None:
        return False  # the one without a guard is asked last
    if one.order is not None and other.order is not None and one.order != other.order:
        return False
    ours, theirs = said(one.guard), said(other.guard)
    return ours is not None and theirs is not None and not exclude(ours, theirs)


def _said_by(guard: str) -> Said | None:
    try:
        return said_by(guard)
    except Unreadable:
        return None  # told elsewhere


def _expressions(place: str, state: d.State, names: _Names) -> Iterator[Problem]:
    """Everything that is worked out while it runs can be read, and begins at something that there is."""
    guards: list[tuple[str, str]] = [
        (f"{place}.transitions[{number}].guard", each.guard)
        for number, each in enumerate(state.transitions)
        if each.guard is not None
    ]
    if isinstance(state.action, d.ChooseAction):
        guards += [
            (f"{place}.action.choices[{n}].when", each.when) for n, each in enumerate(state.action.choices)
        ]
    for where, guard in guards:
        try:
            yield from _unknown_roots(where, parsed(guard), names)
        except Unreadable as error:
            yield Problem(where, str(error))
    templates: list[tuple[str, Any]] = [] if state.output is None else [(f"{place}.output", state.output)]
    for where, action in actions_of(place, state):
        for field in _templates_of(type(action)):
            if (template := getattr(action, field)) is not None:
                templates.append((f"{where}.{field}", template))
    for field, template in templates:
        for where, node in expressions_in(template, field):
            if isinstance(node, Unreadable):
                yield Problem(where, str(node))
            else:
                yield from _unknown_roots(where, node, names)


def _unknown_roots(place: str, node: Node, names: _Names) -> Iterator[Problem]:
    for name in sorted(roots(node) - names.all):
        yield Problem(place, f"nothing in the context is called {name!r}{names.hint(name)}")


def _action(place: str, action: d.Action, find: Find) -> Iterator[Problem]:
    match action:
        case d.ToolAction():
            yield from _tool(place, action, find)
        case d.WaitAction(seconds=seconds, until=until) if (seconds is None) == (until is None):
            yield Problem(place, "give either seconds or until")
        case d.WaitAction(seconds=str(seconds)) if is_plain(seconds):
            said = f"must be a number, or a template that gives one (got {seconds[:40]!r})"
            yield Problem(f"{place}.seconds", said)
        case d.WaitAction(until=str(until)) if is_plain(until) and not _is_time(until):
            said = (
                f"must be a time like 2031-05-23T09:30:00Z, or a template that gives one (got {until[:40]!r})"
            )
            yield Problem(f"{place}.until", said)
        case d.ParallelAction():
            yield from _saved_twice(place, action)
        case d.AwaitAction(events=events, approval=approval):
            if not events and approval is None:
                yield Problem(place, "give the events that it waits for, or an approval")
            for event in events:
                if event in {d.DONE, d.FAILED, d.TIMEOUT}:
                    yield Problem(
                        f"{place}.events", f"{event!r} is what actions end with; choose another name"
                    )
        case d.ChooseAction(choices=choices, otherwise=otherwise):
            for event in (*(each.event for each in choices), otherwise):
                if event in {d.FAILED, d.TIMEOUT}:
                    yield Problem(
                        f"{place}.choices", f"{event!r} is what actions fail with; choose another name"
                    )
        case _:
            pass
    for name in action.values if isinstance(action, d.SetAction) else [_saves(action)]:
        if name in d.GIVEN:
            yield Problem(place, f"{name!r} is the context's own; choose another name")


def _is_time(text: str) -> bool:
    """One that can be told as UTC, too."""
    try:
        at = datetime.fromisoformat(text)
        (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return True


def _saved_twice(place: str, action: d.ParallelAction) -> Iterator[Problem]:
    """Under one name only the last result would be found."""
    taken = {} if action.save is None else {action.save: "the results of all branches"}
    for name, branch in action.branches.items():
        if (save := _saves(branch.action)) is None:
            continue
        if save in taken:
            where = f"{place}.branches.{name}.action.save"
            yield Problem(where, f"{save!r} has {taken[save]}; choose another name")
        taken.setdefault(save, f"the result of branch {name!r}")


def _tool(place: str, action: d.ToolAction, find: Find) -> Iterator[Problem]:
    if action.tool == OURSELVES:
        yield Problem(f"{place}.tool", "a procedure is run by an action of type 'procedure'")
        return
    try:
        _, schema = find(action.tool)
    except MimoError as error:
        yield Problem(f"{place}.tool", error.message)
        return
    unknown: Callable[[Any], bool] = lambda value: isinstance(value, str) and not is_plain(value)  # noqa: E731
    for text in misfits(schema, action.arguments, "arguments", unknown):
        yield Problem(place, text)


def _paths(initial: str, states: Mapping[str, d.State]) -> Iterator[Problem]:
    onward = {
        name: [each.to for each in state.transitions if each.to in states] for name, state in states.items()
    }
    for name in states.keys() - reached([initial], onward):
        yield Problem(f"states.{name}", "cannot be reached from the initial state")
    ends = [name for name, state in states.items() if _ends(state)]
    if not ends:
        yield Problem("states", "none is terminal, so a run would never end")
        return
    back: dict[str, list[str]] = {name: [] for name in states}
    for name, targets in onward.items():
        for target in targets:
            back[target].append(name)
    stuck = {name for name in states if onward[name]} - reached(ends, back)
    for name in sorted(stuck):
        yield Problem(f"states.{name}", "no terminal state can be reached from it")
    pausing = {name for name, state in states.items() if _pauses(state)}
    for cycle in endless({name: onward[name] for name in states if name not in pausing}):
        yield Problem(
            f"states.{cycle[0]}",
            f"goes round ({' > '.join(cycle[:8])}) without a wait or a bound: give one of them max_visits",
        )


def _pauses(state: d.State) -> bool:
    waits = isinstance(state.action, d.AwaitAction) or (
        isinstance(state.action, d.WaitAction) and state.action.seconds != 0
    )
    return waits or state.max_visits is not None


def _no_state(name: str, known: _Names) -> str:
    return f"no state {name!r}{known.hint(name)}"


class _Names:
    """Those that there are. To look for the nearest takes its time where there are many: done for the first few."""

    def __init__(self, names: Collection[str]) -> None:
        self.all = frozenset(names)
        self._hints = HINTS

    def hint(self, name: str) -> str:
        self._hints -= 1
        if self._hints < 0:
            return ""
        if near := get_close_matches(name, self.all, 1):
            return f"; did you mean {near[0]!r}?"
        return f"; there are: {', '.join(sorted(self.all))[:200]}"
