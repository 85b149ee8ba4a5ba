"""A program to be killed: teaches, retracts and infers without an end, and says what was acknowledged."""

from __future__ import annotations

import os
import random
import sys

import trio

from mimo.home import Home
from mimo.observability.events import Events
from mimo.services.graph.arguments import Knowledge
from mimo.services.graph.doorstep import Doorstep
from mimo.services.memory.moments import now_ms
from mimo.storage.database import Database
from mimo.tool import Call, Client

CALL = Call("1", Client(name="teacher", namespace="proj"))


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # one write, so that a kill leaves no half of it


async def main(home: str, seed: int) -> None:
    database = Database(Home(home))
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        door = Doorstep(database, Events(), None, clock=now_ms)
        parts = await door.made()

        async def call(**arguments: object) -> dict[str, list[dict[str, str]]]:
            asked = Knowledge.model_validate({"format": "json"} | arguments)
            return (await parts.service.knowledge(asked, CALL)).data

        async def teacher(number: int) -> None:
            pick = random.Random(seed * 100 + number)
            while True:
                # Things of a tree and their neighbours: some conclusions from each fact, not the square of all.
                some = [pick.randrange(2, 600) for _ in range(pick.randrange(1, 8))]
                triples = [[f"n{n}", pick.choice(["part_of", "manages"]), f"n{n // 2}"] for n in some]
                triples += [[f"n{n}", "adjacent_to", f"n{n ^ 1}"] for n in some[:2]]
                told = (await call(operation="teach", triples=triples))["results"]
                ids = [each["id"] for each in told]
                say(f"taught {' '.join(ids)}")
                if pick.random() < 0.4:
                    gone = pick.choice(ids)
                    say(f"retracting {gone}")
                    await call(operation="retract", ids=[gone])
                    say(f"retracted {gone}")

        async def thinker() -> None:
            while True:
                await parts.inferring.infer("proj")
                say("inferred")
                await trio.sleep(0.001)

        for number in range(3):
            nursery.start_soon(teacher, number)
        nursery.start_soon(thinker)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
