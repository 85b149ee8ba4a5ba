"""The file and the memory say the same, whatever is done at once, and whenever the process is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from mimo.home import Home
from mimo.observability.events import Events
from mimo.services.graph.doorstep import Doorstep
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.views import Wanted
from mimo.services.graph.vocabulary import Vocabulary
from mimo.services.memory.moments import now_ms
from mimo.storage.check import findings
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.sql import rows, run, value
from mimo.storage.triples.teach import Saying, teach

Living = Any  # conftest's
FULL = os.environ.get("MIMO_FAULTS") == "full"

UNSUPPORTED = """
    SELECT c.id FROM semantic_triples c WHERE c.origin = 'inferred' AND (
        NOT EXISTS (SELECT 1 FROM triple_supports s WHERE s.triple_id = c.id)
        OR EXISTS (SELECT 1 FROM triple_supports s LEFT JOIN semantic_triples p ON p.id = s.premise_id
            WHERE s.triple_id = c.id AND (p.id IS NULL OR p.retired_at IS NOT NULL OR p.confidence < c.confidence)))
"""


def groundless(db: apsw.Connection) -> int:
    """How many conclusions do not go back, by all of their premises, to what was said."""
    grounded = {
        id_
        for (id_,) in rows(
            db, "SELECT id FROM semantic_triples WHERE origin = 'asserted' AND retired_at IS NULL"
        )
    }
    waiting: dict[int, set[int]] = {}
    for id_, premise in rows(db, "SELECT triple_id, premise_id FROM triple_supports"):
        waiting.setdefault(id_, set()).add(premise)
    while more := {id_ for id_, premises in waiting.items() if id_ not in grounded and premises <= grounded}:
        grounded |= more
    drawn = {id_ for (id_,) in rows(db, "SELECT id FROM semantic_triples WHERE origin = 'inferred'")}
    return len(drawn - grounded)


def written(db: apsw.Connection, graph: str) -> set[tuple[Any, ...]]:
    found = rows(
        db,
        "SELECT subject, predicate, object, valid_from, valid_to, round(max(confidence), 9) FROM semantic_triples"
        " WHERE graph_id = ? AND retired_at IS NULL GROUP BY 1, 2, 3, 4, 5",
        (graph,),
    )
    return set(found)


async def in_memory(graphs: Graphs, graph: str, now: int) -> set[tuple[Any, ...]]:
    async with graphs.held(graph) as loaded:
        assert loaded is not None
        return {(*fact.key, round(fact.confidence, 9)) for fact in loaded.facts}


@pytest.mark.parametrize("seed", range(40 if FULL else 4))
async def test_whatever_is_done_memory_file_and_a_new_look_agree(graph: Living, seed: int) -> None:
    pick = random.Random(seed)
    parts = await graph.door.made()
    names = [f"n{n}" for n in range(9)]
    predicates = [
        "part_of",
        "manages",
        "reports_to",
        "same_as",
        "likes",
        "authored_by",
        "instance_of",
        "subclass_of",
    ]
    await graph.call("teach", rules=["x likes y, y part_of z -> x likes z"], confidence=0.9)
    ids: list[str] = []
    for step in range(120):
        graph.now += 1_000
        match pick.randrange(12):
            case 0 | 1 | 2 | 3 | 4 | 5:
                item: dict[str, Any] = {
                    "subject": pick.choice(names), "predicate": pick.choice(predicates), "object": pick.choice(names),
                    "confidence": pick.choice([1.0, 0.9, 0.5]),
                }  # fmt: skip
                if pick.random() < 0.2:
                    item |= {"valid_from": pick.randrange(1, 5) * 1e8, "valid_to": pick.randrange(6, 9) * 1e8}
                if pick.random() < 0.1:
                    item["ttl"] = float(pick.randrange(1, 30))
                told = await graph.data("teach", triples=[item])
                ids += [each["id"] for each in told["results"] if each["id"]]
            case 6 | 7 if ids:
                await graph.call("retract", ids=[pick.choice(ids)])
            case 8:
                one, other = pick.sample(names, 2)
                if {one, other} <= {each for fact in await graph.facts() for each in (fact[0], fact[2])}:
                    known = {(await graph.data("resolve", subject=each)).get("name") for each in (one, other)}
                    if len(known) == 2 and None not in known:
                        await graph.call("merge", subject=one, to=other)
            case 9:
                await graph.call("undo")
            case 10:
                await parts.inferring.round()
            case _:
                await graph.facts()
        if step % 15 == 14:
            await parts.inferring.round()
            told_now = await in_memory(parts.graphs, "proj", graph.now)
            assert told_now == await graph.database.read(written, "proj")
            fresh = Graphs(graph.database, Vocabulary)
            assert told_now == await in_memory(fresh, "proj", graph.now)
            done = await fresh.write_down("proj", graph.now, anew=True)
            assert (done.drawn, done.withdrawn) == (0, 0) or told_now == await in_memory(
                fresh, "proj", graph.now
            )
            assert await graph.database.read(written, "proj") == told_now
            assert await graph.database.read(rows, UNSUPPORTED) == []
            assert await graph.database.read(groundless) == 0


async def test_fifty_teachers_and_fifty_readers_lose_nothing(graph: Living, nursery: trio.Nursery) -> None:
    await nursery.start(graph.door.run)
    wrong: list[str] = []
    done = trio.Event()

    async def teacher(number: int) -> None:
        for n in range(6):
            await graph.teach((f"t{number}", "part_of", f"u{n}"), (f"u{n}", "part_of", "all"))

    async def reader(number: int) -> None:
        seen = 0
        while not done.is_set():
            now = len(await graph.facts(subject=f"t{number}", inferred=False))
            if now < seen:
                wrong.append(f"t{number} had {seen} facts and has {now}")
            seen = now
            await trio.sleep(0.01)

    async with trio.open_nursery() as readers:
        for number in range(50):
            readers.start_soon(reader, number)
        async with trio.open_nursery() as teachers:
            for number in range(50):
                teachers.start_soon(teacher, number)
        done.set()
    assert wrong == []
    facts = await graph.facts(predicate="part_of")
    assert len(facts) == 50 * 6 + 6 + 50
    await graph.call("infer")
    assert await graph.database.read(rows, UNSUPPORTED) == []
    assert await graph.database.read(
        value, "SELECT count(*) FROM semantic_triples WHERE origin = 'inferred'"
    ) == (50 + len(await graph.facts(predicate="has_part")))


def test_no_kill_loses_a_fact_or_leaves_a_conclusion_without_its_premises(tmp_path: Path) -> None:
    home, pick = Home(tmp_path / "home"), random.Random(5)
    believed, doubtful, retracted = set[str](), set[str](), set[str]()
    rounds = 0
    for kill in range(100 if FULL else 3):
        program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("teacher.py")), home, str(kill)],
            stdout=subprocess.PIPE,
        )
        assert program.stdout is not None
        enough = pick.randrange(5, 150)
        for line in program.stdout:
            word, *ids = line.decode().split()
            if word == "taught":
                believed |= set(ids) - retracted
            elif word == "retracting":
                doubtful |= set(ids)
            elif word == "retracted":
                retracted |= set(ids)
            else:
                rounds += 1
            enough -= 1
            if enough == 0:
                time.sleep(pick.random() * 0.01)  # a real process, in the middle of whatever comes then
                program.kill()
        program.stdout.close()
        program.wait()
        db = open_connection(home.database)
        there = {
            f"t{id_}" for (id_,) in rows(db, "SELECT id FROM semantic_triples WHERE origin = 'asserted'")
        }
        live = {f"t{id_}" for (id_,) in rows(db, "SELECT id FROM semantic_triples WHERE retired_at IS NULL")}
        assert believed <= there
        assert believed - doubtful <= live
        assert rows(db, UNSUPPORTED) == []
        assert groundless(db) == 0
        assert findings(db) == []
        db.close()
    assert rounds > 0

    async def looked_at_again() -> None:
        database = Database(home)
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            parts = await Doorstep(database, Events(), None, clock=now_ms).made()
            await parts.inferring.round()
            fresh = Graphs(database, Vocabulary)
            await fresh.write_down("proj", now_ms(), anew=True)
            now = now_ms()
            assert await in_memory(parts.graphs, "proj", now) == await in_memory(fresh, "proj", now)
            assert await in_memory(fresh, "proj", now) == await database.read(written, "proj")
            nursery.cancel_scope.cancel()

    trio.run(looked_at_again)


async def test_a_graph_that_is_too_large_for_memory_is_walked_in_the_file(database: Database) -> None:
    triples = [(f"n{n}", "next", f"n{n + 1}") for n in range(300)] + [
        (f"n{n}", "part_of", "all") for n in range(300)
    ]
    await database.write(teach, "big", [Saying(*each) for each in triples], 1)
    small, large = Graphs(database, Vocabulary, most=100), Graphs(database, Vocabulary)
    from mimo.services.graph.patterns import patterns_of, solve
    from mimo.services.graph.walking import shortest, walk

    questions: list[Callable[[Any], Any]] = [
        lambda view: sorted(each.name for each in walk(view, "n5", "both", 3, 1_000).reached),
        lambda view: [step.end for step in shortest(view, "n1", "n40", "out", 100) or ()],
        lambda view: sorted(
            b.values["x"] for b in solve(view, patterns_of("n7 next ?x, ?x part_of all"), 9).bindings
        ),
    ]
    for question in questions:
        wanted = Wanted(1, drawn=False)
        assert await small.ask("big", wanted, question) == await large.ask("big", wanted, question)
    assert small.in_memory == 0
    assert (await small.write_down("big", 1)).bounded
    assert await database.read(value, "SELECT bounded FROM graphs WHERE name = 'big'") == 1


async def test_a_log_that_was_pruned_is_no_loss(graph: Living) -> None:
    await graph.teach(("a", "part_of", "b"))
    assert len(await graph.facts()) == 2
    await graph.teach(("b", "part_of", "c"))
    await graph.database.write(run, "DELETE FROM change")
    assert ("a", "part_of", "c") in await graph.facts()
