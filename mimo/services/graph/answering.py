"""A question in plain words: facts about what it names; where there are none, memories, and that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from mimo.errors import InvalidArguments
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.facts import Fact
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.observing import Observing
from mimo.services.graph.texts import answer, fact_json, fact_text
from mimo.services.graph.views import View, Wanted
from mimo.services.memory.found import Found, Question
from mimo.services.memory.moments import moment
from mimo.services.memory.names import name_of
from mimo.services.memory.spaces import USER
from mimo.services.memory.texts import clipped
from mimo.storage.database import Database
from mimo.storage.engrams.search import Filter
from mimo.storage.triples.names import name_key
from mimo.tool import Answer

LIMIT, MEMORIES = 8, 3
LONGEST_LINE = 300
MOST_LOOKED_AT = 5_000


class Memories(Protocol):
    """Search among memories."""

    async def find(self, question: Question) -> Found: ...


class Answering:
    def __init__(
        self,
        database: Database,
        graphs: Graphs,
        observing: Observing,
        memories: Memories | None,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._graphs = graphs
        self._observing = observing
        self._memories = memories
        self._clock = clock

    async def ask(self, asked: Knowledge, graph: str) -> Answer:
        """Raises: InvalidArguments: there is no question."""
        if asked.text is None or not asked.text.strip():
            raise InvalidArguments("ask needs text: the question", fields=["text"])
        facts = await self._facts(asked.text, asked, graph)
        if facts:
            return answer(
                asked.format,
                "\n".join(map(fact_text, facts)),
                {"results": [fact_json(fact, {}) for fact in facts], "by": "facts", "memories": []},
            )
        return await self._from_memories(asked.text, asked.format, graph)

    async def _facts(self, text: str, asked: Knowledge, graph: str) -> Sequence[Fact]:
        """About what the text names: those first that tie two of its things together, or whose relation it names."""
        names = set(await self._observing.named_in(text, graph))
        if not names:
            return []
        at = None if asked.as_of is None else moment(asked.as_of, "as_of")
        wanted = Wanted(self._clock(), at, least=asked.confidence or 0.0, drawn=asked.inferred is not False)

        def about(view: View) -> list[Fact]:
            found = dict.fromkeys(fact for _, _, fact in view.edges(sorted(names), "both"))
            return list(found)[:MOST_LOOKED_AT]

        facts = await self._graphs.ask(graph, wanted, about)
        words = [word.rstrip("?!.,;:") for word in name_key(text).split()]

        def worth(fact: Fact) -> tuple[float, ...]:
            both = fact.subject in names and fact.object in names
            named = any(_akin(part, word) for part in fact.predicate.split("_") for word in words)
            return (-(both + named), bool(fact.rule), -fact.confidence)

        ordered = sorted(facts, key=worth)
        telling = [fact for fact in ordered if worth(fact)[0] < 0]
        meant = [fact for fact in telling if as_asked(text, fact, names)]
        return (meant or telling or ordered)[: asked.limit or LIMIT]

    async def _from_memories(self, text: str, format_: str, graph: str) -> Answer:
        none = "no fact is known of this"
        hits = ()
        if self._memories is not None:
            spaces = tuple(dict.fromkeys([graph, USER]))
            found = await self._memories.find(Question(text, Filter(spaces), limit=MEMORIES))
            hits = () if found.abstained else found.hits
        lines = [f"{none}; from the memories:" if hits else f"{none}, and no memory bears on it"]
        lines += [f"- {clipped(hit.content, LONGEST_LINE)} ({name_of(hit.id)})" for hit in hits]
        memories = [{"id": name_of(hit.id), "content": hit.content, "score": hit.score} for hit in hits]
        return answer(format_, "\n".join(lines), {"results": [], "by": "memories", "memories": memories})


def as_asked(text: str, fact: Fact, names: Container[str]) -> bool:
    """Whether the fact has the thing that a question names at the end at which it names it: `who manages Bob?` asks
    for somebody who manages, `whom does Bob manage?` for somebody who is managed."""
    if (fact.subject in names) == (fact.object in names):
        return fact.subject in names
    name = name_key(fact.subject if fact.subject in names else fact.object)
    before, found, after = name_key(text).partition(name)
    if not found:
        return False
    verb, *rest = fact.predicate.split("_")
    words = [re.sub(r"\W+$", "", word) for word in (*before.split(), "", *after.split())]
    place = len(before.split())
    at = next((n for n, word in enumerate(words) if word and _stems(word) & _stems(verb)), None)
    if at is None:
        return False
    by = "by" in words[at + 1 : at + 3]
    name_first = place < at
    # `Is managed by` turns the ends around, unless the predicate is of this kind itself.
    return (name_first == (by == (rest[-1:] == ["by"]))) == (fact.subject in names)


def _akin(one: str, other: str) -> bool:
    """Whether two words may be forms of one: manager, manages; use, used."""
    if min(len(one), len(other)) < 3:
        return False
    return bool(_stems(one) & _stems(other)) or (len(other) > 3 and one.startswith(other[:5]))


def _stems(word: str) -> set[str]:
    return {word, *(word.removesuffix(end) for end in ("s", "es", "d", "ed"))}
