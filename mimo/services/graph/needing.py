"""What would break: who needs a thing, however far away, by any of the relations that say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mimo.services.graph.facts import Fact
from mimo.services.graph.views import Direction, View
from mimo.services.graph.vocabulary import Vocabulary
from mimo.services.graph.walking import Step, Walk, walk

# Who has a fact of these as its subject falls with the object, and the other way round.
NEEDS = ("depends_on", "requires", "uses", "part_of", "provided_by")
NEEDED_BY = ("required_by", "used_by", "has_part", "provides")


def needs_of(vocabulary: Vocabulary, given: Sequence[str] | None) -> tuple[frozenset[str], frozenset[str]]:
    """Predicates whose subject needs the object, and those whose object needs the subject; those `given`, or all."""
    needs, needed = set(given or NEEDS), set(() if given else NEEDED_BY)
    for each in vocabulary:
        if needs & set(each.implies):
            needs.add(each.name)
    needed |= {vocabulary[name].inverse for name in needs} - {""}
    return frozenset(needs), frozenset(needed - needs)


def broken(view: View, *, start: str, needs: frozenset[str], limit: int, depth: int) -> Walk:
    """Everything that needs `start`, the nearest first. The view has only predicates of `needs_of`."""
    return walk(_Needing(view, needs), start, "out", depth, limit)


def upright(path: Sequence[Step]) -> list[Step]:
    """From what breaks to what was asked for."""
    return [Step(step.end, step.start, step.fact) for step in reversed(path)]


class _Needing:
    """A view in which every step leads from what is needed to what needs it."""

    def __init__(self, view: View, needs: frozenset[str]) -> None:
        self._view, self._needs = view, needs
        self.types, self.touched = view.types, 0
        self.match, self.size = view.match, view.size

    def edges(self, names: Sequence[str], direction: Direction) -> Iterator[tuple[str, str, Fact]]:
        for near, far, fact in self._view.edges(names, "both"):
            if (fact.predicate in self._needs) == (fact.object == near):
                yield near, far, fact
