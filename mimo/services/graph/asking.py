"""Asking a graph: facts that fit, ways between things, what hangs on what. Nothing is made by asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mimo.errors import InvalidArguments
from mimo.services.graph import walking
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.facts import Fact
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.needing import broken, needs_of, upright
from mimo.services.graph.patterns import Found, Pattern, Term, patterns_of, solve
from mimo.services.graph.resolution import Resolution, Resolved
from mimo.services.graph.texts import (
    answer,
    fact_json,
    fact_text,
    path_json,
    path_text,
    short,
    unresolved_json,
    unresolved_text,
)
from mimo.services.graph.views import Direction, InMemory, View, Wanted, of_types
from mimo.services.graph.vocabulary import Vocabulary, normalised
from mimo.services.memory.moments import moment
from mimo.tool import Answer

LIMIT, WALK_LIMIT = 50, 200
# A question that looks at no more than this is answered in the loop: a thread would take longer.
AT_ONCE = 300
UPWARD = (
    "is_a",
    "instance_of",
    "subclass_of",
    "part_of",
    "located_in",
    "belongs_to",
    "member_of",
    "reports_to",
)


class Unresolved(Exception):
    """A mention is nothing here, or several things: the answer to the question."""

    def __init__(self, found: Resolved) -> None:
        super().__init__(found.mention)
        self.found = found


class Asking:
    def __init__(
        self,
        graphs: Graphs,
        resolution: Resolution,
        vocabulary: Callable[[], Vocabulary],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._graphs = graphs
        self._resolution = resolution
        self._vocabulary = vocabulary
        self._clock = clock

    async def query(self, asked: Knowledge, graph: str) -> Answer:
        """Raises: InvalidArguments: the pattern is not understood."""
        clauses = self._clauses(asked)
        clauses, renamed = await self._means(graph, clauses)
        if isinstance(clauses, Resolved):
            return answer(asked.format, unresolved_text(clauses), unresolved_json(clauses))
        limit = asked.limit or LIMIT
        found, types = await self._solved(graph, clauses, self._wanted(asked), limit)
        return _found(asked, clauses, found, types, renamed)

    async def facts(
        self, graph: str, subject: str | None, predicate: str | None, object_: str | None
    ) -> Sequence[Fact]:
        """What is believed now and fits exactly: the shortest way to an answer, for our own programs."""
        async with self._graphs.held(graph) as loaded:
            if loaded is not None:
                view = InMemory(loaded.facts, Wanted(self._clock()))
                return list(view.match(subject, predicate, object_))
        return await self._graphs.ask(
            graph, Wanted(self._clock()), lambda view: list(view.match(subject, predicate, object_))
        )

    async def neighbours(self, asked: Knowledge, graph: str) -> Answer:
        direction = asked.direction or "both"
        return await self._walk(asked, graph, direction, asked.depth or 1, "nothing is beside it")

    async def closure(self, asked: Knowledge, graph: str) -> Answer:
        return await self._walk(
            asked, graph, asked.direction or "out", asked.depth or 10_000, "it leads nowhere"
        )

    async def path(self, asked: Knowledge, graph: str) -> Answer:
        start = await self._name(graph, asked.subject, "subject")
        end = await self._name(graph, asked.object, "object")
        direction: Direction = asked.direction or "both"
        question = partial(
            walking.ways,
            start=start,
            end=end,
            direction=direction,
            depth=asked.depth or 20,
            count=asked.count,
        )
        ways, types = await self._asked(graph, self._wanted(asked, walks=True), question)
        lines = [path_text(path) for path in ways.paths] or [
            f"no way leads from {short(start)} to {short(end)}"
        ]
        if not ways.whole:
            lines.append("(there was more than one question may look at; narrow it with predicates or depth)")
        data = {"paths": [path_json(path, types) for path in ways.paths], "complete": ways.whole}
        return answer(asked.format, "\n".join(lines), data)

    async def ancestors(self, asked: Knowledge, graph: str) -> Answer:
        """What both lead to, the nearest first."""
        names = [
            await self._name(graph, asked.subject, "subject"),
            await self._name(graph, asked.object, "object"),
        ]
        wanted = self._wanted(asked, walks=True, predicates=UPWARD)
        limit = asked.limit or LIMIT
        question = partial(walking.in_common, names=names, direction=asked.direction or "out", limit=10_000)
        (common, whole), _ = await self._asked(graph, wanted, question)
        both = f"{short(names[0])} and {short(names[1])}"
        lines = [f"{short(name)} ({steps} steps in all)" for name, steps in common[:limit]]
        text = "\n".join(lines) or f"{both} have nothing in common above them"
        return answer(
            asked.format,
            text,
            {
                "results": [{"name": name, "steps": steps} for name, steps in common[:limit]],
                "complete": whole,
            },
        )

    async def impact(self, asked: Knowledge, graph: str) -> Answer:
        """What would break: everything that needs it, however far away, with the way by which."""
        start = await self._name(graph, asked.subject, "subject")
        given = tuple(map(normalised, asked.predicates)) if asked.predicates else None
        needs, needed = needs_of(self._vocabulary(), given)
        wanted = replace(self._wanted(asked, walks=True), predicates=needs | needed)
        limit = asked.limit or WALK_LIMIT
        question = partial(broken, start=start, needs=needs, limit=limit, depth=asked.depth or 10_000)
        found, types = await self._asked(graph, wanted, question)
        lines = [
            f"{short(each.name)}: {path_text(upright(walking.way_to(found.reached, each.name)))}"
            for each in found.reached
        ]
        if not lines:
            lines = [f"nothing is known to need {short(start)}"]
        if not found.whole:
            lines.append("(and more)")
        data = {
            "results": [
                {"name": each.name, "steps": each.steps, "by": fact_json(each.by, types)}
                for each in found.reached
            ],
            "complete": found.whole,
        }
        return answer(asked.format, "\n".join(lines), data)

    async def _walk(
        self, asked: Knowledge, graph: str, direction: Direction, depth: int, nothing: str
    ) -> Answer:
        start = await self._name(graph, asked.subject, "subject")
        limit = asked.limit or WALK_LIMIT
        question = partial(walking.walk, start=start, direction=direction, depth=depth, limit=limit)
        found, types = await self._asked(graph, self._wanted(asked, walks=True), question)
        lines = [f"{'  ' * min(each.steps - 1, 20)}{fact_text(each.by)}" for each in found.reached]
        if not lines:
            lines = [f"{short(start)}: {nothing}"]
        if not found.whole:
            lines.append(f"(more than {len(found.reached)}; narrow it with predicates, depth or limit)")
        data = {
            "results": [
                {"name": each.name, "steps": each.steps, "by": fact_json(each.by, types)}
                for each in found.reached
            ],
            "complete": found.whole,
        }
        return answer(asked.format, "\n".join(lines), data)

    async def _solved(
        self, graph: str, clauses: Sequence[Pattern], wanted: Wanted, limit: int
    ) -> tuple[Found, Mapping[str, str]]:
        if len(clauses) == 1 and wanted.known_at is None:
            async with self._graphs.held(graph) as loaded:
                if loaded is not None:
                    terms = [None if term.variable else term.text for term in clauses[0].terms]
                    if loaded.facts.size(terms[0], terms[1], terms[2]) <= AT_ONCE:
                        view = InMemory(loaded.facts, wanted)
                        return solve(of_types(view, wanted.types), clauses, limit), view.types
        return await self._asked(
            graph, wanted, lambda view: solve(of_types(view, wanted.types), clauses, limit)
        )

    async def _asked(
        self, graph: str, wanted: Wanted, question: Callable[[View], Any]
    ) -> tuple[Any, Mapping[str, str]]:
        def with_types(view: View) -> tuple[Any, Mapping[str, str]]:
            return question(view), view.types

        return await self._graphs.ask(graph, wanted, with_types)

    def _clauses(self, asked: Knowledge) -> list[Pattern]:
        if asked.pattern is not None:
            if asked.subject or asked.object or asked.predicate:
                raise InvalidArguments("give a pattern, or subject, predicate and object", fields=["pattern"])
            return patterns_of(asked.pattern)
        terms = [
            Term(name) if name is not None else Term(free, True)
            for name, free in (
                (asked.subject, "subject"),
                (None if asked.predicate is None else normalised(asked.predicate), "predicate"),
                (asked.object, "object"),
            )
        ]
        return [Pattern(*terms)]

    async def _means(
        self, graph: str, clauses: Sequence[Pattern]
    ) -> tuple[list[Pattern] | Resolved, dict[str, Resolved]]:
        """The clauses with the names of things in the place of mentions; or what could not be told."""
        mentions = [
            term.text for each in clauses for term in (each.subject, each.object) if not term.variable
        ]
        if not mentions:
            return list(clauses), {}
        means = await self._resolution.exactly(graph, mentions)
        for mention, found in means.items():
            if found.how == "nothing":
                means[mention] = await self._resolution.resolve(graph, mention)
            if means[mention].name is None:
                return means[mention], {}

        def named(term: Term) -> Term:
            return term if term.variable else Term(means[term.text].name or term.text)

        renamed = {m: found for m, found in means.items() if found.how in {"words", "meaning"}}
        return [Pattern(named(each.subject), each.predicate, named(each.object)) for each in clauses], renamed

    async def _name(self, graph: str, mention: str | None, argument: str) -> str:
        """Raises: InvalidArguments, Unresolved."""
        if mention is None:
            raise InvalidArguments(f"this operation needs {argument}: the name of a thing", fields=[argument])
        found = await self._resolution.resolve(graph, mention)
        if found.name is None:
            raise Unresolved(found)
        return found.name

    def _wanted(self, asked: Knowledge, *, walks: bool = False, predicates: Sequence[str] = ()) -> Wanted:
        """`walks`: along what was said only, unless the caller says otherwise: what follows are shortcuts."""
        given = [*(asked.predicates or ()), *([asked.predicate] if walks and asked.predicate else ())]
        chosen = frozenset(map(normalised, given)) or frozenset(predicates) or None
        known_at = None if asked.known_at is None else moment(asked.known_at, "known_at")
        return Wanted(
            # What was known then had expired by then, or had not.
            self._clock() if known_at is None else known_at,
            None if asked.as_of is None else moment(asked.as_of, "as_of"),
            chosen,
            asked.confidence or 0.0,
            asked.inferred if asked.inferred is not None else not walks,
            frozenset(asked.types) if asked.types else None,
            known_at,
        )


def _found(
    asked: Knowledge,
    clauses: Sequence[Pattern],
    found: Found,
    types: Mapping[str, str],
    renamed: Mapping[str, Resolved],
) -> Answer:
    facts = list(dict.fromkeys(fact for binding in found.bindings for fact in binding.facts))
    data: dict[str, Any] = {
        "results": [fact_json(fact, types) for fact in facts],
        "bindings": [binding.values for binding in found.bindings],
        "complete": found.whole,
    }
    if renamed:
        data["resolved"] = {mention: each.name for mention, each in renamed.items()}
    lines = [
        f"({mention!r} was taken for {each.name!r}, by its {each.how})" for mention, each in renamed.items()
    ]
    if asked.pattern is None:
        lines += [fact_text(fact) for fact in facts]
    else:
        lines += [
            ", ".join(f"{name}={short(each)}" for name, each in binding.values.items()) or "yes"
            for binding in found.bindings
        ]
    if not found.bindings:
        lines.append("nothing is known that fits")
    if not found.whole:
        free = all(term.variable for each in clauses for term in each.terms)
        why = "a pattern without a name gives the first ones only" if free else "there are more"
        lines.append(f"({why}: {len(found.bindings)} are shown; narrow it, or raise limit)")
    return answer(asked.format, "\n".join(lines), data)
