"""The graphs in memory: read when first asked for, exact by the change log, few enough to fit.

Who holds a graph sees everything that was answered before, with all that follows from it, and sees nothing
change meanwhile. What follows is drawn in memory at once; it is written down by `write_down`, a little later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import trio

from mimo.services.graph.facts import Fact, Facts, Key
from mimo.services.graph.inference import MOST_CONCLUSIONS, Inference
from mimo.services.graph.rules import RuleSet, rule_of, rules_of_vocabulary
from mimo.services.graph.views import InFile, InMemory, View, Wanted
from mimo.services.graph.vocabulary import Vocabulary
from mimo.storage.database import Database
from mimo.storage.triples.conclude import Conclusion, conclude, settle, withdraw
from mimo.storage.triples.triple import Lean, graph_row
from mimo.storage.triples.walk import Reading, Since, Snapshot, since, snapshot, visited

T = TypeVar("T")

# About 100 MB. A larger graph is walked in the file, and nothing is concluded from it.
MOST_IN_MEMORY = 100_000
# Of one graph that changed so often meanwhile, it is as quick to read all of it again.
MOST_CHANGES = 20_000
# So many facts from which nothing follows are noted without a thread. From a single one of which something does,
# everything may follow.
NOTED_AT_ONCE = 8
# Written together; others write in between.
PORTION = 2_000
# The row of a premise that was not written, because one of its own had fallen.
NOWHERE = 1 << 62


@dataclass(slots=True, eq=False)
class Loaded:
    """One graph, as of the change `seen`."""

    facts: Facts
    inference: Inference
    seen: int
    version: int
    own: Sequence[tuple[str, float]]  # the rules that somebody taught
    stale: bool  # everything is to be drawn anew
    settled: bool  # what follows is written down


@dataclass(frozen=True, slots=True)
class Concluded:
    """What a round of inference has changed in the file."""

    drawn: int
    withdrawn: int
    bounded: bool
    total: int


class _Slot:
    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.loaded: Loaded | None = None
        self.too_large = False


class Graphs:
    def __init__(
        self,
        database: Database,
        vocabulary: Callable[[], Vocabulary],
        *,
        most: int = MOST_IN_MEMORY,
        most_conclusions: int = MOST_CONCLUSIONS,
    ) -> None:
        self._database = database
        self._vocabulary = vocabulary
        self._most = most
        self._most_conclusions = most_conclusions
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._limiter = trio.CapacityLimiter(1)

    @asynccontextmanager
    async def held(self, graph: str) -> AsyncGenerator[Loaded | None]:
        """The graph as of now; None when it is too large for memory."""
        slot = self._slots.setdefault(graph, _Slot())
        self._slots.move_to_end(graph)
        async with slot.lock:
            loaded = await self._current(graph, slot)
            if loaded is not None and (
                loaded.stale or loaded.inference.work.fresh or loaded.inference.work.lost
            ):
                await self._draw(slot, loaded)
            yield loaded

    async def ask(self, graph: str, wanted: Wanted, question: Callable[[View], T]) -> T:
        """The answer to a question, in memory or from the file; in a thread, for it may take some milliseconds."""

        def in_file(reading: Reading) -> T:
            return question(InFile(reading, wanted))

        if wanted.known_at is not None:  # the memory has only what is believed now
            return await self._database.read(visited, graph, in_file, wanted.known_at)
        async with self.held(graph) as loaded:
            if loaded is None:
                return await self._database.read(visited, graph, in_file)
            view = InMemory(loaded.facts, wanted)
            return await trio.to_thread.run_sync(question, view, limiter=self._limiter)

    async def write_down(self, graph: str, now: int, *, anew: bool = False) -> Concluded:
        """All that follows from the graph as it is now is in the file when this returns.

        Raises:
            StorageFull, Unavailable: some of it may be written; nothing false is.
        """
        slot = self._slots.setdefault(graph, _Slot())
        async with slot.lock:
            loaded = await self._current(graph, slot)
            if loaded is None:
                row = await self._database.read(graph_row, graph)
                if row is not None and not (row.bounded and row.version == row.concluded):
                    await self._database.write(settle, graph, row.version, True)
                return Concluded(0, 0, True, 0)
            loaded.stale = loaded.stale or anew
            await self._draw(slot, loaded)
            try:
                return await self._write(graph, loaded, now)
            except BaseException:
                slot.loaded = None  # what is written and what is not is read from the file
                raise

    def forget(self, graph: str) -> None:
        """What is in memory is read anew when it is next asked for."""
        if (slot := self._slots.get(graph)) is not None:
            slot.loaded, slot.too_large = None, False

    @property
    def in_memory(self) -> int:
        """How many facts are in memory."""
        return sum(len(slot.loaded.facts) for slot in self._slots.values() if slot.loaded is not None)

    async def _current(self, graph: str, slot: _Slot) -> Loaded | None:
        if slot.loaded is not None and slot.loaded.seen == self._database.changed.last:
            return slot.loaded
        if slot.loaded is not None:
            news = await self._database.read(since, graph, slot.loaded.seen, MOST_CHANGES)
            if news is not None and self._follow(slot.loaded, news):
                if len(slot.loaded.facts) <= self._most + self._most_conclusions:
                    return slot.loaded
                slot.too_large = True
            slot.loaded = None
        if slot.too_large:
            return None
        await self._load(graph, slot)
        return slot.loaded

    async def _load(self, graph: str, slot: _Slot) -> None:
        found = await self._database.read(snapshot, graph, self._most)
        if found is None:
            slot.loaded = None
        else:
            slot.loaded = await trio.to_thread.run_sync(
                _loaded, found, self._vocabulary(), self._most_conclusions, limiter=self._limiter
            )
        slot.too_large = slot.loaded is None
        for name, other in list(self._slots.items()):  # the one that was not asked for longest leaves first
            if self.in_memory <= self._most:
                break
            if other is not slot and not other.lock.locked():
                del self._slots[name]

    def _follow(self, loaded: Loaded, news: Since) -> bool:
        """What has happened since; false when it cannot be told from the log alone."""
        inference = loaded.inference
        by_id = loaded.facts.by_id
        if any(row.origin != "asserted" and row.id not in by_id for row in news.triples):
            return False  # somebody else's conclusion: a file from elsewhere
        if news.rules != loaded.own:
            inference.rules = rule_set(self._vocabulary(), news.rules)
            loaded.own, loaded.stale = news.rules, True
        live = {row.id: row for row in news.triples}
        for id_ in news.ids:
            fact, row = by_id.get(id_), live.get(id_)
            if fact is None or (row is not None and fact.key == _key(row)):
                continue
            if fact.said_id == id_:
                inference.unsay(fact)
            else:
                inference.forget_row(id_)
            by_id.pop(id_, None)
        for row in news.triples:
            fact = by_id.get(row.id)
            if row.origin != "asserted":
                continue
            _note_types(loaded.facts, row)
            if fact is None or fact.said != row.confidence or fact.said_expires != row.expires_at:
                inference.say(_fact(row), row.id, row.confidence, row.expires_at)
        loaded.seen = news.seq
        if news.row is not None and news.row.version != loaded.version:
            loaded.version, loaded.settled = news.row.version, False
        return True

    async def _draw(self, slot: _Slot, loaded: Loaded) -> None:
        inference = loaded.inference
        try:
            if loaded.stale:
                await trio.to_thread.run_sync(inference.draw_all, limiter=self._limiter)
                loaded.stale = False
            elif inference.work.few(NOTED_AT_ONCE, inference.rules.set_off_by):
                inference.draw()
            else:
                await trio.to_thread.run_sync(inference.draw, limiter=self._limiter)
        except BaseException:
            slot.loaded = None
            raise

    async def _write(self, graph: str, loaded: Loaded, now: int) -> Concluded:
        work, version = loaded.inference.work, loaded.version
        gone, changed = list(work.withdrawn.values()), list(work.changed.values())
        if not gone and not changed and loaded.settled:
            await trio.lowlevel.checkpoint()
            return Concluded(0, 0, loaded.inference.bounded, loaded.inference.drawn)
        work.withdrawn.clear()
        work.changed.clear()
        for at in range(0, len(changed), PORTION):
            portion = changed[at : at + PORTION]
            ids = await self._database.write(conclude, graph, _conclusions(portion, loaded.facts.types), now)
            for fact, id_ in zip(portion, ids, strict=True):
                if fact.drawn_id is not None and fact.drawn_id != id_:
                    loaded.facts.by_id.pop(fact.drawn_id, None)
                fact.drawn_id = id_
                if id_ is not None:
                    loaded.facts.by_id[id_] = fact
        # Last, when nothing that is believed stands on them any more.
        for at in range(0, len(gone), PORTION):
            await self._database.write(withdraw, gone[at : at + PORTION], frees=True)
        await self._database.write(settle, graph, version, loaded.inference.bounded)
        loaded.settled = True
        return Concluded(len(changed), len(gone), loaded.inference.bounded, loaded.inference.drawn)


def _loaded(found: Snapshot, vocabulary: Vocabulary, most_conclusions: int) -> Loaded:
    row, own = found.row, found.rules
    facts = Facts()
    drawn: list[Lean] = []
    for lean in found.triples:
        if lean.origin != "asserted":
            drawn.append(lean)
            continue
        _note_types(facts, lean)
        fact = _fact(lean)
        fact.said, fact.said_id, fact.said_expires = lean.confidence, lean.id, lean.expires_at
        fact.confidence = lean.confidence
        facts.retime(fact, lean.expires_at)
        facts.by_id[lean.id] = fact
        facts.put(fact)
    outdone: dict[Key, int] = {}
    stale = row is not None and row.version != row.concluded
    for lean in drawn:
        fact = facts.by_key.get(_key(lean)) or _fact(lean)
        if fact.said >= lean.confidence:  # said as surely since it was concluded
            outdone[fact.key] = lean.id
            continue
        facts.by_id[lean.id] = fact
        fact.drawn_id, fact.confidence, fact.rule = lean.id, lean.confidence, lean.rule
        facts.retime(fact, lean.expires_at)
        facts.put(fact)
    for lean in drawn:
        if (fact := facts.by_id.get(lean.id)) is None:
            continue
        premises = [facts.by_id.get(id_) for id_ in found.supports.get(lean.id, ())]
        if None in premises:
            stale = True
            continue
        fact.premises = tuple(each for each in premises if each is not None)
        for premise in fact.premises:
            premise.uses = premise.uses or []
            premise.uses.append(fact)
    inference = Inference(facts, rule_set(vocabulary, own), most=most_conclusions)
    inference.bounded = row is not None and row.bounded
    inference.work.withdrawn = outdone
    return Loaded(facts, inference, found.seq, 0 if row is None else row.version, own, stale, not stale)


def rule_set(vocabulary: Vocabulary, own: Sequence[tuple[str, float]]) -> RuleSet:
    """The vocabulary's rules and a graph's own."""
    mine = [rule_of(text, confidence) for text, confidence in own]
    return RuleSet([*rules_of_vocabulary(vocabulary, [each.name for each in vocabulary]), *mine])


def _key(row: Lean) -> tuple[str, str, str, int | None, int | None]:
    return row.subject, row.predicate, row.object, row.valid_from, row.valid_to


def _fact(row: Lean) -> Fact:
    return Fact(row.subject, row.predicate, row.object, row.valid_from, row.valid_to)


def _note_types(facts: Facts, row: Lean) -> None:
    if row.subject_type:
        facts.types.setdefault(row.subject, row.subject_type)
    if row.object_type:
        facts.types.setdefault(row.object, row.object_type)


def _conclusions(portion: Iterable[Fact], types: dict[str, str]) -> list[Conclusion]:
    place: dict[int, int] = {}
    found: list[Conclusion] = []
    for at, fact in enumerate(portion):
        place[id(fact)] = at
        premises = tuple(-1 - place[id(p)] if id(p) in place else p.id or NOWHERE for p in fact.premises)
        found.append(
            Conclusion(
                fact.drawn_id, fact.subject, fact.predicate, fact.object, types.get(fact.subject, ""),
                types.get(fact.object, ""), fact.confidence, fact.since, fact.until, fact.expires, fact.rule or "",
                premises,
            )
        )  # fmt: skip
    return found
