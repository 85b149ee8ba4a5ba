"""Facts written: many in one transaction; what is said again is not written twice, what is contradicted ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import apsw

from mimo.errors import InvalidArguments, NotFound
from mimo.storage.engrams.engram import missing_of
from mimo.storage.sql import rows, run, run_many, value
from mimo.storage.triples.changes import add_rule, rules_of, unsupport
from mimo.storage.triples.names import (
    add_alias,
    give_types,
    make_entities,
    name_key,
    named,
    require_graph,
)

# "raised": it was known, and is surer now. "torn": a name means several things, and nothing was written.
Done: TypeAlias = Literal["added", "known", "raised", "torn"]


@dataclass(frozen=True, slots=True)
class Saying:
    """A fact that is to be written."""

    subject: str
    predicate: str
    object: str
    subject_type: str = ""
    object_type: str = ""
    confidence: float = 1.0
    source: str = ""
    speaker: str = ""
    evidence: str = ""
    engram_id: int | None = None
    valid_from: int | None = None
    valid_to: int | None = None
    expires_at: int | None = None
    metadata: str | None = None
    functional: bool = False  # a subject has one object of this predicate at a time


INSERT = (
    "INSERT INTO semantic_triples (id, subject, subject_type, predicate, object, object_type, graph_id, confidence,"
    " source, valid_from, valid_to, expires_at, metadata, speaker, evidence, engram_id, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def teach(db: apsw.Connection, graph: str, sayings: Sequence[Saying], now: int) -> list[list[Any]]:
    """Writes them all, and says what became of each:
    [id, done, subject, object, superseded ids, candidates, predicate].

    Mentions become what has that name or alias, else something new. A mention that could be several things is
    told with its candidates, and its fact is not written.
    """
    require_graph(db, graph, now)
    means, torn, fresh = _meant(db, graph, sayings, now)
    writing = _Writing(db, graph, now, fresh)
    answers: list[list[Any]] = []
    for saying in sayings:
        candidates = torn.get(saying.subject) or torn.get(saying.object)
        if candidates:
            answers.append(
                [None, "torn", saying.subject, saying.object, [], list(candidates), saying.predicate]
            )
            continue
        answers.append(writing.write(saying, means[saying.subject], means[saying.object]))
    writing.flush()
    if writing.changed:
        run(db, "UPDATE graphs SET version = version + 1 WHERE name = ?", (graph,))
    return answers


def teach_all(
    db: apsw.Connection,
    graphs: Sequence[str],
    sayings: Sequence[Saying],
    rules: Sequence[tuple[str, float]],
    aliases: tuple[str | None, tuple[str, ...]],
    speaker: str,
    now: int,
    most_rules: int,
) -> list[list[list[Any]]]:
    """Facts, rules and other names of a thing, in each of the graphs, all or nothing.

    Raises:
        NotFound: a memory that a fact is said to come from is not there.
        InvalidArguments: too many rules, or the names are of what could be several things.
    """
    if missing := missing_of(db, [each.engram_id for each in sayings if each.engram_id is not None]):
        raise NotFound(f"there is no memory behind {len(missing)} of the facts; nothing was taught")
    told: list[list[list[Any]]] = []
    for graph in graphs:
        require_graph(db, graph, now)
        told.append(teach(db, graph, sayings, now))
        for text, confidence in rules:
            add_rule(db, graph, text, confidence, speaker, now)
        if len(rules_of(db, graph)) > most_rules:
            raise InvalidArguments(
                f"a graph has at most {most_rules} rules; retract some first", fields=["rules"]
            )
        subject, others = aliases
        if subject is not None and others:
            _name(db, graph, subject, others, now)
    return told


def _name(db: apsw.Connection, graph: str, subject: str, others: Sequence[str], now: int) -> None:
    known = named(db, graph, [subject])
    if subject in known.torn:
        raise InvalidArguments(
            f"{subject[:60]!r} could be several things; give its exact name", fields=["subject"]
        )
    name = known.sure.get(subject)
    if name is None:
        name = subject
        make_entities(db, graph, [(name, "")], now)
    for alias in others:
        add_alias(db, graph, name, alias)


class _Writing:
    """Rows on their way: those that need nothing of the file are inserted together."""

    def __init__(self, db: apsw.Connection, graph: str, now: int, fresh: frozenset[str]) -> None:
        self._db, self._graph, self._now, self._fresh = db, graph, now, fresh
        self._next = cast(
            "int",
            value(
                db, "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'semantic_triples'"
            ),
        )
        self._waiting: list[tuple[Any, ...]] = []
        self._keys: set[tuple[Any, ...]] = set()  # of what was written here
        self._said: set[tuple[str, str]] = set()  # its subjects and predicates
        self.changed = False

    def write(self, saying: Saying, subject: str, object_: str) -> list[Any]:
        since, until = saying.valid_from, saying.valid_to
        pair, key = (subject, saying.predicate), (subject, saying.predicate, object_, since, until)
        if saying.functional:
            may_be_there = subject not in self._fresh or pair in self._said
        else:  # most facts of a batch speak of something new, and need not be looked for
            may_be_there = key in self._keys or not (subject in self._fresh or object_ in self._fresh)
        ends: list[tuple[int, int]] = []
        if may_be_there:
            if key in self._keys or (saying.functional and pair in self._said):
                self.flush()
            known = self._known(saying, subject, object_)
            if known is not None:
                return [known[0], self._again(saying, *known), subject, object_, [], [], saying.predicate]
            if saying.functional:
                since, until, ends = self._timeline(saying, subject)
        id_ = self._next
        self._next += 1
        self._waiting.append(
            (
                id_, subject, saying.subject_type, saying.predicate, object_, saying.object_type, self._graph,
                saying.confidence, saying.source, since, until, saying.expires_at, saying.metadata,
                saying.speaker, saying.evidence, saying.engram_id, self._now,
            )
        )  # fmt: skip
        self._keys |= {key, (subject, saying.predicate, object_, since, until)}
        self._said.add(pair)
        if ends:
            self.flush()
            self._end([(old, at, id_) for old, at in ends])
        return [id_, "added", subject, object_, [old for old, _ in ends], [], saying.predicate]

    def flush(self) -> None:
        if self._waiting:
            run_many(self._db, INSERT, self._waiting)
            self.changed = True
        self._waiting = []

    def _known(self, saying: Saying, subject: str, object_: str) -> tuple[int, float, int | None] | None:
        found = rows(
            self._db,
            "SELECT id, confidence, expires_at, valid_from, valid_to, closed_at FROM semantic_triples"
            " WHERE subject = ? AND predicate = ? AND object = ? AND +graph_id = ? AND retired_at IS NULL"
            " AND origin = 'asserted'",
            (subject, saying.predicate, object_, self._graph),
        )
        for id_, confidence, expires, since, until, _ in found:
            same = since == saying.valid_from and until == saying.valid_to
            undated = saying.valid_from is None and saying.valid_to is None
            holds = (since is None or since <= self._now) and (until is None or until > self._now)
            if same or (saying.functional and undated and holds):
                return id_, confidence, expires
        return None

    def _again(self, saying: Saying, id_: int, confidence: float, expires: int | None) -> Done:
        """What was known is said again: as sure as the surer saying, for as long as the longer one."""
        run(
            self._db,
            "INSERT INTO triple_origins (triple_id, source, speaker, evidence, engram_id, said_at)"
            " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM semantic_triples WHERE id = ?1"
            "  AND source = ?2 AND speaker = ?3 AND evidence = ?4 AND engram_id IS ?5)"
            " AND NOT EXISTS (SELECT 1 FROM triple_origins WHERE triple_id = ?1 AND source = ?2 AND speaker = ?3"
            "  AND evidence = ?4 AND engram_id IS ?5)",
            (id_, saying.source, saying.speaker, saying.evidence, saying.engram_id, self._now),
        )
        until = None if expires is None or saying.expires_at is None else max(expires, saying.expires_at)
        if saying.confidence <= confidence and until == expires:
            return "known"
        run(
            self._db,
            "UPDATE semantic_triples SET confidence = ?, expires_at = ? WHERE id = ?",
            (max(saying.confidence, confidence), until, id_),
        )
        self.changed = True
        return "raised"

    def _timeline(self, saying: Saying, subject: str) -> tuple[int | None, int | None, list[tuple[int, int]]]:
        """When the new fact holds among its subject's others, and which of those it ends, at what time."""
        others = rows(
            self._db,
            "SELECT id, valid_from, valid_to FROM semantic_triples WHERE subject = ? AND predicate = ?"
            " AND +graph_id = ? AND retired_at IS NULL AND origin = 'asserted'"
            " AND (valid_to IS NULL OR valid_from IS NULL OR valid_to > valid_from) ORDER BY id",
            (subject, saying.predicate, self._graph),
        )
        since, until = saying.valid_from, saying.valid_to
        over = [
            (id_, begins, ends)
            for id_, begins, ends in others
            if (until is None or begins is None or begins < until)
            and (ends is None or ends > (self._now if since is None else since))
        ]
        if not over:
            return since, until, []
        begin = self._now if since is None else since
        ends_now: list[tuple[int, int]] = []
        for id_, begins, _ in over:
            if begins is None or begins <= begin:
                ends_now.append((id_, begin))
            elif until is None or until > begins:
                until = begins  # what begins later still begins then
        return begin, until, ends_now

    def _end(self, ends: Sequence[tuple[int, int, int]]) -> None:
        """Facts that another has ended: they stay, with the time of their end and the time at which it was learned."""
        run_many(
            self._db,
            "UPDATE semantic_triples SET held_to = valid_to, valid_to = max(?, coalesce(valid_from, ?)),"
            " closed_at = ?, superseded_by = ? WHERE id = ?",
            [(at, at, self._now, by, old) for old, at, by in ends],
        )
        unsupport(self._db, [old for old, _, _ in ends])
        self.changed = True


