"""Walks over a graph: what is near, what can be reached, the shortest ways. Circles and hubs do no harm.

Every walk visits a thing once, so its work is bounded by the facts that it touches; where these are more than
a question may touch, it gives what it has and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mimo.services.graph.facts import Fact
from mimo.services.graph.views import Direction, Exhausted, View


# Thousands of these are made in a millisecond, which tuples can be and dataclasses cannot.
class Reached(NamedTuple):
    """A thing, how many steps away, and the last step to it."""

    name: str
    steps: int
    by: Fact
    before: str


@dataclass(frozen=True, slots=True)
class Walk:
    """`whole` is false when there was more than was looked at."""

    reached: tuple[Reached, ...]
    whole: bool


class Step(NamedTuple):
    """From one thing to the next, by a fact that may point either way."""

    start: str
    end: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Ways:
    """The shortest first."""

    paths: tuple[tuple[Step, ...], ...]
    whole: bool


def walk(view: View, start: str, direction: Direction, depth: int, limit: int) -> Walk:
    """What can be reached within so many steps, nearest first. With a large depth it is the closure."""
    seen, reached = {start}, list[Reached]()
    frontier, steps = [start], 0
    try:
        while frontier and steps < depth:
            steps += 1
            before = len(reached)
            for near, far, fact in view.edges(frontier, direction):
                if far not in seen:
                    if len(reached) == limit:
                        return Walk(tuple(reached), False)
                    seen.add(far)
                    reached.append(Reached(far, steps, fact, near))
            frontier = [each.name for each in reached[before:]]
    except Exhausted:
        return Walk(tuple(reached), False)
    return Walk(tuple(reached), True)


def shortest(
    view: View,
    start: str,
    end: str,
    direction: Direction,
    depth: int,
    *,
    without: frozenset[str] = frozenset(),
    without_first: frozenset[tuple[str, str]] = frozenset(),
) -> tuple[Step, ...] | None:
    """A shortest way, looked for from both ends at once; None if there is none within so many steps.

    `without` are things to go around, `without_first` pairs between which no step may lead. Raises `Exhausted`.
    """
    if start == end:
        return ()
    back: Direction = {"out": "in", "in": "out", "both": "both"}[direction]  # pyright: ignore[reportAssignmentType]
    ahead: dict[str, Step | None] = {start: None}
    behind: dict[str, Step | None] = {end: None}
    front, rear = [start], [end]
    for _ in range(depth):
        if not front or not rear:
            return None
        forward = len(front) <= len(rear)
        side, other, names = (ahead, behind, front) if forward else (behind, ahead, rear)
        following: list[str] = []
        met: str | None = None
        for near, far, fact in view.edges(names, direction if forward else back):
            if far in side or far in without or ((near, far) if forward else (far, near)) in without_first:
                continue
            side[far] = Step(near, far, fact) if forward else Step(far, near, fact)
            following.append(far)
            if far in other:
                met = far
                break
        if met is not None:
            return _joined(ahead, behind, met)
        if forward:
            front = following
        else:
            rear = following
    return None


def _joined(ahead: dict[str, Step | None], behind: dict[str, Step | None], met: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    step = ahead[met]
    while step is not None:
        steps.append(step)
        step = ahead[step.start]
    steps.reverse()
    step = behind[met]
    while step is not None:
        steps.append(step)
        step = behind[step.end]
    return tuple(steps)


def ways(view: View, start: str, end: str, direction: Direction, depth: int, count: int) -> Ways:
    """The `count` shortest ways without circles (Yen's algorithm over breadth-first search)."""
    found: list[tuple[Step, ...]] = []
    waiting: dict[tuple[str, ...], tuple[Step, ...]] = {}
    try:
        first = shortest(view, start, end, direction, depth)
        if first is None or not first:
            return Ways(() if first is None else (first,), True)
        found.append(first)
        while len(found) < count:
            last = found[-1]
            names = _names(last)
            for at in range(len(last)):
                root = last[:at]
                taken = frozenset(
                    (path[at].start, path[at].end)
                    for path in [*found, *waiting.values()]
                    if len(path) > at and _names(path)[: at + 1] == names[: at + 1]
                )
                spur = shortest(
                    view,
                    names[at],
                    end,
                    direction,
                    depth - at,
                    without=frozenset(names[:at]),
                    without_first=taken,
                )
                if spur:
                    path = (*root, *spur)
                    waiting.setdefault(_names(path), path)
            for path in found:
                waiting.pop(_names(path), None)
            if not waiting:
                break
            key = min(waiting, key=lambda names: (len(names), names))
            found.append(waiting.pop(key))
    except Exhausted:
        return Ways(tuple(found), False)
    return Ways(tuple(found), True)


def _names(path: Sequence[Step]) -> tuple[str, ...]:
    return (path[0].start, *(step.end for step in path)) if path else ()


def in_common(
    view: View, names: Iterable[str], direction: Direction, limit: int
) -> tuple[list[tuple[str, int]], bool]:
    """What all of the names lead to (or are it), with the sum of the steps to it; the nearest first."""
    whole = True
    common: dict[str, int] | None = None
    for name in names:
        reached = walk(view, name, direction, limit, limit)
        whole = whole and reached.whole
        steps = {name: 0} | {each.name: each.steps for each in reached.reached}
        common = (
            steps
            if common is None
            else {each: n + steps[each] for each, n in common.items() if each in steps}
        )
    return sorted((common or {}).items(), key=lambda each: (each[1], each[0])), whole


def way_to(reached: Sequence[Reached], name: str) -> tuple[Step, ...]:
    """The way by which a walk came to a thing."""
    by_name = {each.name: each for each in reached}
    steps: list[Step] = []
    while (each := by_name.get(name)) is not None:
        steps.append(Step(each.before, name, each.by))
        name = each.before
    return tuple(reversed(steps))
