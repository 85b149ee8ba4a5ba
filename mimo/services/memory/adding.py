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
from mimo.services.memory.drafts import Drafted, drafted
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of, naming
from mimo.storage.answers import Key
from mimo.storage.database import Database
from mimo.storage.engrams.add import add
from mimo.storage.engrams.engram import missing_of
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
    erased: bool = False  # by now; it was added earlier, under the same key


class Adding:
    def __init__(
        self,
        database: Database,
        events: Events,
        added: Callable[[Sequence[int]], None],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`added` is told the ids of what one call added."""
        self._database = database
        self._events = events
        self._added = added
        self._clock = clock
        self._limiter = trio.CapacityLimiter(1)

    async def add(
        self, items: Sequence[Item], namespace: str, client: Client, key: str | None = None
    ) -> list[Remembered]:
        """Durable when it returns, and found by words. By meaning a moment later.

        Raises:
            InvalidArguments, NotFound: one item does not fit; nothing was written.
            Conflict: so it is if the key was used for something else.
        """
        if not items:
            raise InvalidArguments(
                "nothing to remember: give content, or items with at least one", fields=["content"]
            )
        now = self._clock()

        def prepared() -> tuple[list[Drafted], Key | None]:
            return drafted(items, client, now), None if key is None else _kept(items, namespace, key)

        if sum(len(item.content) for item in items) > INLINE_CHARACTERS:
            done, kept = await trio.to_thread.run_sync(prepared, limiter=self._limiter)
        else:
            done, kept = prepared()
        with naming("nothing was written"):
            answers = await self._database.write(
                add, namespace, [each.draft for each in done], now, action_of(client), key=kept
            )
        ids = [id_ for id_, _ in answers]
        self._added(ids)
        erased = [] if kept is None else await self._database.read(missing_of, ids)
        remembered = [
            Remembered(
                name_of(id_),
                op,
                each.redacted,
                tuple(name_of(old) for old in each.draft.supersedes if old != id_),
                id_ in erased,
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


def _kept(items: Sequence[Item], namespace: str, key: str) -> Key:
    """A key belongs to a namespace: two projects that count their notes do not meet."""
    told = [item.model_dump(mode="json", exclude_defaults=True) for item in items]
    return Key.of(f"add {namespace[:40]} {key}", namespace, told, shown=key)
