"""Remembering: many at once or one, all or nothing, and under the same key only once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mimo.errors import InvalidArguments
from mimo.observability.events import Events
from mimo.services.memory import news
from mimo.services.memory.actions import action_of
from mimo.services.memory.arguments import Item
from mimo.services.memory.drafts import drafted
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of, naming
from mimo.storage.database import Database
from mimo.storage.engrams.add import add
from mimo.tool import Client

# Below this many characters, checking takes less time than the way into a thread and back.
INLINE_CHARACTERS = 50_000


@dataclass(frozen=True, slots=True)
class Remembered:
    """What became of one item: added, merged into what was there, or promoted from working memory."""

    id: str
    op: str
    redacted: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


class Adding:
    def __init__(self, database: Database, events: Events, *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._events = events
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)

    async def add(
        self, items: Sequence[Item], namespace: str, client: Client, key: str | None = None
    ) -> list[Remembered]:
        """Durable when it returns, and found by words. By meaning a moment later.

        Raises:
            InvalidArguments, NotFound: one item does not fit; nothing was written.
        """
        if not items:
            raise InvalidArguments(
                "nothing to remember: give content, or items with at least one", fields=["content"]
            )
        now = self._clock()
        if sum(len(item.content) for item in items) > INLINE_CHARACTERS:
            done = await trio.to_thread.run_sync(drafted, items, client, now, limiter=self._limiter)
        else:
            done = drafted(items, client, now)
        # A key belongs to a namespace: two projects that count their notes do not meet.
        kept = None if key is None else f"add {namespace[:40]} {key}"
        with naming("nothing was written"):
            answers = await self._database.write(
                add, namespace, [each.draft for each in done], now, action_of(client), key=kept
            )
        remembered = [
            Remembered(
                name_of(id_),
                op,
                each.redacted,
                tuple(name_of(old) for old in each.draft.supersedes if old != id_),
            )
            for (id_, op), each in zip(answers, done, strict=False)
        ]
        self._events.publish(
            news.Added(
                namespace,
                tuple(each.id for each in remembered if each.op == "added"),
                tuple(each.id for each in remembered if each.op != "added"),
                client.name,
            )
        )
        return remembered
