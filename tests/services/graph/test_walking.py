"""Walks, ways and patterns over a graph, judged by naive ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.errors import InvalidArguments
from mimo.services.graph import views
from mimo.services.graph.facts import Fact, Facts
from mimo.services.graph.patterns import patterns_of, solve
from mimo.services.graph.views import Direction, InMemory, Wanted
from mimo.services.graph.walking import in_common, shortest, walk, ways

Triple = tuple[str, str, str]
names = st.sampled_from("abcdef")
graphs = st.lists(st.tuples(names, st.sampled_from("pq"), names), max_size=14, unique=True)
directions = st.sampled_from(["out", "in", "both"])


def of(triples: Iterable[Triple]) -> Facts:
    facts = Facts()
    for n, triple in enumerate(triples, 1):
        fact = Fact(*triple)
        fact.confidence, fact.said_id = 1.0, n
        facts.put(fact)
    return facts


def view(triples: Iterable[Triple], **wanted: object) -> InMemory:
    return InMemory(of(triples), Wanted(0, **wanted))  # type: ignore[arg-type]


def steps_of(triples: Iterable[Triple], direction: Direction) -> set[tuple[str, str]]:
    out = {(s, o) for s, _, o in triples}
    back = {(o, s) for s, o in out}
    return {"out": out, "in": back, "both": out | back}[direction]


def distances(triples: Sequence[Triple], start: str, direction: Direction) -> dict[str, int]:
    """Relaxed until nothing changes."""
    far, steps = {start: 0}, steps_of(triples, direction)
    while True:
        grown = dict(far)
        for one, other in steps:
            if one in far:
                grown[other] = min(grown.get(other, 99), far[one] + 1)
        if grown == far:
            return far
        far = grown


def simple_paths(
    triples: Sequence[Triple], start: str, end: str, direction: Direction
) -> list[tuple[str, ...]]:
    """All of them: what we never do."""
    steps = steps_of(triples, direction)
    middles = [name for name in "abcdef" if name not in {start, end}]
    found: list[tuple[str, ...]] = []
    for size in range(len(middles) + 1):
        for between in itertools.permutations(middles, size):
            path = (start, *between, end)
            if all(pair in steps for pair in itertools.pairwise(path)):
                found.append(path)
    return found


@settings(deadline=None, max_examples=150)
@given(graphs, names, directions, st.integers(1, 6))
def test_a_walk_reaches_what_is_near_and_says_how_far_it_is(
    triples: list[Triple], start: str, direction: Direction, depth: int
) -> None:
    found = walk(view(triples), start, direction, depth, 100)
    near = {name: n for name, n in distances(triples, start, direction).items() if 0 < n <= depth}
    assert {each.name: each.steps for each in found.reached} == near
    assert found.whole


@settings(deadline=None, max_examples=150)
@given(graphs, names, names, directions)
def test_the_shortest_way_is_as_short_as_can_be(
    triples: list[Triple], start: str, end: str, direction: Direction
) -> None:
    found = shortest(view(triples), start, end, direction, 20)
    far = distances(triples, start, direction).get(end)
    assert (None if found is None else len(found)) == far
    if found:
        assert [found[0].start, found[-1].end] == [start, end]
        assert all(one.end == other.start for one, other in itertools.pairwise(found))
        assert all((step.start, step.end) in steps_of(triples, direction) for step in found)


@settings(deadline=None, max_examples=100)
@given(graphs, names, names, directions, st.integers(1, 6))
def test_the_first_ways_are_the_shortest_of_all(
    triples: list[Triple], start: str, end: str, direction: Direction, count: int
) -> None:
    found = ways(view(triples), start, end, direction, 20, count)
    every = sorted(map(len, simple_paths(triples, start, end, direction))) if start != end else [1]
    told = [(path[0].start, *(step.end for step in path)) if path else (start,) for path in found.paths]
    assert [len(path) for path in told] == every[:count]
    assert len(set(told)) == len(told)
    assert all(len(set(path)) == len(path) for path in told)


@settings(deadline=None, max_examples=100)
@given(graphs, names, names)
def test_what_two_have_in_common_is_what_both_lead_to(triples: list[Triple], one: str, other: str) -> None:
    found, whole = in_common(view(triples), [one, other], "out", 100)
    first, second = distances(triples, one, "out"), distances(triples, other, "out")
    assert dict(found) == {name: first[name] + second[name] for name in first.keys() & second.keys()}
    assert whole


terms = st.sampled_from(["a", "b", "c", "?x", "?y", "?z"])
clauses = st.lists(st.tuples(terms, st.sampled_from(["p", "q", "?r"]), terms), min_size=1, max_size=3)


@settings(deadline=None, max_examples=150)
@given(graphs, clauses)
def test_a_pattern_binds_what_every_choice_of_facts_allows(
    triples: list[Triple], asked: list[Triple]
) -> None:
    expected: set[tuple[tuple[str, str], ...]] = set()
    for chosen in itertools.product(triples, repeat=len(asked)):
        values: dict[str, str] = {}
        if all(
            (values.setdefault(term, name) if term[0] == "?" else term) == name
            for clause, fact in zip(asked, chosen, strict=True)
            for term, name in zip(clause, fact, strict=True)
        ):
            expected.add(tuple(sorted((name[1:], each) for name, each in values.items())))
    text = ", ".join(" ".join(clause) for clause in asked)
    found = solve(view(triples), patterns_of(text), 10_000)
    told = [tuple(sorted(binding.values.items())) for binding in found.bindings]
    assert set(told) == expected
    assert len(told) == len(set(told)) or not any(told)


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    """Patterns or InvalidArguments."""
    try:
        assert patterns_of(text)
    except InvalidArguments:
        return


def test_names_with_blanks_and_apostrophes_can_be_asked_for() -> None:
    [clause] = patterns_of('?who knows "Bank of England"')
    assert clause.object.text == "Bank of England"
    [clause] = patterns_of("O'Brien knows ?x")
    assert clause.subject.text == "O'Brien"


def test_a_dense_graph_and_a_hub_are_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = [(f"n{a}", "p", f"n{b}") for a in range(60) for b in range(60) if a != b]
    there = view(dense)
    assert len(walk(there, "n0", "out", 20, 1_000).reached) == 59
    assert there.touched <= len(dense)
    many = ways(view(dense), "n0", "n59", "out", 20, 10)
    assert [len(path) for path in many.paths] == [1, *[2] * 9]
    hub = [("hub", "p", f"n{n}") for n in range(5_000)]
    assert len(walk(view(hub), "n1", "both", 2, 10_000).reached) == 5_000
    monkeypatch.setattr(views, "MOST_TOUCHED", 100)
    cut = walk(view(hub), "n1", "both", 2, 10_000)
    assert not cut.whole
    assert not ways(view(hub), "n1", "n2", "both", 20, 3).whole
    assert not solve(view(hub), patterns_of("?x p ?y, ?z p ?y"), 10_000).whole


def test_only_what_counts_is_seen() -> None:
    facts = of([("a", "p", "b"), ("b", "q", "c")])
    late = Fact("c", "p", "d", 100, 200)
    late.confidence, late.said_id = 0.5, 9
    facts.put(late)
    drawn = Fact("a", "p", "z")
    drawn.confidence, drawn.drawn_id = 1.0, 10
    facts.put(drawn)

    def seen(**wanted: object) -> set[str]:
        found = walk(InMemory(facts, Wanted(0, **wanted)), "a", "out", 9, 99)  # type: ignore[arg-type]
        return {each.name for each in found.reached}

    assert seen() == {"b", "c", "z"}
    assert seen(at=150) == {"b", "c", "d", "z"}
    assert seen(at=200) == {"b", "c", "z"}
    assert seen(at=150, least=0.6) == {"b", "c", "z"}
    assert seen(at=150, drawn=False) == {"b", "c", "d"}
    assert seen(predicates=frozenset("p")) == {"b", "z"}
