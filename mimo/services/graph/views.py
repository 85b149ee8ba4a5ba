"""What a question may see of a graph: facts that hold at its time, sure enough, said or also concluded.

Two graphs look the same from here: one in memory, and one that is too large for it and is read from the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from mimo.services.graph.facts import Fact, Facts
from mimo.storage.triples.triple import Lean
from mimo.storage.triples.walk import MOST_OF_A_HUB, Reading

Direction: TypeAlias = Literal["out", "in", "both"]
# A question looks at no more facts than this, and says when that was not enough.
MOST_TOUCHED = 250_000


class Exhausted(Exception):
    """The question would have to look at more than a question may."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts count. Times are milliseconds since 1970."""

    now: int
    at: int | None = None  # what held then; None: what holds now
    predicates: frozenset[str] | None = None
    least: float = 0.0  # how sure
    drawn: bool = True  # conclusions too
    types: frozenset[str] | None = None  # of subject or object
    known_at: int | None = None  # as we believed then, what was said alone; None: as we believe now


class View(Protocol):
    touched: int
    types: dict[str, str]

    def match(self, subject: str | None, predicate: str | None, object_: str | None) -> Iterator[Fact]:
        """The facts that fit and count; raises `Exhausted` when it is too much."""
        ...

    def size(self, subject: str | None, predicate: str | None, object_: str | None) -> int:
        """About how many fit."""
        ...

    def edges(self, names: Sequence[str], direction: Direction) -> Iterator[tuple[str, str, Fact]]:
        """From each of the names to what is beside it: (from, to, by which fact)."""
        ...


class _Counting:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._at = wanted.now if wanted.at is None else wanted.at
        self.touched = 0

    def _counting(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        wanted = self._wanted
        for fact in facts:
            self.touched += 1
            if self.touched > MOST_TOUCHED:
                raise Exhausted
            if (
                fact.confidence >= wanted.least
                and (wanted.drawn or fact.said_id is not None)
                and (wanted.predicates is None or fact.predicate in wanted.predicates)
                and (not fact.timed or fact.holds(self._at, wanted.now))
            ):
                yield fact


class InMemory(_Counting):
    """A graph that is loaded. It does not change while the view is used."""

    def __init__(self, facts: Facts, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._facts = facts
        self.types = facts.types

    def match(self, subject: str | None, predicate: str | None, object_: str | None) -> Iterator[Fact]:
        return self._counting(self._facts.match(subject, predicate, object_))

    def size(self, subject: str | None, predicate: str | None, object_: str | None) -> int:
        return self._facts.size(subject, predicate, object_)

    def edges(self, names: Sequence[str], direction: Direction) -> Iterator[tuple[str, str, Fact]]:
        # Most of the time of a walk is spent here: as few steps for each fact as can be.
        wanted, at, now = self._wanted, self._at, self._wanted.now
        predicates, least, drawn = wanted.predicates, wanted.least, wanted.drawn
        careful = least > 0 or self._facts.timed > 0
        for outward in (True, False) if direction == "both" else (direction == "out",):
            side = self._facts.out if outward else self._facts.into
            for name in names:
                for predicate, them in side.get(name, _NONE).items():
                    if predicates is not None and predicate not in predicates:
                        continue
                    self.touched += len(them)
                    if self.touched > MOST_TOUCHED:
                        raise Exhausted
                    for fact in them:
                        if (drawn or fact.said_id is not None) and (
                            not careful or (fact.confidence >= least and fact.holds(at, now))
                        ):
                            yield name, fact.object if outward else fact.subject, fact


_NONE: dict[str, list[Fact]] = {}


class _OfTypes:
    """A view of facts about things of certain types."""

    def __init__(self, view: View, types: frozenset[str]) -> None:
        self._view, self._types = view, types
        self.types, self.touched = view.types, 0
        self.size, self.edges = view.size, view.edges

    def match(self, subject: str | None, predicate: str | None, object_: str | None) -> Iterator[Fact]:
        for fact in self._view.match(subject, predicate, object_):
            if {self.types.get(fact.subject), self.types.get(fact.object)} & self._types:
                yield fact


def of_types(view: View, types: frozenset[str] | None) -> View:
    """The same view where there are no types to narrow it."""
    return view if types is None else _OfTypes(view, types)


class InFile(_Counting):
    """A graph of any size, in a reader's thread: what is not touched is not read."""

    def __init__(self, reading: Reading, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._reading = reading
        self.types: dict[str, str] = {}

    def match(self, subject: str | None, predicate: str | None, object_: str | None) -> Iterator[Fact]:
        left = MOST_TOUCHED - self.touched + 1
        found = self._reading.fitting(subject, predicate, object_, left)
        return self._counting(map(self._fact, found))

    def size(self, subject: str | None, predicate: str | None, object_: str | None) -> int:
        given = (subject is not None) + (object_ is not None)
        return (1_000_000, 100, 1)[given] // (10 if predicate is not None and not given else 1)

    def edges(self, names: Sequence[str], direction: Direction) -> Iterator[tuple[str, str, Fact]]:
        left = min(MOST_TOUCHED - self.touched + 1, MOST_OF_A_HUB * len(names))
        if direction != "in":
            for fact in self._counting(map(self._fact, self._reading.around(names, "subject", left))):
                yield fact.subject, fact.object, fact
        if direction != "out":
            for fact in self._counting(map(self._fact, self._reading.around(names, "object", left))):
                yield fact.object, fact.subject, fact

    def _fact(self, row: Lean) -> Fact:
        for name, type_ in ((row.subject, row.subject_type), (row.object, row.object_type)):
            if type_:
                self.types.setdefault(name, type_)
        fact = Fact(row.subject, row.predicate, row.object, row.valid_from, row.valid_to)
        fact.confidence, fact.rule, fact.expires = row.confidence, row.rule, row.expires_at
        fact.timed = fact.timed or row.expires_at is not None
        if row.origin == "asserted":
            fact.said_id = row.id
        else:
            fact.drawn_id = row.id
        return fact
