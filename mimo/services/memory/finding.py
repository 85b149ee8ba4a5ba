"""memory_search and memory_get: from what an agent asks to what it reads."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from mimo.errors import InvalidArguments, NotFound
from mimo.observability.events import Events
from mimo.services.memory import arguments, full_texts, news, texts
from mimo.services.memory.found import Found, Hit, Question
from mimo.services.memory.moments import moment, now_ms
from mimo.services.memory.names import name_of, numbers_of
from mimo.services.memory.packing import packed
from mimo.services.memory.search import Search
from mimo.services.memory.spaces import readable
from mimo.services.memory.times import Span, span_of
from mimo.storage.database import Database
from mimo.storage.engrams.history import looked_up
from mimo.storage.engrams.search import Filter
from mimo.tool import Answer, Call, Client

# What an agent is shown when nothing bears on its question.
NEAREST = 3


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
        found, offset = await self.found(asked, call.client)
        # A program is told that nothing bears on it, and gets what is nearest all the same.
        silent = found.abstained and asked.format == "text"
        hits = found.hits[:NEAREST] if silent else found.hits
        kept, rest = _fitting(hits, asked)
        following = offset + len(kept)
        if asked.format == "text":
            kept = packed(kept, None)  # who reads it need not read it twice; programs count what they get
        cursor = _cursor(asked, following) if (rest or found.more) and not silent else None
        if not found.abstained:
            self._used([hit.id for hit in kept])
        self._events.publish(
            news.Recalled(tuple(name_of(hit.id) for hit in kept), found.abstained, call.client.name)
        )
        if asked.format == "json":
            data = {
                "results": [texts.hit_json(hit, full=True) for hit in kept],
                "arms": dict(found.arms),
                "abstained": found.abstained,
                "relevance": round(found.relevance, 4),
                "cursor": cursor,
            }
            return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
        full = asked.detail == "full"
        return Answer.text(
            texts.found_text(asked.query, kept, found, full=full, why=asked.why, cursor=cursor)
        )

    async def found(self, asked: arguments.Search, client: Client) -> tuple[Found, int]:
        """What the arms found for these arguments, and where in the whole list that begins.

        Raises:
            NotFound, InvalidArguments: the namespace, the time or the cursor is none.
        """
        spaces = await readable(self._database, asked.namespace, client)
        span = self._span(asked.time)
        offset = _offset(asked)
        question = Question(
            text=asked.query,
            filter=Filter(
                namespaces=spaces,
                kinds=tuple(asked.kinds) if asked.kinds else None,
                tags=tuple(asked.tags) if asked.tags else None,
                since=span.since,
                until=span.until,
                as_of=None if asked.as_of is None else moment(asked.as_of, "as_of"),
            ),
            limit=asked.limit,
            offset=offset,
            strategy=asked.strategy,
            why=asked.why,
        )
        return await self._search.find(question), offset

    async def get(self, asked: arguments.Get, call: Call) -> Answer:
        ids = numbers_of(asked.ids)
        there = await self._database.read(looked_up, ids, asked.history)
        missing = [name_of(id_) for id_ in ids if id_ not in {each.engram.id for each in there}]
        if not there:
            raise NotFound(f"no memory is called {', '.join(missing)}; memory_search shows the ids there are")
        self._used([each.engram.id for each in there if each.engram.state in {"live", "working"}])
        if asked.format == "json":
            data = {
                "results": [full_texts.looked_up_json(each, history=asked.history) for each in there],
                "missing": missing,
            }
            return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
        parts = [full_texts.looked_up_text(each, history=asked.history) for each in there]
        if missing:
            parts.append(f"not there: {', '.join(missing)}")
        return Answer.text(full_texts.cut("\n\n".join(parts), asked.max_chars))

    def _span(self, text: str | None) -> Span:
        if text is None:
            return Span(None, None)
        span = span_of(text, datetime.fromtimestamp(self._clock() / 1000, UTC))
        if span is None:
            raise InvalidArguments(
                f"time was not understood (got {text[:60]!r}); say yesterday, last week, 3 days ago, since March, 2031-05-23",
                fields=["time"],
            )
        return span


def _fitting(hits: Sequence[Hit], asked: arguments.Search) -> tuple[Sequence[Hit], Sequence[Hit]]:
    """As many as the budget holds, at least one, and those that are left for the next page.

    Programs that ask for JSON get every result they asked for, unless they set a budget themselves.
    """
    budget = asked.max_chars
    if asked.format == "json" and "max_chars" not in asked.model_fields_set:
        budget = arguments.MOST_CHARS
    for at, hit in enumerate(hits):
        size = (
            len(hit.content) if asked.format == "json" else len(texts.line(hit, full=asked.detail == "full"))
        )
        budget -= size + 1
        if budget < 0 and at > 0:
            return hits[:at], hits[at:]
    return hits, ()


def _cursor(asked: arguments.Search, offset: int) -> str:
    """Where the next page begins, and a mark of the question, for it fits no other."""
    return f"{offset}-{_mark(asked)}"


def _offset(asked: arguments.Search) -> int:
    if asked.cursor is None:
        return 0
    number, _, mark = asked.cursor.partition("-")
    if not (number.isascii() and number.isdigit()) or len(number) > 6 or mark != _mark(asked):
        raise InvalidArguments(
            "cursor belongs to another question; take it from the answer to this one", fields=["cursor"]
        )
    return int(number)


def _mark(asked: arguments.Search) -> str:
    what = asked.model_dump_json(exclude={"cursor", "limit", "max_chars", "detail", "why", "format"})
    return f"{zlib.crc32(what.encode()):08x}"
