"""From a mention to the thing that is meant: by its name, by its words, by its meaning. Looking makes nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, cast

import trio

from mimo.errors import MimoError
from mimo.storage.database import Database
from mimo.storage.triples.names import alike, begins_alike, name_key, named, newest_names

# How like a name a meaning must be, and how much more so than the next.
LIKE_ENOUGH, LEAD = 0.85, 0.1
# The newest names of a graph have vectors, made when a mention needs them, and kept.
MOST_VECTORS, VECTORS_KEPT, AT_ONCE = 1_000, 4_000, 32
SECONDS = 2.0

How: TypeAlias = Literal["name", "words", "meaning", "several", "nothing"]


class Vectors(Protocol):
    """A row of numbers for each text, as an array."""

    def tolist(self) -> Any: ...


class Embedder(Protocol):
    @property
    def model(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """`name` is None when it is nothing that is known, or when it could be several things."""

    mention: str
    name: str | None
    how: How
    candidates: tuple[str, ...] = ()
    score: float = 1.0


class Resolution:
    def __init__(self, database: Database, embedder: Embedder | None) -> None:
        self._database = database
        self._embedder = embedder
        self._vectors: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    async def exactly(self, graph: str, mentions: Sequence[str]) -> dict[str, Resolved]:
        """By names and aliases only."""
        known = await self._database.read(named, graph, list(mentions))
        return {
            mention: Resolved(mention, known.sure[mention], "name")
            if mention in known.sure
            else Resolved(mention, None, "several", known.torn[mention])
            if mention in known.torn
            else Resolved(mention, None, "nothing")
            for mention in mentions
        }

    async def nearby(self, graph: str, mention: str) -> Resolved:
        """By name or alias, else by words with a typo or two."""
        found = (await self.exactly(graph, [mention]))[mention]
        if found.how != "nothing":
            return found
        near = closest(mention, await self._database.read(alike, graph, mention))
        if near.how == "nothing":
            also = closest(mention, await self._database.read(begins_alike, graph, mention))
            return also if also.how != "nothing" else near
        return near

    async def resolve(self, graph: str, mention: str) -> Resolved:
        """By name or alias, else by words with a typo or two, else by meaning."""
        near = await self.nearby(graph, mention)
        if near.how != "nothing":
            return near
        by_meaning = await self._by_meaning(graph, mention)
        if by_meaning.name is None and not by_meaning.candidates:
            return Resolved(mention, None, "nothing", near.candidates)
        return by_meaning

    async def _by_meaning(self, graph: str, mention: str) -> Resolved:
        nothing = Resolved(mention, None, "nothing")
        names = await self._database.read(newest_names, graph, MOST_VECTORS)
        if self._embedder is None or not names or len(mention) > 200:
            return nothing
        try:
            with trio.move_on_after(SECONDS):  # what has a vector by then is compared, the rest the next time
                for at in range(0, len(names) + 1, AT_ONCE):
                    await self._embed([mention, *names][at : at + AT_ONCE])
        except MimoError:  # whatever an embedder says, names are no argument of the caller's that was wrong
            return nothing
        model = self._embedder.model
        asked = self._vectors.get((model, mention))
        if asked is None:
            return nothing
        scored = sorted(
            (
                (sum(a * b for a, b in zip(asked, vector, strict=True)), name)
                for name in names
                if name != mention and (vector := self._vectors.get((model, name))) is not None
            ),
            reverse=True,
        )[:3]
        if not scored or scored[0][0] < LIKE_ENOUGH:
            return nothing
        if len(scored) > 1 and scored[0][0] - scored[1][0] < LEAD:
            candidates = tuple(name for score, name in scored if scored[0][0] - score < LEAD)
            return Resolved(mention, None, "several", candidates, scored[0][0])
        return Resolved(mention, scored[0][1], "meaning", (), min(scored[0][0], 1.0))

    async def _embed(self, names: Sequence[str]) -> None:
        assert self._embedder is not None
        model = self._embedder.model
        lacking = [name for name in names if (model, name) not in self._vectors]
        if lacking:
            vectors = cast("list[list[float]]", (await self._embedder.embed(lacking)).tolist())
            for name, vector in zip(lacking, vectors, strict=True):
                length = sum(each * each for each in vector) ** 0.5 or 1.0
                self._vectors[model, name] = [each / length for each in vector]
        for name in names:
            self._vectors.move_to_end((model, name))
        while len(self._vectors) > VECTORS_KEPT:
            self._vectors.popitem(last=False)


def closest(mention: str, among: Sequence[tuple[str, str]]) -> Resolved:
    """Of names and their keys, the one that was meant, typos aside; or those that it could be."""
    key = name_key(mention)
    best: dict[str, float] = {}
    for name, other in among:
        best[name] = max(best.get(name, 0.0), likeness(key, other))
    order = sorted(best.items(), key=lambda each: (-each[1], each[0]))
    sure = [(name, score) for name, score in order if score > 0]
    if not sure:
        return Resolved(mention, None, "nothing", tuple(name for name, _ in order[:3]))
    if len(sure) > 1 and sure[0][1] - sure[1][1] < LEAD:
        torn = tuple(name for name, score in sure if sure[0][1] - score < LEAD)[:8]
        return Resolved(mention, None, "several", torn, sure[0][1])
    return Resolved(mention, sure[0][0], "words", (), sure[0][1])


def likeness(one: str, other: str) -> float:
    """1 for the same words, a little less with a typo in a long word or with words left out, 0 for another name.

    Digits are no typos: server1 is not server2.
    """
    if [c for c in one if c.isdigit()] != [c for c in other if c.isdigit()]:
        return 0.0
    mine, theirs = _words(one), _words(other)
    if not mine or not theirs:
        return 0.0
    if mine == theirs:
        return 0.99  # they differ in signs only
    if len(mine) == len(theirs):
        slips = [_slips(a, b) for a, b in zip(mine, theirs, strict=True)]
        if None not in slips:
            return 0.95 - 0.02 * sum(each or 0 for each in slips)
    joined = _slips("".join(mine), "".join(theirs)) if len(mine) != len(theirs) else None
    if joined is not None:
        return 0.93 - 0.02 * joined
    shorter, longer = sorted((mine, theirs), key=len)
    # "the payment service" and "payment": every word of one stands in the other.
    if len(shorter) < len(longer) and all(word in longer for word in shorter) and len("".join(shorter)) > 3:
        return 0.6 + 0.2 * len("".join(shorter)) / len("".join(longer))
    return 0.0


def _words(key: str) -> list[str]:
    words = "".join(c if c.isalnum() else " " for c in key).split()
    return [word for word in words if word not in {"the", "a", "an"}] or words


def _slips(one: str, other: str) -> int | None:
    """How many letters are wrong, missing, too many or swapped; None if too many for the length of the word."""
    if one == other:
        return 0
    allowed = 0 if min(len(one), len(other)) < 5 else 1 if min(len(one), len(other)) < 9 else 2
    if abs(len(one) - len(other)) > allowed or not allowed or max(len(one), len(other)) > 60:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1] if row[-1] <= allowed else None
