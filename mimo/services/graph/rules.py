"""Rules: `x manages y, y manages z -> x senior_to z`. Those of the vocabulary, and those that somebody taught.

A rule has variables for things and names for predicates, and every variable of what it concludes stands in
what it begins with: it makes no new things, so every set of rules comes to an end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimo.errors import InvalidArguments
from mimo.services.graph.vocabulary import Vocabulary, normalised

MOST_CLAUSES = 5
MOST_RULES = 200
LONGEST_RULE = 1_000
# A thing, a variable, or a quoted name of several words.
TERM = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s,"'][^\s,]*))""")
VARIABLE = re.compile(r"\?\w+|[a-z]\d?")


@dataclass(frozen=True, slots=True)
class Clause:
    """A variable is a number, a thing its name."""

    subject: int | str
    predicate: str
    object: int | str


@dataclass(frozen=True, slots=True)
class Rule:
    """`text` is what it is called: for a rule of the vocabulary, a property."""

    text: str
    body: tuple[Clause, ...]
    head: Clause
    variables: int
    confidence: float = 1.0


def rule_of(text: str, confidence: float = 1.0) -> Rule:
    """A rule as people write it. A variable is one letter, perhaps with a digit, or begins with a question mark.

    Raises:
        InvalidArguments: it is not understood, or concludes about what it does not begin with.
    """
    if len(text) > LONGEST_RULE:
        raise InvalidArguments(f"a rule has at most {LONGEST_RULE} characters (got {len(text)})")
    sides = re.split(r"->|=>|→|⇒", text)
    if len(sides) != 2:
        raise _unclear(text, "it needs one arrow")
    names: dict[str, int] = {}
    body = [_clause(text, part, names) for part in _parts(sides[0])]
    bound = len(names)
    heads = [_clause(text, part, names) for part in _parts(sides[1])]
    if not body or len(body) > MOST_CLAUSES:
        raise _unclear(text, f"before the arrow stand 1 to {MOST_CLAUSES} facts")
    if len(heads) != 1:
        raise _unclear(text, "after the arrow stands one fact; write a rule for each")
    loose = [name for name, number in names.items() if number >= bound]
    if loose:
        raise _unclear(text, f"{loose[0]} stands after the arrow only: bind it before the arrow")
    if not 0 < confidence <= 1:
        raise InvalidArguments(f"a rule's confidence is above 0 and at most 1 (got {confidence})")
    return Rule(spelled(body, heads[0], names), tuple(body), heads[0], bound, confidence)


def spelled(body: Sequence[Clause], head: Clause, names: dict[str, int]) -> str:
    """One spelling for every way of writing the same rule."""
    called = {number: name for name, number in names.items()}

    def term(of: int | str) -> str:
        if isinstance(of, int):
            return called[of]
        return f'"{of}"' if VARIABLE.fullmatch(of) or not re.fullmatch(r"[^\s,\"']+", of) else of

    def clause(of: Clause) -> str:
        return f"{term(of.subject)} {of.predicate} {term(of.object)}"

    return f"{', '.join(map(clause, body))} -> {clause(head)}"


def rules_of_vocabulary(vocabulary: Vocabulary, predicates: Iterable[str]) -> list[Rule]:
    """The properties of predicates as rules: of those that can matter where these occur."""
    found: dict[str, Rule] = {}
    waiting, seen = list(predicates), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        told = vocabulary[name]
        p = told.name
        if told.transitive:
            body = (Clause(0, p, 1), Clause(1, p, 2))
            found[f"{p} is transitive"] = Rule(f"{p} is transitive", body, Clause(0, p, 2), 3)
        if told.symmetric:
            text = f"{p} is symmetric"
            found[text] = Rule(text, (Clause(0, p, 1),), Clause(1, p, 0), 2)
        if told.inverse:
            q = told.inverse
            for one, other in ((p, q), (q, p)):
                text = f"{one} is the inverse of {other}"
                found[text] = Rule(text, (Clause(0, other, 1),), Clause(1, one, 0), 2)
            waiting.append(q)
        for wider in told.implies:
            text = f"{p} implies {wider}"
            found[text] = Rule(text, (Clause(0, p, 1),), Clause(0, wider, 1), 2)
            waiting.append(wider)
        if name == "instance_of":  # the one property that speaks of two predicates
            text = "an instance of a subclass is an instance of the class"
            body = (Clause(0, "instance_of", 1), Clause(1, "subclass_of", 2))
            found[text] = Rule(text, body, Clause(0, "instance_of", 2), 3)
    return list(found.values())


class RuleSet:
    """Rules by what can set them off, and by what they conclude."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.set_off_by: dict[str, list[tuple[Rule, int]]] = {}
        self.concluding: dict[str, list[Rule]] = {}
        for rule in rules:
            self.concluding.setdefault(rule.head.predicate, []).append(rule)
            for at, clause in enumerate(rule.body):
                self.set_off_by.setdefault(clause.predicate, []).append((rule, at))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleSet) and set(self.rules) == set(other.rules)

    def __hash__(self) -> int:
        return hash(frozenset(self.rules))


def _parts(text: str) -> list[str]:
    """Between commas (and `and`), but not inside quotes."""
    parts, part, quote = list[str](), "", ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == ",":
            parts.append(part)
            part = ""
            continue
        part += char
    return [each for each in [*parts, part] if each.strip()]


def _clause(rule: str, text: str, names: dict[str, int]) -> Clause:
    terms: list[tuple[str, bool]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = TERM.match(text, at)
        if match is None:
            raise _unclear(rule, "a quote is not closed")
        quoted = match[3] is None
        terms.append(((match[1] or match[2] or "") if quoted else match[3], quoted))
        at = match.end()
    if len(terms) != 3:
        raise _unclear(
            rule, f"{text.strip()[:60]!r} is not subject, predicate, object (quote names with blanks)"
        )
    (subject, plain_s), (predicate, _), (object_, plain_o) = terms
    if VARIABLE.fullmatch(predicate) and predicate.startswith("?"):
        raise _unclear(rule, "a predicate cannot be a variable")
    if not subject or not object_:
        raise _unclear(rule, "a name is empty")

    def term(word: str, quoted: bool) -> int | str:
        if quoted or not VARIABLE.fullmatch(word):
            return word
        return names.setdefault(word, len(names))

    first = term(subject, plain_s)
    return Clause(first, normalised(predicate), term(object_, plain_o))


def _unclear(text: str, why: str) -> InvalidArguments:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return InvalidArguments(
        f"the rule {shown!r} is not understood: {why}. A rule looks like"
        " 'x manages y, y manages z -> x senior_to z'",
        fields=["rules"],
    )
