"""Forks children that run procedures until they are killed: imports are paid once. Reads one JSON command a line on stdin.

Each child runs one batch of fifty runs after the other; all begin under a key, so that what an earlier life has
begun goes on. Their actions write into a ledger, each line under the key of its action.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import apsw
import trio

from mimo.errors import Conflict
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.procedures import engine, reading
from mimo.services.procedures.wiring import Wired, wired
from mimo.storage.database import Database
from mimo.tool import Answer, Arguments, Call, Client, Tool

IMPORTED = (engine, reading)
RUNS = 50
CLIENT = Client(name="ledger", namespace="ledger")
ENDED = {"completed", "failed", "rolled_back", "needs_attention"}


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # one write, so that a kill leaves no half of it


class Note(Arguments):
    """Write a line into the ledger."""

    run: str
    line: str
    fails: bool = False


def note(run: str, line: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": "note", "arguments": {"run": run, "line": line, **more}}


def undo(line: str) -> dict[str, Any]:
    return {"action": note("${input.run}", line)}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


RUN = "${input.run}"
CHILD: dict[str, Any] = {
    "name": "child",
    "initial": "x",
    "states": {
        "x": {"action": note(RUN, "child x"), "transitions": to("y")},
        "y": {"action": note(RUN, "child y"), "transitions": to("end")},
        "end": {"terminal": "success", "output": "${input.run}"},
    },
}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "initial": "a",
    "states": {
        "a": {"action": note(RUN, "a"), "transitions": to("both"), "compensate": undo("not a")},
        "both": {
            "action": {
                "type": "parallel",
                "branches": {
                    "left": {"action": note(RUN, "left"), "compensate": undo("not left")},
                    "right": {"action": note(RUN, "right")},
                },
            },
            "transitions": to("pause"),
        },
        "pause": {"action": {"type": "wait", "seconds": 0.02}, "transitions": to("child")},
        "child": {
            "action": {"type": "procedure", "procedure": "child", "input": {"run": RUN}},
            "transitions": to("b"),
        },
        "b": {
            "action": note(RUN, "b", fails="${input.fails}"),
            "retry": {"attempts": 2, "backoff": 0.01},
            "transitions": to("end"),
        },
        "end": {"terminal": "success"},
    },
}


async def live(home: Home, first: int, batches: int) -> None:
    async with trio.open_nursery() as nursery:
        database = Database(home, readers=2)
        await nursery.start(database.run)
        await database.write(_make_ledger)
        say("alive")
        toolbox = Toolbox()
        dispatch = Dispatch(toolbox, Events(), Metrics())

        async def write(asked: Note, call: Call) -> Answer:
            if asked.fails:
                raise Conflict("told to fail")
            await database.write(_write_line, asked.run, asked.line, key=call.key)
            return Answer.text("noted", data=asked.line)

        toolbox.add(Tool("note", Note, write, writes=True, keyed=True))
        parts = wired(database, Events(), dispatch.call, toolbox.with_schema, f"{home}/none")
        await nursery.start(parts.runner.run)
        for definition in (CHILD, WHOLE):
            await parts.registry.define(definition, CLIENT)
        for batch in range(first, first + batches):
            async with trio.open_nursery() as runs:
                for number in range(RUNS):
                    runs.start_soon(one, parts, f"{batch}-{number}", number % 5 == 0)
            say(f"batch {batch}")
        nursery.cancel_scope.cancel()


async def one(parts: Wired, name: str, fails: bool) -> None:
    """Begin a run, or take it up again, and wait for its end."""
    id_ = await parts.service.begin("whole", {"run": name, "fails": fails}, CLIENT, name)
    while True:
        changed = parts.runner.changed(id_)
        row, _ = await parts.service.found(id_)
        if row.status in ENDED:
            say(f"ended {name} {row.status}")
            return
        await changed.wait()


def _make_ledger(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY, run TEXT, line TEXT)").fetchall()


def _write_line(db: apsw.Connection, run: str, line: str) -> int:
    db.execute("INSERT INTO ledger (run, line) VALUES (?, ?)", (run, line)).fetchall()
    return db.last_insert_rowid()


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                trio.run(live, Home(command["home"]), command["first"], command["batches"])
            except BaseException as error:
                say(f"error {error!r}")
                os._exit(1)
            os._exit(0)
        say(f"born {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
