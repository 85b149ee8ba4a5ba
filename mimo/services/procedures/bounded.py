"""Which states lead where: what can be reached, and which cycles have no end of their own. Graphs of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mimo.services.procedures.definition import Definition


def reached(begin: Iterable[str], onward: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything on a way from one of these, themselves included."""
    found = set(begin)
    todo = list(found)
    while todo:
        for name in onward.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def steps_to(definition: Definition) -> dict[str, int]:
    """By how many transitions each state is reached: as one reads a procedure, not by the alphabet."""
    onward = {name: [each.to for each in state.transitions] for name, state in definition.states.items()}
    found: dict[str, int] = {}
    here, steps = [definition.initial], 0
    while here:
        found |= dict.fromkeys(here, steps)
        here = [
            each for each in dict.fromkeys(to for name in here for to in onward[name]) if each not in found
        ]
        steps += 1
    return found | dict.fromkeys(onward.keys() - found.keys(), steps)


def endless(onward: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Cycles, each part of the graph that goes round once: the names of one round, in order."""
    done: set[str] = set()
    for start in onward:
        if start in done:
            continue
        path: list[str] = []
        on_path: set[str] = set()
        todo: list[tuple[str, bool]] = [(start, True)]
        while todo:
            name, entering = todo.pop()
            if not entering:
                path.pop()
                on_path.discard(name)
                done.add(name)
                continue
            if name in done:
                continue
            path.append(name)
            on_path.add(name)
            todo.append((name, False))
            for target in onward[name]:
                if target in on_path:
                    yield path[path.index(target) :]
                elif target in onward and target not in done:
                    todo.append((target, True))
