"""The graph: teaching, looking up, walking and inferring, beside pyoxigraph, networkx and recursive SQL in one run."""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from mimo.home import Home
from mimo.observability.events import Events
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.doorstep import Doorstep
from mimo.services.graph.views import View, Wanted
from mimo.services.graph.walking import shortest, walk
from mimo.services.memory.moments import now_ms
from mimo.storage.database import Database
from mimo.storage.sql import rows
from mimo.storage.triples.teach import Saying, teach
from mimo.tool import Call, Client

Triple = tuple[str, str, str]
CLIENT = Client(name="bench", namespace="bench")
ORGANISATION = 10_000


def percentile(seconds: Sequence[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1000


def random_graph(count: int, seed: int = 1) -> list[Triple]:
    """Five edges a thing, of predicates without properties."""
    pick = random.Random(seed)
    found: dict[Triple, None] = {}
    while len(found) < count:
        a, b = pick.randrange(count // 5), pick.randrange(count // 5)
        found[f"n{a}", f"links_{a % 3}", f"n{b}"] = None
    return list(found)


def organisation(count: int) -> list[Triple]:
    """People in a tree of teams in places, and who sits beside whom: transitive, inverse and symmetric predicates."""
    found: list[Triple] = []
    n = 0
    while len(found) < count:
        found.append((f"person{n}", "manages", f"person{5 * n + 1}"))
        found.append((f"person{n}", "adjacent_to", f"person{n + 1}"))
        if n % 4 == 0:
            found.append((f"room{n}", "located_in", f"floor{n % 200}"))
        if n < 200:
            found.append((f"floor{n}", "located_in", f"house{n // 10}"))
        n += 1
    return found[:count]


def timed(work: Callable[[], Any], times: int) -> list[float]:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return took


class Peers:
    """What others need for the same questions. Who is not installed is left out."""

    def __init__(self, triples: Sequence[Triple]) -> None:
        self.networkx: Any = None
        self.pyoxigraph: Any = None
        try:
            import networkx

            self.networkx = networkx.MultiDiGraph()
            self.networkx.add_edges_from((s, o, {"p": p}) for s, p, o in triples)
        except ImportError:
            pass
        try:
            import pyoxigraph as ox

            self.pyoxigraph = ox.Store()
            began = time.perf_counter()
            self.pyoxigraph.extend(
                ox.Quad(ox.NamedNode(f"x:{s}"), ox.NamedNode(f"x:{p}"), ox.NamedNode(f"x:{o}"))
                for s, p, o in triples
            )
            self.loading = len(triples) / (time.perf_counter() - began)
        except ImportError:
            pass

    def hops(self, start: str, depth: int) -> dict[str, Callable[[], Any]]:
        found: dict[str, Callable[[], Any]] = {}
        if self.networkx is not None:
            import networkx

            found["networkx"] = lambda: networkx.single_source_shortest_path_length(
                self.networkx, start, depth
            )
        if self.pyoxigraph is not None:
            path = "/".join(["(!<x:none>)?"] * depth)
            query = f"SELECT DISTINCT ?o WHERE {{ <x:{start}> {path} ?o }}"
            found["pyoxigraph"] = lambda: list(self.pyoxigraph.query(query))
        return found

    def path(self, start: str, end: str) -> dict[str, Callable[[], Any]]:
        if self.networkx is None:
            return {}
        import networkx

        def way() -> Any:
            try:
                return networkx.bidirectional_shortest_path(self.networkx, start, end)
            except networkx.NetworkXNoPath:
                return None

        return {"networkx": way}

    def lookup(self, name: str) -> dict[str, Callable[[], Any]]:
        found: dict[str, Callable[[], Any]] = {}
        if self.networkx is not None:
            found["networkx"] = lambda: list(self.networkx.out_edges(name, data=True))
        if self.pyoxigraph is not None:
            import pyoxigraph as ox

            found["pyoxigraph"] = lambda: list(
                self.pyoxigraph.quads_for_pattern(ox.NamedNode(f"x:{name}"), None, None)
            )
        return found


RECURSIVE = """
    WITH RECURSIVE reached (name, depth) AS (
        VALUES (?, 0)
        UNION
        SELECT t.object, depth + 1 FROM reached CROSS JOIN semantic_triples t ON t.subject = reached.name
        WHERE depth < ? AND +t.graph_id = ? AND t.retired_at IS NULL
    )
    SELECT DISTINCT name FROM reached
"""


class House:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.door = Doorstep(database, Events(), None, clock=now_ms)

    async def call(self, **arguments: Any) -> Any:
        asked = Knowledge.model_validate({"format": "json"} | arguments)
        return (await (await self.door.made()).service.knowledge(asked, Call("1", CLIENT))).data

    async def fill(self, graph: str, triples: Sequence[Triple]) -> float:
        """By the storage's own door, a thousand at a time; facts a second."""
        began = time.perf_counter()
        for at in range(0, len(triples), 1_000):
            sayings = [Saying(s, p, o) for s, p, o in triples[at : at + 1_000]]
            await self.database.write(teach, graph, sayings, now_ms())
        return len(triples) / (time.perf_counter() - began)


async def teaching(house: House, rounds: int) -> dict[str, Any]:
    triples = random_graph(20_000, 7)
    rates: list[float] = []
    for at in range(0, len(triples), 1_000):
        batch = [list(each) for each in triples[at : at + 1_000]]
        began = time.perf_counter()
        await house.call(operation="teach", graph="taught", triples=batch)
        rates.append(1_000 / (time.perf_counter() - began))
    single: list[float] = []
    for n in range(50 * rounds):
        began = time.perf_counter()
        await house.call(
            operation="teach", graph="taught", subject=f"one{n}", predicate="likes", object="tea"
        )
        single.append(time.perf_counter() - began)
    return {
        "batches_of_1000_facts_per_second": statistics.median(rates),
        "slowest_batch": min(rates),
        "one_durable_fact_p50_ms": percentile(single, 50),
        "one_durable_fact_p99_ms": percentile(single, 99),
    }


async def walks(house: House, count: int, depth: int, rounds: int) -> dict[str, Any]:
    graph, triples = f"g{count}", random_graph(count)
    told: dict[str, Any] = {"filled_facts_per_second": await house.fill(graph, triples)}
    parts = await house.door.made()
    peers = Peers(triples) if count <= 100_000 else None
    if peers is not None and peers.pyoxigraph is not None:
        told["pyoxigraph_loads_per_second"] = peers.loading
    pick, began = random.Random(3), time.perf_counter()
    await parts.asking.facts(graph, "n1", None, None)
    told["first_question_ms"] = (time.perf_counter() - began) * 1000
    mine: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}

    def note(into: dict[str, list[float]], name: str, seconds: float) -> None:
        into.setdefault(name, []).append(seconds)

    touched: list[int] = []

    def hops(view: View, start: str) -> None:
        walk(view, start, "out", depth, 1_000_000)
        touched.append(view.touched)

    async def recursive(start: str) -> None:
        began = time.perf_counter()
        await house.database.read(rows, RECURSIVE, (start, depth, graph))
        note(theirs, f"recursive_sql_{depth}_hops", time.perf_counter() - began)

    for turn in range(20 * rounds):
        start, end = (f"n{pick.randrange(count // 5)}" for _ in range(2))
        wanted = Wanted(now_ms())
        if turn % 2:  # who comes first reads the pages for the other
            await recursive(start)
        for name, question in (
            ("lookup", lambda s=start: parts.asking.facts(graph, s, None, None)),
            (
                f"{depth}_hops",
                lambda s=start, w=wanted: parts.graphs.ask(graph, w, lambda v: hops(v, s)),
            ),
            (
                "path",
                lambda s=start, e=end, w=wanted: parts.graphs.ask(
                    graph, w, lambda v: shortest(v, s, e, "out", 30)
                ),
            ),
        ):
            began = time.perf_counter()
            await question()
            note(mine, name, time.perf_counter() - began)
        if not turn % 2:
            await recursive(start)
        if peers is not None:
            asked = {
                "lookup": peers.lookup(start),
                f"{depth}_hops": peers.hops(start, depth),
                "path": peers.path(start, end),
            }
            for question_name, them in asked.items():
                for peer, work in them.items():
                    if (
                        peer == "pyoxigraph"
                        and depth > 3
                        and len(theirs.get(f"{peer}_{question_name}", ())) >= 3
                    ):
                        continue  # seconds each
                    [seconds] = timed(work, 1)
                    note(theirs, f"{peer}_{question_name}", seconds)
    told["touched_by_a_walk"] = statistics.median(touched)
    for into in (mine, theirs):
        for name, seconds in sorted(into.items()):
            told[f"{'' if into is theirs else 'mimo_'}{name}_p50_ms"] = percentile(seconds, 50)
            if into is mine:
                told[f"mimo_{name}_p99_ms"] = percentile(seconds, 99)
    return told


async def inferring(house: House, rounds: int) -> dict[str, Any]:
    graph, triples = "organisation", organisation(ORGANISATION)
    await house.fill(graph, triples)
    parts = await house.door.made()
    began = time.perf_counter()
    done = await parts.inferring.infer(graph)
    told: dict[str, Any] = {"full_inference_s": time.perf_counter() - began, "conclusions": done.total}
    began = time.perf_counter()
    await parts.graphs.ask(graph, Wanted(now_ms()), lambda view: None)
    async with parts.graphs.held(graph) as loaded:
        assert loaded is not None
        told["drawing_alone_s"] = statistics.median(timed(loaded.inference.draw_all, 3))
    added: list[float] = []
    gone: list[float] = []
    for n in range(30 * rounds):
        told_ids = await house.call(
            operation="teach", graph=graph, subject=f"room{4 * n}", predicate="contains", object=f"desk{n}"
        )
        began = time.perf_counter()
        await parts.inferring.infer(graph)
        added.append(time.perf_counter() - began)
        began = time.perf_counter()
        await house.call(operation="retract", graph=graph, ids=[told_ids["results"][0]["id"]])
        gone.append(time.perf_counter() - began)
    return told | {
        "one_fact_consequences_p50_ms": percentile(added, 50),
        "one_fact_consequences_p99_ms": percentile(added, 99),
        "retraction_p50_ms": percentile(gone, 50),
        "retraction_p99_ms": percentile(gone, 99),
    }


async def memory(house: House) -> dict[str, Any]:
    """What 50,000 triples in memory weigh, by the interpreter's own count."""
    await house.fill("weighed", random_graph(50_000, 9))
    parts = await house.door.made()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await parts.graphs.ask("weighed", Wanted(now_ms()), lambda view: None)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return {"memory_of_50000_triples_mb": used / 1e6}


async def main(rounds: int, large: int, only: str, tell: Callable[[str, dict[str, Any]], None]) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("MIMO_BENCH_DIR")) as directory:
        database = Database(Home(os.path.join(directory, "home")))
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            house = House(database)
            sections: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
                "teaching": lambda: teaching(house, rounds),
                "inference over 10,000": lambda: inferring(house, rounds),
                "10,000 triples": lambda: walks(house, 10_000, 3, rounds),
                "50,000 triples": lambda: walks(house, 50_000, 5, rounds),
                "memory": lambda: memory(house),
            }
            if large:
                sections[f"{large:,} triples"] = lambda: walks(house, large, 3, rounds)
            for title, section in sections.items():
                if only in title:
                    tell(title, await section())
            nursery.cancel_scope.cancel()


def said(title: str, told: dict[str, Any]) -> None:
    print(title)
    for name, figure in told.items():
        print(f"  {name:<38}{figure:>12,.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--large", type=int, default=1_000_000, help="triples of the graph that stays in the file; 0: none"
    )
    parser.add_argument("--only", default="", help="sections with this in their title")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    trio.run(main, given.rounds, given.large, given.only, figures.__setitem__ if given.json else said)
    if given.json:
        print(json.dumps(figures, indent=1))
