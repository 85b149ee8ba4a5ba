"""The operations of the tool `knowledge` (declared in doorstep.py), each handed to the part that does the work."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable

from mimo.errors import InvalidArguments, NotFound
from mimo.observability.events import Events
from mimo.services.graph import news
from mimo.services.graph.answering import Answering
from mimo.services.graph.arguments import HELP, Knowledge
from mimo.services.graph.asking import Asking, Unresolved
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.inferring import Inferring
from mimo.services.graph.names import numbers_of
from mimo.services.graph.observing import Observing
from mimo.services.graph.proofs import Proofs
from mimo.services.graph.resolution import Resolution
from mimo.services.graph.teaching import Teaching
from mimo.services.graph.texts import answer, short, unresolved_json, unresolved_text
from mimo.storage.database import Database
from mimo.storage.triples.changes import graphs, rules_of
from mimo.storage.triples.merging import merge, split, undo
from mimo.storage.triples.names import entity
from mimo.storage.triples.triple import counted, graph_row
from mimo.tool import Answer, Call, Client

# What changes something; the rest may be asked by whoever may read.
WRITING = frozenset({"teach", "retract", "infer", "merge", "split", "undo"})
# What can be asked of what was believed at a time.
BACK_THEN = ("query", "neighbours", "closure", "path", "ancestors", "impact")
EVERYWHERE = "*"


class Knowing:
    """The operations over the parts that do the work."""

    def __init__(
        self,
        database: Database,
        graphs: Graphs,
        resolution: Resolution,
        teaching: Teaching,
        asking: Asking,
        proofs: Proofs,
        inferring: Inferring,
        observing: Observing,
        answering: Answering,
        events: Events,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._graphs = graphs
        self._resolution = resolution
        self._teaching = teaching
        self._asking = asking
        self._proofs = proofs
        self._inferring = inferring
        self._observing = observing
        self._answering = answering
        self._events = events
        self._clock = clock

    async def knowledge(self, asked: Knowledge, call: Call) -> Answer:
        """One operation.

        Raises:
            InvalidArguments: it lacks something. NotFound: there is no such graph, or fact.
        """
        if asked.operation == "help":
            return answer(asked.format, HELP, {"help": HELP})
        graph = await self._graph(asked, call.client)
        try:
            return await self._operation(asked, graph, call)
        except Unresolved as error:
            return answer(asked.format, unresolved_text(error.found), unresolved_json(error.found))

    async def asked_only(self, asked: Knowledge, call: Call) -> Answer:
        """The operations that change nothing."""
        if asked.operation in WRITING:
            raise InvalidArguments(
                f"{asked.operation} changes the graph: call knowledge", fields=["operation"]
            )
        return await self.knowledge(asked, call)

    async def _operation(self, asked: Knowledge, graph: str, call: Call) -> Answer:
        asking = self._asking
        if asked.known_at is not None and asked.operation not in BACK_THEN:
            raise InvalidArguments(f"known_at goes with {', '.join(BACK_THEN)}", fields=["known_at"])
        plain: dict[str, Callable[[Knowledge, str], Awaitable[Answer]]] = {
            "query": asking.query,
            "ask": self._answering.ask,
            "path": asking.path,
            "neighbours": asking.neighbours,
            "closure": asking.closure,
            "ancestors": asking.ancestors,
            "impact": asking.impact,
            "why": self._proofs.why,
            "resolve": self._resolve,
            "infer": self._infer,
            "stats": self._stats,
        }
        if asked.operation in plain:
            return await plain[asked.operation](asked, graph)
        if asked.operation == "teach":
            return await self._teaching.teach(asked, graph, call.client, asked.key or call.key)
        if asked.operation == "retract":
            return await self._teaching.retract(asked, graph, call.client)
        if asked.operation == "suggest":
            return await self._observing.suggest(asked, graph, call.client)
        return await self._rename(asked, graph, call.client)

    async def _graph(self, asked: Knowledge, client: Client) -> str:
        """The graph that is meant. One that was named must be there, but for teaching."""
        if asked.graph is None:
            return asked.graphs[0] if asked.graphs else client.namespace
        if asked.graph == EVERYWHERE:
            raise InvalidArguments("knowledge is asked of one graph at a time; name it", fields=["graph"])
        if asked.operation != "teach" and asked.graph != client.namespace:
            known = await self._database.read(graphs)
            if asked.graph not in known:
                near = difflib.get_close_matches(asked.graph, known, 1, 0.5)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"there are: {', '.join(known[:8]) or 'none yet'}"
                )
                raise NotFound(f"no graph {asked.graph[:60]!r}; {hint}", graph=asked.graph[:200])
        return asked.graph

    async def _resolve(self, asked: Knowledge, graph: str) -> Answer:
        if asked.subject is None:
            raise InvalidArguments("resolve needs subject: a mention", fields=["subject"])
        found = await self._resolution.resolve(graph, asked.subject)
        if found.name is None:
            return answer(asked.format, unresolved_text(found), unresolved_json(found))
        told = await self._database.read(entity, graph, found.name)
        aliases = () if told is None else told.aliases
        type_ = "" if told is None else told.type
        also = f", also called {', '.join(map(short, aliases))}" if aliases else ""
        of_type = f" ({type_})" if type_ else ""
        data = {
            "name": found.name,
            "type": type_,
            "aliases": list(aliases),
            "by": found.how,
            "score": round(found.score, 3),
            "results": [found.name],
            "ambiguous": False,
        }
        return answer(asked.format, f"{short(found.name)}{of_type}, by its {found.how}{also}", data)

    async def _infer(self, asked: Knowledge, graph: str) -> Answer:
        done = await self._inferring.infer(graph, anew=True)
        bounded = "; there is more that follows than is kept: narrow the rules" if done.bounded else ""
        text = f"{done.total} conclusions ({done.drawn} written, {done.withdrawn} withdrawn){bounded}"
        data = {
            "conclusions": done.total,
            "written": done.drawn,
            "withdrawn": done.withdrawn,
            "bounded": done.bounded,
        }
        return answer(asked.format, text, data)

    async def _stats(self, asked: Knowledge, graph: str) -> Answer:
        told = await self._database.read(counted, graph)
        row = await self._database.read(graph_row, graph)
        rules = await self._database.read(rules_of, graph)
        data = {
            "graph": graph,
            **told,
            "rules": [{"rule": text, "confidence": confidence} for text, confidence in rules],
            "concluded": row is None or row.version == row.concluded,
            "bounded": row is not None and row.bounded,
            "graphs": await self._database.read(graphs),
        }
        used = ", ".join(f"{name} {count}" for name, count in list(told["predicates"].items())[:12])
        lines = [
            f"graph {graph}: {told['asserted']} facts, {told['inferred']} conclusions, {told['entities']} things",
            f"predicates: {used or 'none'}",
        ]
        lines += [f"rule: {text}" for text, _ in rules]
        if data["bounded"]:
            lines.append("more follows than is kept; walks and paths see all of it")
        return answer(asked.format, "\n".join(lines), data)

    async def _rename(self, asked: Knowledge, graph: str, client: Client) -> Answer:
        """merge, split and undo."""
        now = self._clock()
        write = self._database.write
        if asked.operation == "undo":
            told = await write(undo, graph, now, frees=True)
            data: dict[str, object] = {"undone": told}
            if told is None:
                return answer(asked.format, "nothing to undo", data)
            text = f"undone: {told}"
        elif asked.subject is None or asked.to is None:
            raise InvalidArguments(f"{asked.operation} needs subject and to", fields=["subject", "to"])
        elif asked.operation == "merge":
            gone, into = await self._named(graph, asked.subject), await self._named(graph, asked.to)
            done = await write(merge, graph, gone, into, client.name, now)
            text = f"{short(gone)} is {short(into)} now ({done['moved']} facts moved); undo takes it back"
            data = dict(done)
        else:
            name, ids = await self._named(graph, asked.subject), numbers_of(asked.ids)
            if not ids and not asked.aliases:
                raise InvalidArguments(
                    "split needs ids of facts, or aliases, that are of the new thing", fields=["ids"]
                )
            done = await write(split, graph, name, asked.to, ids, tuple(asked.aliases), client.name, now)
            text = (
                f"{short(asked.to)} is a thing of its own ({done['moved']} facts moved); undo takes it back"
            )
            data = dict(done)
        await self._graphs.write_down(graph, now)
        self._events.publish(news.Renamed(graph, asked.operation, client.name))
        return answer(asked.format, text, data)

    async def _named(self, graph: str, mention: str) -> str:
        """Renaming takes no guesses: by name or alias only."""
        found = (await self._resolution.exactly(graph, [mention]))[mention]
        if found.name is None:
            raise Unresolved(
                await self._resolution.nearby(graph, mention) if found.how == "nothing" else found
            )
        return found.name
