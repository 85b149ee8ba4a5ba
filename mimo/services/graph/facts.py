"""One graph in memory: its facts, found from either end. Pure: it is told what there is, and asks nobody.

A fact has one key: what it says, and when that holds. It may be said, concluded, or both; then it is as sure
as the surer of the two. Conclusions know their premises, and premises what was concluded from them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Key: TypeAlias = "tuple[str, str, str, int | None, int | None]"


class Fact:
    """A node of all proofs. `confidence` is 0 once it is out of the graph."""

    __slots__ = (
        "confidence", "drawn_id", "expires", "object", "predicate", "premises", "rule", "said", "said_expires",
        "said_id", "since", "subject", "timed", "until", "uses",
    )  # fmt: skip

    def __init__(
        self, subject: str, predicate: str, object_: str, since: int | None = None, until: int | None = None
    ) -> None:
        self.subject, self.predicate, self.object = subject, predicate, object_
        self.since, self.until = since, until
        self.confidence = 0.0
        self.expires: int | None = None
        self.timed = since is not None or until is not None
        self.said = 0.0  # how sure, by those who say so
        self.said_id: int | None = None
        self.said_expires: int | None = None
        self.drawn_id: int | None = None
        self.rule: str | None = None  # where the surer reason is a conclusion
        self.premises: tuple[Fact, ...] = ()
        self.uses: list[Fact] | None = None  # what was concluded from it, with some that no longer is

    @property
    def key(self) -> Key:
        return (self.subject, self.predicate, self.object, self.since, self.until)

    @property
    def id(self) -> int | None:
        """The row behind the surer reason."""
        return self.drawn_id if self.premises else self.said_id

    def holds(self, at: int, now: int) -> bool:
        """Whether it is so at that time, and its record has not expired."""
        return not self.timed or (
            (self.since is None or self.since <= at)
            and (self.until is None or self.until > at)
            and (self.expires is None or self.expires > now)
        )

    def __repr__(self) -> str:
        return f"<{self.subject} {self.predicate} {self.object} {self.confidence:.3g}>"


_NONE: dict[str, list[Fact]] = {}


class Facts:
    """The facts of a graph by key, by row, by subject and by object."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Fact] = {}
        self.by_id: dict[int, Fact] = {}
        self.out: dict[str, dict[str, list[Fact]]] = {}
        self.into: dict[str, dict[str, list[Fact]]] = {}
        self.of: dict[str, dict[Fact, None]] = {}  # by predicate
        self.types: dict[str, str] = {}  # of those things that have one
        self.timed = 0  # how many do not hold always

    def __len__(self) -> int:
        return len(self.by_key)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.by_key.values())

    def clear(self) -> None:
        """Out with all of them; what rows they have, and the types of things, are kept."""
        for each in (self.by_key, self.out, self.into, self.of):
            each.clear()
        self.timed = 0

    def put(self, fact: Fact) -> None:
        """In, or nothing if it is in."""
        key = fact.key
        if key in self.by_key:
            return
        # One string for each name, however often rows are read.
        fact.subject, fact.object = sys.intern(fact.subject), sys.intern(fact.object)
        fact.predicate = sys.intern(fact.predicate)
        self.by_key[fact.key] = fact
        self.out.setdefault(fact.subject, {}).setdefault(fact.predicate, []).append(fact)
        self.into.setdefault(fact.object, {}).setdefault(fact.predicate, []).append(fact)
        self.of.setdefault(fact.predicate, {})[fact] = None
        self.timed += fact.timed

    def take(self, fact: Fact) -> None:
        """Out, or nothing if it is not in."""
        if self.by_key.get(fact.key) is not fact:
            return
        del self.by_key[fact.key]
        for side, name in ((self.out, fact.subject), (self.into, fact.object)):
            facts = side[name][fact.predicate]
            facts.remove(fact)
            if not facts:
                del side[name][fact.predicate]
                if not side[name]:
                    del side[name]
        del self.of[fact.predicate][fact]
        if not self.of[fact.predicate]:
            del self.of[fact.predicate]
        self.timed -= fact.timed

    def retime(self, fact: Fact, expires: int | None) -> None:
        """A fact that expires does not hold always; its key does not say so."""
        was = fact.timed
        fact.expires = expires
        fact.timed = fact.since is not None or fact.until is not None or expires is not None
        if self.by_key.get(fact.key) is fact:
            self.timed += fact.timed - was

    def match(self, subject: str | None, predicate: str | None, object_: str | None) -> Iterable[Fact]:
        """The facts that fit, by the narrowest way in. None is anything. It is ours: read, and change nothing meanwhile."""
        if subject is not None and object_ is not None:
            out, into = self.out.get(subject, _NONE), self.into.get(object_, _NONE)
            if predicate is None:
                return [fact for facts in out.values() for fact in facts if fact.object == object_]
            mine, theirs = out.get(predicate, ()), into.get(predicate, ())
            if len(mine) <= len(theirs):
                return [fact for fact in mine if fact.object == object_]
            return [fact for fact in theirs if fact.subject == subject]
        if subject is None and object_ is None:
            return self.by_key.values() if predicate is None else self.of.get(predicate, ())
        there = self.out.get(subject, _NONE) if subject is not None else self.into.get(object_ or "", _NONE)
        if predicate is not None:
            return there.get(predicate, ())
        return [fact for facts in there.values() for fact in facts]

    def size(self, subject: str | None, predicate: str | None, object_: str | None) -> int:
        """About how many `match` would give: what a join begins with."""
        if subject is None and object_ is None:
            return len(self.of.get(predicate, ())) if predicate is not None else len(self.by_key)
        sizes: list[int] = []
        for side, name in ((self.out, subject), (self.into, object_)):
            if name is not None:
                them = side.get(name, {})
                sizes.append(
                    len(them.get(predicate, ())) if predicate is not None else sum(map(len, them.values()))
                )
        return min(sizes)

    def names(self) -> set[str]:
        return self.out.keys() | self.into.keys()
