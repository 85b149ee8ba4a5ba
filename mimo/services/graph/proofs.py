"""Why something holds: backward, from a conclusion to its premises, to the sentence and to who said it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mimo.errors import InvalidArguments, NotFound
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.asking import Unresolved
from mimo.services.graph.facts import Fact
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.names import number_of
from mimo.services.graph.resolution import Resolution
from mimo.services.graph.texts import answer, fact_json, fact_text, row_json, row_text, short
from mimo.services.graph.views import Wanted
from mimo.services.graph.vocabulary import Vocabulary, normalised
from mimo.services.graph.walking import shortest
from mimo.services.memory.moments import day_of, moment, shown
from mimo.services.memory.names import name_of as engram_name
from mimo.storage.database import Database
from mimo.storage.triples.triple import Origin, Triple, about, load_triples, origins_of
from mimo.tool import Answer

# A proof is for reading.
MOST_NODES, DEEPEST, MOST_PROOFS = 400, 40, 20


class Proofs:
    def __init__(
        self,
        database: Database,
        graphs: Graphs,
        resolution: Resolution,
        vocabulary: Callable[[], Vocabulary],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._graphs = graphs
        self._resolution = resolution
        self._vocabulary = vocabulary
        self._clock = clock

    async def why(self, asked: Knowledge, graph: str) -> Answer:
        """Raises: InvalidArguments: it does not say what is to be proven. NotFound: no fact has this id."""
        facts, name, types = await self._asked(asked, graph)
        if not facts:
            return await self._why_not(asked, graph, name)
        nodes = _nodes(facts)
        ids = [node.said_id for node in nodes if node.said_id is not None and not node.premises]
        rows = await self._database.read(load_triples, ids)
        others = await self._database.read(origins_of, ids)
        text = "\n".join(line for fact in facts for line in _lines(fact, rows, others))
        data = {"results": [_tree(fact, rows, others, types) for fact in facts]}
        return answer(asked.format, text, data)

    async def _asked(self, asked: Knowledge, graph: str) -> tuple[list[Fact], str, Mapping[str, str]]:
        if not asked.ids and (asked.subject is None or (asked.object is None and asked.predicate is None)):
            raise InvalidArguments("why needs subject, predicate and object, or ids", fields=["subject"])
        means = [await self._named(graph, name) for name in (asked.subject, asked.object)]
        predicate = None if asked.predicate is None else normalised(asked.predicate)
        now = self._clock()
        at = now if asked.as_of is None else moment(asked.as_of, "as_of")
        async with self._graphs.held(graph) as loaded:
            if loaded is None:
                found = await self._database.read(load_triples, [number_of(id_) for id_ in asked.ids])
                facts = [_of_row(row) for row in found.values() if row.graph_id == graph]
                types: Mapping[str, str] = {}
            elif asked.ids:
                facts = [f for id_ in asked.ids if (f := loaded.facts.by_id.get(number_of(id_))) is not None]
                types = loaded.facts.types
            else:
                matched = loaded.facts.match(means[0], predicate, means[1])
                facts = [f for f in matched if f.holds(at, now)]
                types = loaded.facts.types
        if not facts and not asked.ids and predicate is not None and means[0] and means[1]:
            facts = await self._by_a_way(graph, means[0], predicate, means[1], at)
        facts.sort(key=lambda fact: (-fact.confidence, fact.predicate, fact.subject, fact.object))
        return facts[:MOST_PROOFS], means[0] or "", types

    async def _by_a_way(self, graph: str, subject: str, predicate: str, object_: str, at: int) -> list[Fact]:
        """Of what is transitive, a way is a proof; for graphs from which not everything was concluded."""
        if not self._vocabulary()[predicate].transitive:
            return []
        wanted = Wanted(self._clock(), at, frozenset([predicate]))
        way = await self._graphs.ask(
            graph, wanted, lambda view: shortest(view, subject, object_, "out", 10_000)
        )
        if not way:
            return []
        fact = Fact(subject, predicate, object_)
        fact.premises, fact.rule = tuple(step.fact for step in way), f"{predicate} is transitive"
        fact.confidence = 1.0
        for step in way:
            fact.confidence *= step.fact.confidence
        return [fact]

    async def _named(self, graph: str, mention: str | None) -> str | None:
        if mention is None:
            return None
        found = await self._resolution.resolve(graph, mention)
        if found.name is None:
            raise Unresolved(found)
        return found.name

    async def _why_not(self, asked: Knowledge, graph: str, name: str) -> Answer:
        """What is not believed may have been."""
        if asked.ids:
            found = await self._database.read(load_triples, [number_of(id_) for id_ in asked.ids])
            rows = [row for row in found.values() if row.graph_id == graph]
            if not rows:
                raise NotFound(
                    f"no fact here is called {', '.join(asked.ids[:8])}; query shows the ids there are"
                )
        else:
            predicate = None if asked.predicate is None else normalised(asked.predicate)
            rows = [
                row
                for row in await self._database.read(about, graph, name, 1_000)
                if (predicate is None or row.predicate == predicate)
                and (asked.object is None or asked.object in {row.object, row.subject})
            ]
        lines = ["it is not believed, but was:" if rows else "it is not believed, and nobody ever said so"]
        lines += [f"- {row_text(row)}" for row in rows[:10]]
        return answer(
            asked.format, "\n".join(lines), {"results": [], "before": [row_json(row) for row in rows]}
        )


def _of_row(row: Triple) -> Fact:
    fact = Fact(row.subject, row.predicate, row.object, row.valid_from, row.valid_to)
    fact.confidence, fact.said_id, fact.expires = row.confidence, row.id, row.expires_at
    return fact


def _nodes(facts: Sequence[Fact]) -> list[Fact]:
    found, waiting = dict[int, Fact](), list(facts)
    while waiting and len(found) < MOST_NODES:
        fact = waiting.pop()
        if id(fact) not in found:
            found[id(fact)] = fact
            waiting += fact.premises
    return list(found.values())


def _lines(fact: Fact, rows: Mapping[int, Triple], others: Mapping[int, Sequence[Origin]]) -> list[str]:
    """The tree, indented. What was shown before is not shown again."""
    lines: list[str] = []
    shown_before: set[int] = set()
    waiting: list[tuple[Fact, int]] = [(fact, 0)]
    while waiting:
        here, depth = waiting.pop()
        pad = "  " * depth
        again = id(here) in shown_before
        lines.append(f"{pad}{fact_text(here)}{' (see above)' if again and here.premises else ''}")
        if again or depth > DEEPEST or len(lines) > MOST_NODES:
            continue
        shown_before.add(id(here))
        if here.premises:
            waiting += [(premise, depth + 1) for premise in reversed(here.premises)]
        elif (row := rows.get(here.said_id or 0)) is not None:
            lines += [f"{pad}  {said}" for said in _sayings(row, others.get(row.id, ()))]
    return lines


def _sayings(row: Triple, others: Sequence[Origin]) -> list[str]:
    first = Origin(row.source, row.speaker, row.evidence, row.engram_id, row.recorded_at)
    found: list[str] = []
    for each in (first, *others):
        by = each.speaker or "somebody"
        source = f" ({short(each.source)})" if each.source else ""
        sentence = f': "{short(each.evidence)}"' if each.evidence else ""
        memory = f" [{engram_name(each.engram_id)}]" if each.engram_id is not None else ""
        found.append(f"said by {by}{source}, {day_of(each.said_at)}{sentence}{memory}")
    return found


def _tree(
    fact: Fact, rows: Mapping[int, Triple], others: Mapping[int, Sequence[Origin]], types: Mapping[str, str]
) -> dict[str, Any]:
    left = [MOST_NODES]

    def node(here: Fact, depth: int) -> dict[str, Any]:
        left[0] -= 1
        told = fact_json(here, types)
        if here.premises:
            if depth < DEEPEST and left[0] > 0:
                told["premises"] = [node(premise, depth + 1) for premise in here.premises]
            else:
                told["cut"] = True
        elif (row := rows.get(here.said_id or 0)) is not None:
            first = Origin(row.source, row.speaker, row.evidence, row.engram_id, row.recorded_at)
            told["said"] = [
                {
                    "speaker": each.speaker,
                    "source": each.source,
                    "evidence": each.evidence,
                    "memory": None if each.engram_id is None else engram_name(each.engram_id),
                    "at": shown(each.said_at),
                }
                for each in (first, *others.get(row.id, ()))
            ]
        return told

    return node(fact, 0)