def _meant(
    db: apsw.Connection, graph: str, sayings: Sequence[Saying], now: int
) -> tuple[Mapping[str, str], Mapping[str, tuple[str, ...]], frozenset[str]]:
    """Each mention's name; what is torn; and the names that are new. These are made."""
    types: dict[str, str] = {}
    for each in sayings:
        types[each.subject] = types.get(each.subject) or each.subject_type
        types[each.object] = types.get(each.object) or each.object_type
    known = named(db, graph, types)
    means = dict(known.sure)
    # A name that comes up here for the first time stays out when its fact does.
    lost = {
        mention
        for each in sayings
        if each.subject in known.torn or each.object in known.torn
        for mention in (each.subject, each.object)
    } - {
        mention
        for each in sayings
        if each.subject not in known.torn and each.object not in known.torn
        for mention in (each.subject, each.object)
    }
    by_key: dict[str, str] = {}
    for mention in types:
        if mention not in means and mention not in known.torn and mention not in lost:
            means[mention] = by_key.setdefault(name_key(mention), mention)
    fresh = frozenset(by_key.values())
    make_entities(db, graph, [(name, types[name]) for name in by_key.values()], now)
    give_types(
        db, graph, {means[m]: t for m, t in types.items() if t and m in means and means[m] not in fresh}
    )
    return means, known.torn, fresh
