"""Telling those who watch a memory, or a project's context, that it is no longer what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import trio

from mimo.observability.events import Event, Events
from mimo.services.memory import news
from mimo.services.memory.offers import CONTEXT, MEMORY
from mimo.storage.database import Database
from mimo.storage.engrams.engram import namespaces

CHANGES = (news.Added, news.Edited, news.Merged, news.Promoted, news.Expired)


class Watching:
    """A supervised child. `tell` gets the address of each resource that changed."""

    def __init__(self, database: Database, events: Events, tell: Callable[[str], None]) -> None:
        self._database = database
        self._events = events
        self._tell = tell

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with self._events.subscribe(*CHANGES) as changes:
            task_status.started()
            async for change in changes:
                for id_ in _ids(change):
                    self._tell(MEMORY + id_)
                # An edit does not say where its memories live; who is told too often reads once more.
                spaces = (
                    [change.namespace]
                    if isinstance(change, news.Added)
                    else await self._database.read(namespaces)
                )
                for space in spaces:
                    for written in {quote(space, safe=""), quote(space), space}:
                        self._tell(CONTEXT + written)


def _ids(change: Event) -> Iterator[str]:
    match change:
        case news.Added():
            yield from (*change.ids, *change.merged)
        case news.Edited() | news.Expired():
            yield from change.ids
        case news.Merged():
            yield from (*change.ids, change.into)
        case news.Promoted():
            yield change.id
        case _:
            pass
