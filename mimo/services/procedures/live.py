"""A run in memory: from its row, and back to what is written of a turn."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from mimo.errors import MimoError
from mimo.observability.events import Event
from mimo.services.procedures import news
from mimo.services.procedures.calling import client_of
from mimo.services.procedures.happenings import Act, Advanced, Failed, Finished, Happening
from mimo.services.procedures.runs import ENDED, Run, Status, Trouble, from_json
from mimo.services.procedures.written import written
from mimo.storage.procedures.runs import Parent, Row, Saved
from mimo.tool import Client

if TYPE_CHECKING:
    from mimo.services.procedures.definition import Definition


@dataclass(eq=False, slots=True)
class Reply:
    """Where somebody waits for what became of what they asked."""

    done: trio.Event = field(default_factory=trio.Event)
    said: str = ""
    error: MimoError | None = None


@dataclass(eq=False, slots=True)
class Change:
    """The next turn of a run, for whoever waits for it."""

    made: trio.Event = field(default_factory=trio.Event)
    run: Run | None = None
    next: Change | None = None

    async def wait(self) -> tuple[Run, Change]:
        """The run as it was saved with it, and the change after: none is missed in between."""
        await self.made.wait()
        assert self.run is not None
        assert self.next is not None
        return self.run, self.next


@dataclass(frozen=True, slots=True)
class Flight:
    """An action that is to be done, and what stops it."""

    act: Act
    scope: trio.CancelScope


@dataclass(eq=False, slots=True)
class Live:
    """A run in memory, and what has happened to it that no turn was made of yet."""

    id: int
    inbox: deque[tuple[Happening, Reply | None]] = field(default_factory=deque[Any])
    busy: bool = False
    run: Run | None = None
    turn: int = 0
    definition_id: int = 0
    parent: Parent | None = None
    client: Client = field(default_factory=Client)
    free_hand: bool = False  # who makes its turns has just done an action, and can do the next
    in_hand: Flight | None = None  # what that will be


def saved_of(before: Run | None, advanced: Advanced) -> Saved:
    """What is written of a turn."""
    run = advanced.run
    same = before is not None and run.context is before.context
    return Saved(
        run.status.value,
        run.state,
        advanced.text,
        None if same else advanced.context or written(run.context),
        run.wake,
        run.status in ENDED,
        [
            (
                each.number, each.kind, each.state, each.step, each.attempt,
                None if each.detail is None else written(each.detail),
            )
            for each in advanced.entries
        ],
    )  # fmt: skip


def awaits_child(row: Row) -> bool:
    """May it, as far as its text says?"""
    return '"phase":"child"' in row.run or '"phase":"leaving"' in row.run


def ended_child(parent: Parent, run: Run) -> Finished | Failed:
    """What its end means to the run that waits for it."""
    if run.status is Status.COMPLETED:
        return Finished(parent.step, parent.attempt, run.output)
    said = run.trouble.message if run.trouble is not None else run.status.value
    return Failed(
        parent.step, parent.attempt, Trouble("child", f"the child {run.status.value}: {said}"[:2_000])
    )


def news_of(live: Live, definition: Definition, run: Run) -> Iterator[Event]:
    """What is told of a turn."""
    name, procedure, version = f"r{live.id}", definition.name, definition.version
    prompt = next((each.prompt for each in run.activities if each.prompt), "")
    parent = "" if live.parent is None else f"r{live.parent.id}"
    yield news.Updated(name, procedure, version, run.status.value, run.state, run.entries, prompt, parent)
    if run.status in ENDED:
        yield news.Ended(
            name, procedure, version, run.status.value, "" if run.trouble is None else run.trouble.kind
        )


def run_of(row: Row) -> Run:
    told: Mapping[str, Any] = json.loads(row.run)
    return from_json(row.id, row.status, told, json.loads(row.context))


def load(live: Live, row: Row) -> None:
    live.run = run_of(row)
    live.turn = row.turn
    live.definition_id = row.definition_id
    live.parent = row.parent
    live.client = client_of(json.loads(row.client))
