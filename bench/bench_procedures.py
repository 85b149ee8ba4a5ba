"""What procedures cost: registering, a durable transition, many at once, waiting, resuming. Beside dbos and transitions.

dbos (durable workflows on SQLite) and transitions (in memory, nothing durable) are measured in the same run if they are
installed. Every transition of ours is committed with synchronous=FULL before the next action starts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import apsw
import trio

from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.procedures.runs import ENDED
from mimo.services.procedures.wiring import Wired, wired
from mimo.storage.database import Database
from mimo.tool import Answer, Arguments, Call, Client, Tool

CLIENT = Client(name="bench", namespace="bench")
STEPS = 20
BUDGETS = {
    "register_ms": ("<=", 2.0),
    "transition_p50_ms": ("<=", 1.5),
    "transitions_per_second_64": (">=", 3_000.0),
    "five_states_ms": ("<=", 10.0),
    "waiting_1000_mb": ("<=", 30.0),
    "waiting_1000_cpu_percent": ("<=", 1.0),
    "resume_1000_waiting_s": ("<=", 1.0),
    "resume_1000_in_flight_s": ("<=", 1.0),
}


class Nothing(Arguments):
    """Does nothing."""

    n: int = 0


class House:
    """Procedures with one tool that answers at once, or never."""

    def __init__(self, database: Database, folder: str) -> None:
        self.hold = False
        toolbox = Toolbox()
        dispatch = Dispatch(toolbox, Events(), Metrics())
        toolbox.add(Tool("nothing", Nothing, self._nothing, idempotent=True, seconds=1_000))
        self.parts: Wired = wired(database, Events(), dispatch.call, toolbox.with_schema, folder)

    async def _nothing(self, asked: Nothing, call: Call) -> Answer:
        if self.hold:
            await trio.sleep_forever()
        return Answer.text("done", data=asked.n)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[House]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.parts.runner.run)
            yield self
            nursery.cancel_scope.cancel()

    async def define(self, raw: dict[str, Any]) -> None:
        await self.parts.registry.define(raw, CLIENT)

    async def begin(self, name: str) -> int:
        return await self.parts.service.begin(name, {}, CLIENT)

    async def whole(self, name: str) -> None:
        """A run from its beginning to its end."""
        id_ = await self.begin(name)
        changed = self.parts.runner.changed(id_)
        _, run = await self.parts.service.found(id_)
        while run.status not in ENDED:
            run, changed = await changed.wait()


def chain(name: str, length: int, version: str = "1.0") -> dict[str, Any]:
    action = {"type": "tool", "tool": "nothing", "arguments": {"n": 1}}
    states: dict[str, Any] = {
        f"s{n}": {"action": action, "transitions": [{"to": f"s{n + 1}" if n < length - 1 else "end"}]}
        for n in range(length)
    }
    return {
        "name": name,
        "version": version,
        "initial": "s0",
        "states": {**states, "end": {"terminal": "success"}},
    }


async def ours(whole: bool) -> dict[str, float]:
    """One round. `whole`: also those that wait and are resumed, which takes a while."""
    told: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("MIMO_BENCH_DIR")) as directory:
        database = Database(Home(os.path.join(directory, "home")))
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            house = House(database, os.path.join(directory, "none"))
            async with house.running():
                await house.define(chain("warm", 3))
                await house.whole("warm")
                told["register_ms"] = await registering(house, 50)
                await house.define(chain("long", STEPS))
                await house.define(chain("five", 5))
                told["transition_p50_ms"] = await one_at_a_time(house, 10)
                told["transitions_per_second_64"] = await many(house, 64, 3)
                told["five_states_ms"] = await five(house, 20)
            if whole:
                await waiting(database, directory, told)
                told["resume_1000_in_flight_s"] = await in_flight(database, directory)
            nursery.cancel_scope.cancel()
    return told


def in_turns(rounds: int) -> dict[str, Any]:
    """Ours and dbos one after the other, so that what else the machine does meets both; the median of each figure."""
    mine = [trio.run(ours, True)]
    theirs: list[dict[str, float]] = []
    if (peer := dbos_peer()) is not None:
        for number in range(rounds):
            theirs.append(peer(10))
            mine.append(trio.run(ours, False))
            if number == rounds - 1:
                peer(0)
    told: dict[str, Any] = {"mimo": medians(mine), "engine alone": engine_alone(200)}
    told["dbos"] = medians(theirs) if theirs else None
    told["transitions"] = with_transitions(200)
    return told


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {
        figure: statistics.median(each[figure] for each in rounds if figure in each) for figure in rounds[0]
    }


async def registering(house: House, count: int) -> float:
    took: list[float] = []
    for n in range(count):
        raw = chain(f"p{n}", 5)
        began = time.perf_counter()
        await house.define(raw)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


async def one_at_a_time(house: House, runs: int) -> float:
    took: list[float] = []
    for _ in range(runs):
        before, began = house.parts.runner.turns, time.perf_counter()
        await house.whole("long")
        took.append((time.perf_counter() - began) / (house.parts.runner.turns - before))
    return statistics.median(took) * 1000


async def many(house: House, at_once: int, each: int) -> float:
    async def worker() -> None:
        for _ in range(each):
            await house.whole("long")

    before, began = house.parts.runner.turns, time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(worker)
    return (house.parts.runner.turns - before) / (time.perf_counter() - began)


async def five(house: House, count: int) -> float:
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await house.whole("five")
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


async def waiting(database: Database, directory: str, told: dict[str, float]) -> None:
    wait = {
        "a": {
            "action": {"type": "await", "events": ["go"]},
            "timeout": 86_400,
            "transitions": [{"event": "go", "to": "b"}],
        },
        "b": {"terminal": "success"},
    }
    house = House(database, os.path.join(directory, "none"))
    async with house.running():
        await house.define({"name": "wait", "initial": "a", "states": wait})
        for _ in range(100):
            await house.begin("wait")
        before = rss()
        async with trio.open_nursery() as nursery:
            for _ in range(1_000):
                nursery.start_soon(house.begin, "wait")
        told["waiting_1000_mb"] = (rss() - before) / 1e6
        await trio.sleep(3)  # the database comes to rest
        cpu, began = time.process_time(), time.perf_counter()
        await trio.sleep(3)
        told["waiting_1000_cpu_percent"] = (time.process_time() - cpu) / (time.perf_counter() - began) * 100
    again = House(database, os.path.join(directory, "none"))
    began = time.perf_counter()
    async with again.running():
        told["resume_1000_waiting_s"] = time.perf_counter() - began
    await database.write(end_all)


async def in_flight(database: Database, directory: str) -> float:
    """A hundred hold a place and are called again, the others queue, as they did."""
    house = House(database, os.path.join(directory, "none"))
    house.hold = True
    async with house.running():
        await house.define(chain("held", 2))
        async with trio.open_nursery() as nursery:
            for _ in range(1_000):
                nursery.start_soon(house.begin, "held")
    again = House(database, os.path.join(directory, "none"))
    again.hold = True
    began = time.perf_counter()
    async with again.running():
        runner = again.parts.runner
        while runner.places.running + runner.places.waiting < 1_000:  # noqa: ASYNC110 (it is watched from outside)
            await trio.sleep(0.002)
        return time.perf_counter() - began


def end_all(db: apsw.Connection) -> None:
    db.execute("UPDATE procedure_executions SET status = 'completed', wake_at = NULL").fetchall()


def rss() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def dbos_peer() -> Callable[[int], dict[str, float]] | None:
    """The same chain as a durable workflow on SQLite: one step after the other, then 64 at once. 0 runs: the end."""
    try:
        from dbos import DBOS
    except ImportError:
        return None
    directory = tempfile.TemporaryDirectory(dir=os.environ.get("MIMO_BENCH_DIR"))
    config: Any = {
        "name": "bench",
        "system_database_url": f"sqlite:///{directory.name}/dbos.sqlite",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    DBOS(config=config)

    @DBOS.step()
    def nothing(n: int) -> int:
        return n

    @DBOS.workflow()
    def workflow(length: int) -> int:
        for n in range(length):
            nothing(n)
        return length

    DBOS.launch()
    workflow(2)

    def round_of(runs: int) -> dict[str, float]:
        if not runs:
            DBOS.destroy()
            directory.cleanup()
            return {}
        took: list[float] = []
        five_took: list[float] = []
        for _ in range(runs):
            began = time.perf_counter()
            workflow(STEPS)
            took.append((time.perf_counter() - began) / STEPS)
            began = time.perf_counter()
            workflow(5)
            five_took.append(time.perf_counter() - began)
        began = time.perf_counter()
        for handle in [DBOS.start_workflow(workflow, STEPS) for _ in range(64)]:
            handle.get_result()
        return {
            "transition_p50_ms": statistics.median(took) * 1000,
            "transitions_per_second_64": 64 * STEPS / (time.perf_counter() - began),
            "five_states_ms": statistics.median(five_took) * 1000,
        }

    return round_of


def with_transitions(runs: int) -> dict[str, float] | None:
    """In memory, nothing durable: what a state machine costs that forgets."""
    try:
        from transitions import Machine
    except ImportError:
        return None
    names = [f"s{n}" for n in range(STEPS + 1)]
    took: list[float] = []
    for _ in range(runs):
        machine: Any = Machine(states=names, initial="s0", auto_transitions=False)
        machine.add_ordered_transitions(loop=False)
        began = time.perf_counter()
        for _ in range(STEPS):
            machine.next_state()
        took.append((time.perf_counter() - began) / STEPS)
    return {"transition_p50_ms": statistics.median(took) * 1000}


def engine_alone(runs: int) -> dict[str, float]:
    """Ours without the disk, the loop and the call: the pure function."""
    from mimo.services.procedures.definition import Definition
    from mimo.services.procedures.engine import advance, new_run
    from mimo.services.procedures.happenings import Act, Began, Finished

    definition = Definition.model_validate_json(json.dumps(chain("long", STEPS)))
    took: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        made = advance(definition, new_run(1, "u", definition, {}, 0), Began(), 0)
        while made.run.status not in ENDED:
            (act,) = (each for each in made.intents if isinstance(each, Act))
            made = advance(definition, made.run, Finished(act.step, act.attempt, 1), 0)
        took.append((time.perf_counter() - began) / STEPS)
    return {"transition_p50_ms": statistics.median(took) * 1000}


def table(told: dict[str, Any]) -> str:
    columns = [name for name in told if told[name] is not None]
    lines = [f"{'':<28}" + "".join(f"{name:>18}" for name in columns) + f"{'budget':>14}"]
    for figure, (sign, budget) in BUDGETS.items():
        cells = [told[name].get(figure) for name in columns]
        shown = "".join(f"{'' if cell is None else f'{cell:,.3f}':>18}" for cell in cells)
        lines.append(f"{figure:<28}{shown}{sign:>6}{budget:>8,.1f}")
    missing = [name for name in told if told[name] is None]
    return "\n".join([*lines, *(f"{name} is not installed" for name in missing)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = in_turns(given.rounds)
    print(json.dumps(result, indent=2) if given.json else table(result))
