"""The children of runs: begun once, stopped when nobody needs them any more, and found when mimo ended in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio

from mimo.services.procedures.happenings import Bear, Failed, Happening, Hold, Interrupt, Pause, Stop
from mimo.services.procedures.live import Live, ended_child, run_of
from mimo.services.procedures.runs import ENDED, Phase, Trouble
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.storage.procedures.runs import Parent, Row

if TYPE_CHECKING:
    from mimo.services.procedures.definition import Definition

Ask = Callable[..., Awaitable[Any]]


class Children:
    """`begin` starts a child, or says what became of it (see starting.py); `when_there` asks the database until it answers."""

    def __init__(self, database: Database, post: Callable[[int, Happening], None], when_there: Ask) -> None:
        self._database = database
        self._post = post
        self._when_there = when_there
        self._births: dict[Parent, trio.Event] = {}
        self.begin: Callable[[Live, Definition, Bear], Awaitable[None]] | None = None

    def expect(self, parent: int, bear: Bear) -> None:
        """It is about to be born; whoever is to stop it has to wait for that."""
        self._births.setdefault(Parent(parent, bear.step, bear.attempt), trio.Event())

    async def bear(self, parent: Live, definition: Definition, bear: Bear) -> None:
        assert self.begin is not None
        try:
            await self.begin(parent, definition, bear)
        finally:
            of = Parent(parent.id, bear.step, bear.attempt)
            if (born := self._births.pop(of, None)) is not None:  # asked for twice, it is born once
                born.set()

    async def stop(self, parent: int, stop: Stop) -> None:
        """Hold it, or have it take back what it did; its parent hears when it has ended, also if that was before."""
        of = Parent(parent, stop.step, stop.attempt)
        child = await self._born(of)
        if child is None:
            if stop.rollback:
                trouble = Trouble("child", "it was never begun", retry=False)
                self._post(parent, Failed(of.step, of.attempt, trouble))
            return
        row: Row = await self._when_there(self._database.read, stored.found, child)
        if (run := run_of(row)).status not in ENDED:
            self._post(child, Interrupt(stop.rollback))
        elif stop.rollback:
            self._post(parent, ended_child(of, run))

    async def hold(self, parent: int, hold: Hold) -> None:
        """Pause it, if there is one: one that is not born yet is not, until its parent goes on."""
        child = await self._born(Parent(parent, hold.step, hold.attempt))
        if child is not None:
            self._post(child, Pause(held=True))

    async def _born(self, of: Parent) -> int | None:
        if (born := self._births.get(of)) is not None:
            await born.wait()
        child: int | None = await self._when_there(self._database.read, stored.child_of, of)
        return child

    async def unneeded(self, rows: Sequence[Row]) -> Sequence[int]:
        """Those of these runs whose parents do not wait for them: mimo ended before they could be stopped."""
        by_id = {row.id: row for row in rows}
        found: list[int] = []
        for row in rows:
            if (of := row.parent) is None:
                continue
            parent = by_id.get(of.id) or await self._when_there(self._database.read, stored.found, of.id)
            if parent is None or not _waits(parent, of):
                found.append(row.id)
        return found


def _waits(parent: Row, of: Parent) -> bool:
    return any(
        (each.step, each.attempt, each.phase) == (of.step, of.attempt, Phase.CHILD)
        for each in run_of(parent).activities
    )
