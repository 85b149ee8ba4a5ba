"""What a person talks about, and what is known of it: at most two facts that are sure, and not the same ones again."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from mimo.errors import InvalidArguments
from mimo.observability.events import Events
from mimo.services.graph import news
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.facts import Fact
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.names import name_of
from mimo.services.graph.texts import answer, fact_json, fact_text
from mimo.services.graph.views import View, Wanted
from mimo.storage.database import Database
from mimo.storage.triples.names import aliases_of, name_key
from mimo.storage.triples.triple import engrams_about
from mimo.tool import Answer, Client

MOST, SURE = 2, 0.9
# A fact that was offered to somebody, or said by them, is not offered again for so long.
AGAIN_AFTER_MS = 6 * 3_600_000
REMEMBERED = 2_000
MOST_WORDS, LONGEST_MENTION = 400, 4
LONGEST = 20_000
MOST_NAMED, MOST_ENGRAMS = 20, 30
WORD = re.compile(r"[\w.+#/-]*\w[+#]*")
# Words that are also names mean the word.
PLAIN = frozenset("the and for with this that from have will what when where which about into your".split())


class Observing:
    def __init__(
        self, database: Database, graphs: Graphs, events: Events, *, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._graphs = graphs
        self._events = events
        self._clock = clock
        self._offered: OrderedDict[tuple[str, str, tuple[str, str, str]], int] = OrderedDict()

    async def suggest(self, asked: Knowledge, graph: str, client: Client) -> Answer:
        """Raises: InvalidArguments: there is no text."""
        if asked.text is None:
            raise InvalidArguments("suggest needs text: what is talked about", fields=["text"])
        found = await self.offered(asked.text, graph, client)
        text = "\n".join(line for line, _ in found) or "nothing to add"
        return answer(asked.format, text, {"results": [data for _, data in found]})

    async def offered(self, text: str, graph: str, client: Client) -> list[tuple[str, dict[str, Any]]]:
        """What `relevant` gives, as lines and as data."""
        found = await self.relevant(text, graph, client)
        if found:
            ids = tuple(name_of(fact.id) for fact in found if fact.id is not None)
            self._events.publish(news.Suggested(graph, ids, client.name))
        return [(fact_text(fact), fact_json(fact, {})) for fact in found]

    async def relevant(self, text: str, graph: str, client: Client) -> list[Fact]:
        """Up to two facts about what is named in the text, those first that tie two of its things together."""
        names = await self.named_in(text, graph)
        if not names:
            return []
        wanted = Wanted(self._clock(), least=SURE)
        facts = await self._graphs.ask(graph, wanted, lambda view: _about(view, names))
        said = name_key(text)
        now, chosen = self._clock(), list[Fact]()
        for fact in sorted(
            facts, key=lambda f: (-(f.object in names and f.subject in names), bool(f.rule), -f.confidence)
        ):
            key = (graph, client.name, (fact.subject, fact.predicate, fact.object))
            # Both ends in the text, and the relation's words too: the person has just said so.
            spoken = all(
                name_key(part) in said
                for part in (fact.subject, fact.object, fact.predicate.replace("_", " "))
            )
            if spoken:
                self._note(key, now)
            # An inverse tells nothing that its premise does not.
            if len(fact.premises) == 1 and self._was_offered(graph, client, fact.premises[0], now):
                continue
            if spoken or self._was_offered(graph, client, fact, now):
                continue
            self._note(key, now)
            chosen.append(fact)
            if len(chosen) == MOST:
                break
        return chosen

    async def named_in(self, text: str, graph: str) -> list[str]:
        """The things that a text names, by name or alias, each once: longer names before their parts."""
        by_key = await self._database.read(aliases_of, graph, mentions_in(text))
        return list(dict.fromkeys(aliases[0] for aliases in by_key.values()))

    async def also(self, text: str, graphs: Sequence[str]) -> tuple[list[str], list[int]]:
        """For a search among memories: the other names of what a text names, and the memories that facts about it
        were learned from."""
        words, engrams = dict[str, None](), dict[int, None]()
        for graph in graphs:
            by_key = await self._database.read(aliases_of, graph, mentions_in(text))
            if not by_key:
                continue
            for key, aliases in by_key.items():
                words.update((alias, None) for alias in aliases if name_key(alias) != key)
            names = list(dict.fromkeys(aliases[0] for aliases in by_key.values()))
            found = await self._database.read(engrams_about, graph, names[:MOST_NAMED], MOST_ENGRAMS)
            engrams.update((id_, None) for id_ in found)
        return list(words)[:MOST_NAMED], list(engrams)[:MOST_ENGRAMS]

    def _was_offered(self, graph: str, client: Client, fact: Fact, now: int) -> bool:
        key = (graph, client.name, (fact.subject, fact.predicate, fact.object))
        return now - self._offered.get(key, -AGAIN_AFTER_MS) < AGAIN_AFTER_MS

    def _note(self, key: tuple[str, str, tuple[str, str, str]], now: int) -> None:
        self._offered[key] = now
        self._offered.move_to_end(key)
        while len(self._offered) > REMEMBERED:
            self._offered.popitem(last=False)


def mentions_in(text: str) -> list[str]:
    """Every run of a few words, as the key of a name."""
    words = WORD.findall(text[:LONGEST])[:MOST_WORDS]
    found: dict[str, None] = {}
    for size in range(LONGEST_MENTION, 0, -1):
        for at in range(len(words) - size + 1):
            key = name_key(" ".join(words[at : at + size]))
            if size > 1 or (len(key) > 2 and key not in PLAIN):
                found[key] = None
    return list(found)


def _about(view: View, names: Sequence[str]) -> list[Fact]:
    return list(dict.fromkeys(fact for _, _, fact in view.edges(names, "both")))[:2_000]
