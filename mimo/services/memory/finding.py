"""memory_search and memory_get: from what an agent asks to what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from mimo.errors import InvalidArguments, NotFound
from mimo.observability.events import Events
from mimo.services.memory import arguments, news
from mimo.services.memory.found import Found, Question
from mimo.services.memory.moments import moment, now_ms
from mimo.services.memory.names import name_of, numbers_of
from mimo.services.memory.pages import looked_up_page, offset_of, page_of
from mimo.services.memory.search import Search
from mimo.services.memory.spaces import readable, require_said
from mimo.services.memory.time_filters import FORMS, span_of
from mimo.services.memory.times import Span
from mimo.storage.database import Database
from mimo.storage.engrams.history import looked_up
from mimo.storage.engrams.search import Filter
from mimo.tool import Answer, Call, Client


class Finding:
    def __init__(
        self,
        database: Database,
        search: Search,
        events: Events,
        used: Callable[[Sequence[int]], None],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._search = search
        self._events = events
        self._used = used
        self._clock = clock

    async def search(self, asked: arguments.Search, call: Call) -> Answer:
        found = await self.found(asked, call.client)
        page = page_of(asked, found)
        if not found.abstained:
            self._used([hit.id for hit in page.shown])
        self._events.publish(
            news.Recalled(tuple(name_of(hit.id) for hit in page.shown), found.abstained, call.client.name)
        )
        return page.answer

    async def found(self, asked: arguments.Search, client: Client) -> Found:
        """What the arms found for these arguments.

        Raises:
            NotFound, InvalidArguments: the namespace, the time or the cursor is none.
        """
        span = self._span(asked.time)
        question = Question(
            text=asked.query,
            filter=Filter(
                namespaces=readable(asked.namespace, client),
                kinds=tuple(asked.kinds) if asked.kinds else None,
                tags=tuple(asked.tags) if asked.tags else None,
                since=span.since,
                until=span.until,
                as_of=None if asked.as_of is None else moment(asked.as_of, "as_of"),
            ),
            limit=asked.limit,
            offset=offset_of(asked),
            strategy=asked.strategy,
            why=asked.why,
        )
        found = await self._search.find(question)
        if not found.hits:  # else something is stored there
            await require_said(self._database, asked.namespace, client)
        return found

    async def get(self, asked: arguments.Get, call: Call) -> Answer:
        ids = numbers_of(asked.ids)
        there = await self._database.read(looked_up, ids, asked.history)
        missing = [name_of(id_) for id_ in ids if id_ not in {each.engram.id for each in there}]
        if not there:
            raise NotFound(f"no memory is called {', '.join(missing)}; memory_search shows the ids there are")
        self._used([each.engram.id for each in there if each.engram.state in {"live", "working"}])
        return looked_up_page(asked, there, missing)

    def _span(self, text: str | None) -> Span:
        if text is None:
            return Span(None, None)
        span = span_of(text, datetime.fromtimestamp(self._clock() / 1000, UTC))
        if span is None:
            raise InvalidArguments(
                f"time was not understood (got {text[:60]!r}); say {FORMS}",
                fields=["time"],
            )
        return span
