"""What follows: judged by a naive closure over everything, and the same however it came about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.errors import InvalidArguments
from mimo.services.graph.facts import Fact, Facts
from mimo.services.graph.inference import LEAST_CONFIDENCE, Inference
from mimo.services.graph.rules import RuleSet, rule_of, rules_of_vocabulary
from mimo.services.graph.vocabulary import Vocabulary

Triple = tuple[str, str, str]
RULES = [
    rule_of("x p y, y p z -> x p z"),
    rule_of("x q y -> y q x", 0.9),
    rule_of("x p y -> y r x"),
    rule_of("x r y -> y p x"),
    rule_of("x r y, y q z, z p w -> x s w", 0.8),
    rule_of("x s b1, x q x2 -> x q b1"),
    rule_of('x q "a", x p y -> x t y'),
]


def naive(said: dict[Triple, float]) -> dict[Triple, float]:
    """Every rule over all facts, again and again, until nothing gets surer."""
    facts = dict(said)
    while True:
        before = dict(facts)
        for rule in RULES:
            bindings: list[tuple[dict[int, str], float]] = [({}, rule.confidence)]
            for clause in rule.body:
                grown: list[tuple[dict[int, str], float]] = []
                for known, sure in bindings:
                    for (s, p, o), confidence in before.items():
                        mine = dict(known)
                        fits = p == clause.predicate
                        for term, name in ((clause.subject, s), (clause.object, o)):
                            if isinstance(term, int):
                                fits = fits and mine.setdefault(term, name) == name
                            else:
                                fits = fits and term == name
                        if fits:
                            grown.append((mine, sure * confidence))
                bindings = grown
            for known, sure in bindings:
                ends = [known[t] if isinstance(t, int) else t for t in (rule.head.subject, rule.head.object)]
                if ends[0] != ends[1] and sure >= LEAST_CONFIDENCE:
                    key = (ends[0], rule.head.predicate, ends[1])
                    facts[key] = max(facts.get(key, 0.0), sure)
        if facts == before:
            return facts


def drawn(inference: Inference) -> dict[Triple, float]:
    return {(f.subject, f.predicate, f.object): f.confidence for f in inference.facts}


def say(inference: Inference, triple: Triple, confidence: float, ids: dict[Triple, int]) -> None:
    id_ = ids.setdefault(triple, len(ids) + 1)
    inference.say(Fact(*triple), id_, confidence, None)


def unsay(inference: Inference, triple: Triple, ids: dict[Triple, int]) -> None:
    inference.unsay(inference.facts.by_id[ids.pop(triple)])


def proven(facts: Iterable[Fact]) -> None:
    """Every conclusion stands on what was said, and never on itself."""
    for fact in facts:
        path: list[tuple[Fact, tuple[Fact, ...]]] = [(fact, ())]
        while path:
            here, above = path.pop()
            assert here not in above
            assert here.confidence > 0
            if not here.premises:
                assert here.said == here.confidence
            for premise in here.premises:
                assert here.confidence <= premise.confidence
                path.append((premise, (*above, here)))


names = st.sampled_from("abcd")
triples = st.tuples(names, st.sampled_from("pqrs"), names)
sure = st.sampled_from([1.0, 0.9, 0.5])


def close(one: dict[Triple, float], other: dict[Triple, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[key] - other[key]) < 1e-9 for key in one)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(triples, sure | st.none()), max_size=25), st.lists(st.booleans(), min_size=25))
def test_whatever_is_said_and_unsaid_what_follows_is_as_from_scratch(
    steps: Sequence[tuple[Triple, float | None]], pauses: Sequence[bool]
) -> None:
    inference = Inference(Facts(), RuleSet(RULES))
    ids: dict[Triple, int] = {}
    said: dict[Triple, float] = {}
    for (triple, confidence), pause in zip(steps, pauses, strict=False):
        if confidence is None:
            if triple in said:
                unsay(inference, triple, ids)
                del said[triple]
        else:
            said[triple] = confidence
            say(inference, triple, confidence, ids)
        if pause:
            inference.draw()
            proven(inference.facts)
            assert close(drawn(inference), naive(said))
    inference.draw()
    proven(inference.facts)
    assert close(drawn(inference), naive(said))
    inference.draw_all()
    proven(inference.facts)
    assert close(drawn(inference), naive(said))
    assert inference.drawn == sum(1 for fact in inference.facts if fact.premises)


@settings(max_examples=40, deadline=None)
@given(st.lists(triples, max_size=10, unique=True), st.lists(triples, max_size=4, unique=True), st.randoms())
def test_said_and_unsaid_is_never_said_and_the_order_does_not_matter(
    said: Sequence[Triple], passing: Sequence[Triple], random: object
) -> None:
    one, other = Inference(Facts(), RuleSet(RULES)), Inference(Facts(), RuleSet(RULES))
    ids: dict[Triple, int] = {}
    for triple in said:
        say(one, triple, 1.0, {})
        one.draw()
    mixed = [*said, *(each for each in passing if each not in said)]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    for triple in mixed:
        say(other, triple, 1.0, ids)
    other.draw()
    for triple in passing:
        if triple not in said:
            unsay(other, triple, ids)
    other.draw()
    assert close(drawn(one), drawn(other))


def test_a_circle_does_not_hold_itself_up() -> None:
    inference = Inference(
        Facts(), RuleSet([rule_of("x likes y -> y likes x"), rule_of("x p y -> x likes y")])
    )
    ids: dict[Triple, int] = {}
    say(inference, ("a", "p", "b"), 1.0, ids)
    inference.draw()
    assert len(inference.facts) == 3
    unsay(inference, ("a", "p", "b"), ids)
    inference.draw()
    assert len(inference.facts) == 0


def test_a_conclusion_holds_while_all_of_its_premises_do() -> None:
    inference = Inference(Facts(), RuleSet(rules_of_vocabulary(Vocabulary(), ["located_in"])))
    inference.say(Fact("desk", "located_in", "office", 10, 30), 1, 1.0, None)
    inference.say(Fact("office", "located_in", "town", 20, None), 2, 1.0, None)
    inference.draw()
    assert ("desk", "located_in", "town", 20, 30) in inference.facts.by_key
    inference.say(Fact("town", "located_in", "land", 40, None), 3, 1.0, None)
    inference.draw()
    assert not [key for key in inference.facts.by_key if key[0] == "desk" and key[2] == "land"]


def test_more_than_is_kept_is_not_drawn_and_is_told() -> None:
    inference = Inference(Facts(), RuleSet(rules_of_vocabulary(Vocabulary(), ["depends_on"])), most=100)
    for n in range(50):
        inference.say(Fact(f"n{n}", "depends_on", f"n{n + 1}"), n + 1, 1.0, None)
    inference.draw()
    assert inference.bounded
    assert inference.drawn == 100
    proven(inference.facts)


def test_a_rule_whose_parts_share_nothing_comes_to_an_end() -> None:
    inference = Inference(Facts(), RuleSet([rule_of("x p y, a p b, c p d, e p f -> x all f")]), most=1_000)
    for n in range(60):
        inference.say(Fact(f"n{n}", "p", f"m{n}"), n + 1, 1.0, None)
    inference.draw()
    assert inference.bounded


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x p y -> x p z", "z stands after the arrow only"),
        ("x p y", "one arrow"),
        ("-> x p y", "before the arrow"),
        ("x p y -> x p y, y p x", "one fact"),
        ("x p -> x p y", "is not subject, predicate, object"),
        ('x p "y -> x p y', "quote"),
        ("x ?p y -> x p y", "predicate cannot be a variable"),
        ("x p y, " * 6 + "x p y -> x p y", "1 to 5"),
        ("x p " + "y" * 2_000 + " -> x p x", "at most 1000"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidArguments, match=why.replace("?", ".")):
        rule_of(text)


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_is_refused(text: str) -> None:
    """A rule or InvalidArguments, and a rule reads again as itself."""
    try:
        rule = rule_of(text)
    except InvalidArguments:
        return
    assert rule_of(rule.text) == rule
