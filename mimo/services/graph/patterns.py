"""Questions with variables: `?who manages ?x, ?x uses Postgres`. Clauses are joined, the narrowest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mimo.errors import InvalidArguments
from mimo.services.graph.facts import Fact
from mimo.services.graph.rules import TERM
from mimo.services.graph.views import Exhausted, View
from mimo.services.graph.vocabulary import normalised

MOST_CLAUSES = 8


@dataclass(frozen=True, slots=True)
class Term:
    """A variable's name, or a thing."""

    text: str
    variable: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    subject: Term
    predicate: Term
    object: Term

    @property
    def terms(self) -> tuple[Term, Term, Term]:
        return self.subject, self.predicate, self.object


@dataclass(frozen=True, slots=True)
class Binding:
    """What the variables stand for, and the facts that say so, in the order of the clauses."""

    values: dict[str, str]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Found:
    bindings: tuple[Binding, ...]
    whole: bool


def patterns_of(text: str) -> list[Pattern]:
    """Clauses with commas between them; three terms each; a variable begins with a question mark, or is `_`.

    Raises:
        InvalidArguments: it is not understood.
    """
    clauses, terms, blank = list[Pattern](), list[Term](), 0
    for part in _split(text):
        terms.clear()
        at = 0
        while at < len(part):
            match = TERM.match(part, at)
            if match is None:
                raise _unclear(text, "a quote is not closed, or something is empty")
            word, quoted = (match[3], False) if match[3] is not None else (match[1] or match[2] or "", True)
            if not quoted and word == "_":
                blank += 1
                word = f"?_{blank}"
            terms.append(
                Term(word[1:], True) if not quoted and word[0] == "?" and len(word) > 1 else Term(word)
            )
            at = match.end()
        if len(terms) != 3:
            raise _unclear(
                text, f"{part.strip()[:60]!r} is not subject, predicate, object (quote names with blanks)"
            )
        subject, predicate, object_ = terms
        if not predicate.variable:
            predicate = Term(normalised(predicate.text))
        clauses.append(Pattern(subject, predicate, object_))
    if not 1 <= len(clauses) <= MOST_CLAUSES:
        raise _unclear(text, f"there are 1 to {MOST_CLAUSES} clauses")
    return clauses


def solve(view: View, clauses: Sequence[Pattern], limit: int) -> Found:
    """Up to `limit` ways to satisfy all of the clauses at once."""
    found: list[Binding] = []
    known: set[tuple[tuple[str, str], ...]] = set()
    facts: list[Fact | None] = [None] * len(clauses)
    try:
        for values in _join(view, list(enumerate(clauses)), {}, facts):
            shown = {name: each for name, each in values.items() if not name.startswith("_")}
            key = tuple(sorted(shown.items()))
            if key in known and shown:
                continue
            if len(found) == limit:
                return Found(tuple(found), False)
            known.add(key)
            found.append(Binding(shown, tuple(fact for fact in facts if fact is not None)))
    except Exhausted:
        return Found(tuple(found), False)
    return Found(tuple(found), True)


def _join(
    view: View, clauses: Sequence[tuple[int, Pattern]], values: dict[str, str], facts: list[Fact | None]
) -> Iterator[dict[str, str]]:
    if not clauses:
        yield values
        return
    if len(clauses) > 1:
        clauses = sorted(clauses, key=lambda each: view.size(*_known(each[1], values)))
    (place, clause), rest = clauses[0], clauses[1:]
    for fact in view.match(*_known(clause, values)):
        mine = dict(values)
        for term, name in zip(clause.terms, (fact.subject, fact.predicate, fact.object), strict=True):
            if term.variable and mine.setdefault(term.text, name) != name:
                break
        else:
            facts[place] = fact
            yield from _join(view, rest, mine, facts)


def _known(clause: Pattern, values: dict[str, str]) -> tuple[str | None, str | None, str | None]:
    one, two, three = (values.get(term.text) if term.variable else term.text for term in clause.terms)
    return one, two, three


def _split(text: str) -> Iterator[str]:
    part, quote = "", ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and (not part or part[-1].isspace()):  # not the apostrophe in O'Brien
            quote = char
        elif char in ",;\n":
            if part.strip():
                yield part.rstrip()
            part = ""
            continue
        part += char
    if part.strip():
        yield part.rstrip()


def _unclear(text: str, why: str) -> InvalidArguments:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return InvalidArguments(
        f"the pattern {shown!r} is not understood: {why}. A pattern looks like '?who manages ?x, ?x uses Postgres'",
        fields=["pattern"],
    )
