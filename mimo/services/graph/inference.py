"""What follows from facts by rules: drawn surest first, kept with its premises, taken back when these fall.

Each conclusion keeps the one derivation that makes it surest. A premise is never less sure than what follows
from it, and what exists is replaced only by something strictly surer, so no conclusion ever stands on itself.
Therefore, when facts fall, exactly those fall with them whose derivation has one of them in it; what can be
derived from the rest is looked for backward, rule by rule, and drawn again.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mimo.services.graph.facts import Fact, Facts, Key
from mimo.services.graph.rules import Clause, Rule, RuleSet

# What is less sure than this is not worth its row.
LEAST_CONFIDENCE = 0.01
# A closure can be the square of what was said.
MOST_CONCLUSIONS = 100_000
# One round tries so many combinations; a rule whose parts share no variable would try all of them.
MOST_TRIED = 2_000_000

Bound: TypeAlias = "list[str | None]"


@dataclass(slots=True)
class Work:
    """What has changed since the last round, and what was as it was written down."""

    fresh: list[Fact] = field(default_factory=list[Fact])
    lost: dict[Key, Fact] = field(default_factory=dict[Key, Fact])
    # Facts whose conclusion is different from what is written, with the row that held it.
    changed: dict[Key, Fact] = field(default_factory=dict[Key, Fact])
    withdrawn: dict[Key, int] = field(default_factory=dict[Key, int])

    def few(self, most: int, consequential: Container[str]) -> bool:
        """Whether there is little to do: nothing was lost, and the few fresh facts are of predicates without rules."""
        return (
            not self.lost
            and len(self.fresh) <= most
            and not any(fact.predicate in consequential for fact in self.fresh)
        )


class Inference:
    """The conclusions of one graph. `facts` shows what was said at once, and what follows after `draw`."""

    def __init__(self, facts: Facts, rules: RuleSet, *, most: int = MOST_CONCLUSIONS) -> None:
        self.facts = facts
        self.rules = rules
        self.bounded = False
        self.drawn = sum(1 for fact in facts if fact.premises)
        self.work = Work()
        self._most = most
        self._heap: list[tuple[float, int, Key, Fact | None, str, tuple[Fact, ...]]] = []
        self._best: dict[Key, float] = {}
        self._said: dict[Key, Fact] = {}  # that have fallen, and whose key may be drawn before they are
        self._count = itertools.count()
        self._tried = 0

    def say(self, fact: Fact, id_: int, confidence: float, expires: int | None) -> None:
        """A row of what was said, new or as it is now. `fact` is only a key if one like it is there."""
        fallen = self.facts.by_id.get(id_)  # out of the graph for now, and to come back as itself
        if fallen is None or fallen.key != fact.key:
            fallen = fact
        here = self.facts.by_key.get(fact.key, fallen)
        if here.said_id is not None and confidence < here.said:
            self.unsay(here)
            here = self.facts.by_key.get(fact.key, fact)
        here.said, here.said_id, here.said_expires = confidence, id_, expires
        self.facts.by_id[id_] = here
        if confidence >= here.confidence:
            if here.premises:  # what stands on it stands on another row from now on
                self._rewrite(here)
            self._withdraw(here)
            here.confidence, here.rule, here.premises = confidence, None, ()
            self.facts.retime(here, expires)
            self.facts.put(here)
            self.work.fresh.append(here)

    def unsay(self, fact: Fact) -> None:
        """Nobody says so any more. What has this as its reason is out at once."""
        if fact.said_id is not None:
            self.facts.by_id.pop(fact.said_id, None)
        fact.said, fact.said_id, fact.said_expires = 0.0, None, None
        if not fact.premises:
            self.fell([fact])

    def forget_row(self, id_: int) -> None:
        """The row of a conclusion is gone from the file: a premise fell."""
        fact = self.facts.by_id.pop(id_, None)
        if fact is None or fact.drawn_id != id_:
            return
        fact.drawn_id = None
        if fact.premises:
            self.fell([fact])

    def fell(self, facts: Iterable[Fact]) -> None:
        """These have lost their reason, and with them what was concluded from them."""
        waiting = list(facts)
        while waiting:
            fact = waiting.pop()
            if not fact.confidence:
                continue
            waiting += [each for each in fact.uses or () if fact in each.premises]
            self._withdraw(fact)
            fact.confidence, fact.rule, fact.premises, fact.uses = 0.0, None, (), None
            self.facts.take(fact)
            self.work.lost[fact.key] = fact
            if fact.said_id is not None:  # still said, if less surely
                self.work.fresh.append(fact)

    def draw_all(self) -> None:
        """Everything anew, whatever was drawn before. What comes out as it is written is not written again."""
        before = {
            fact.key: (fact.confidence, fact.expires, fact.rule, [each.id for each in fact.premises])
            for fact in self.facts
            if fact.drawn_id is not None and fact.key not in self.work.changed
        }
        said = [fact for fact in self.facts if fact.said_id is not None]
        for fact in self.facts:
            if fact.premises:
                self._withdraw(fact)
            fact.confidence, fact.rule, fact.premises, fact.uses = 0.0, None, (), None
        self.facts.clear()
        self.bounded, self.drawn = False, 0
        self.work.lost, self.work.fresh = {}, said
        self.draw()
        for key, fact in list(self.work.changed.items()):
            now = (fact.confidence, fact.expires, fact.rule, [each.id for each in fact.premises])
            if before.get(key) == now:
                del self.work.changed[key]

    def draw(self) -> None:
        """All that follows from what has changed."""
        self._tried = 0
        lost, fresh = self.work.lost, self.work.fresh
        self.work.lost, self.work.fresh = {}, []
        for fact in fresh:
            if fact.said_id is not None and fact.said > fact.confidence:
                self._said[fact.key] = fact
                self._offer(fact.key, fact.said, fact, "", ())
            elif fact.confidence and not fact.premises:
                self._follow(fact)
        for key in lost:
            self._derive(key)
        while self._heap:
            less, _, key, fact, rule, premises = heapq.heappop(self._heap)
            self._settle(key, -less, fact, rule, premises)
        self._best.clear()
        self._said.clear()

    def _settle(
        self, key: Key, confidence: float, fact: Fact | None, rule: str, premises: tuple[Fact, ...]
    ) -> None:
        """The surest that is left to be drawn is drawn."""
        here = self.facts.by_key.get(key)
        if here is not None and here.confidence >= confidence:
            return
        if here is None:
            here = fact or self._said.get(key) or Fact(*key)
        if premises:
            if not here.premises:
                if self.drawn >= self._most:
                    self.bounded = True
                    return
                self.drawn += 1
            here.expires = _soonest(premises)
            here.rule, here.premises = rule, premises
            if here.drawn_id is None and key in self.work.withdrawn:
                here.drawn_id = self.work.withdrawn.pop(key)
                self.facts.by_id[here.drawn_id] = here
            self.work.changed.pop(key, None)  # in the order in which it was drawn: premises first
            self.work.changed[key] = here
            for premise in premises:
                if premise.uses is None:
                    premise.uses = []
                premise.uses.append(here)
        else:
            self._withdraw(here)
            here.rule, here.premises, here.expires = None, (), here.said_expires
        here.confidence = confidence
        self.facts.retime(here, here.expires)
        self.facts.put(here)
        self._follow(here)

    def _withdraw(self, fact: Fact) -> None:
        """What was concluded is not, for now."""
        if fact.premises:
            self.drawn -= 1
        key = fact.key
        self.work.changed.pop(key, None)
        if fact.drawn_id is not None:
            self.work.withdrawn[key] = fact.drawn_id
            self.facts.by_id.pop(fact.drawn_id, None)
            fact.drawn_id = None

    def _rewrite(self, fact: Fact) -> None:
        """What was concluded from it is to be written again, for its row is another one."""
        for each in fact.uses or ():
            if each.confidence and fact in each.premises:
                self.work.changed.setdefault(each.key, each)

    def _follow(self, fact: Fact) -> None:
        """Every derivation in which this fact is one of the premises, and the others are drawn already."""
        for rule, at in self.rules.set_off_by.get(fact.predicate, ()):
            bound: Bound = [None] * rule.variables
            clause = rule.body[at]
            if not (_bind(bound, clause.subject, fact.subject) and _bind(bound, clause.object, fact.object)):
                continue
            rest = [(n, each) for n, each in enumerate(rule.body) if n != at]
            found: list[Fact] = [fact] * len(rule.body)
            for premises in self._join(rest, bound, found):
                self._conclude(rule, bound, tuple(premises))

    def _derive(self, key: Key) -> None:
        """Every derivation of one conclusion."""
        subject, predicate, object_, _, _ = key
        for rule in self.rules.concluding.get(predicate, ()):
            bound: Bound = [None] * rule.variables
            if _bind(bound, rule.head.subject, subject) and _bind(bound, rule.head.object, object_):
                found: list[Fact] = [_NOBODY] * len(rule.body)
                for premises in self._join(list(enumerate(rule.body)), bound, found):
                    self._conclude(rule, bound, tuple(premises))

    def _join(
        self, clauses: Sequence[tuple[int, Clause]], bound: Bound, found: list[Fact]
    ) -> Iterator[list[Fact]]:
        """Facts for all of the clauses, each in its place; `bound` holds the variables while they are looked at."""
        if not clauses:
            yield found
            return
        if len(clauses) > 1:  # the narrowest first
            clauses = sorted(clauses, key=lambda each: self.facts.size(*_pattern(each[1], bound)))
        (place, clause), rest = clauses[0], clauses[1:]
        for fact in self.facts.match(*_pattern(clause, bound)):
            self._tried += 1
            if self._tried > MOST_TRIED:
                self.bounded = True
                return
            free: list[int] = []
            for term, name in ((clause.subject, fact.subject), (clause.object, fact.object)):
                if isinstance(term, int):
                    if bound[term] is None:
                        bound[term] = name
                        free.append(term)
                    elif bound[term] != name:
                        break
            else:
                found[place] = fact
                yield from self._join(rest, bound, found)
            for term in free:
                bound[term] = None

    def _conclude(self, rule: Rule, bound: Bound, premises: tuple[Fact, ...]) -> None:
        head = rule.head
        subject = bound[head.subject] if isinstance(head.subject, int) else head.subject
        object_ = bound[head.object] if isinstance(head.object, int) else head.object
        if subject is None or object_ is None or subject == object_:
            return  # that a thing is related to itself tells nobody anything
        confidence = rule.confidence
        since: int | None = None
        until: int | None = None
        for fact in premises:
            confidence *= fact.confidence
            if fact.timed:
                if fact.since is not None and (since is None or fact.since > since):
                    since = fact.since
                if fact.until is not None and (until is None or fact.until < until):
                    until = fact.until
        if since is not None and until is not None and since >= until:
            return  # the premises never held at the same time
        self._offer((subject, head.predicate, object_, since, until), confidence, None, rule.text, premises)

    def _offer(
        self, key: Key, confidence: float, fact: Fact | None, rule: str, premises: tuple[Fact, ...]
    ) -> None:
        if confidence < LEAST_CONFIDENCE and premises:
            return
        here = self.facts.by_key.get(key)
        if here is not None and here.confidence >= confidence:
            return
        if confidence > self._best.get(key, 0.0):
            self._best[key] = confidence
            heapq.heappush(self._heap, (-confidence, next(self._count), key, fact, rule, premises))


def _bind(bound: Bound, term: int | str, name: str) -> bool:
    if isinstance(term, str):
        return term == name
    if bound[term] is None:
        bound[term] = name
    return bound[term] == name


def _pattern(clause: Clause, bound: Bound) -> tuple[str | None, str, str | None]:
    subject = bound[clause.subject] if isinstance(clause.subject, int) else clause.subject
    return (
        subject,
        clause.predicate,
        bound[clause.object] if isinstance(clause.object, int) else clause.object,
    )


_NOBODY = Fact("", "", "")


def _soonest(premises: Sequence[Fact]) -> int | None:
    return min((fact.expires for fact in premises if fact.expires is not None), default=None)
