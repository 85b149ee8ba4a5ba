"""All memories as JSON lines: written out without loss, and taken in line by line.

A line that is not understood is told by its number and keeps no other out. A line with nothing but
`content` is a memory, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias, cast

from mimo.errors import InvalidArguments
from mimo.services.memory import carried_lines
from mimo.services.memory.carried_lines import read_line
from mimo.services.memory.drafts import content_hash
from mimo.services.memory.moments import now_ms
from mimo.services.memory.spaces import require
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engrams.take_in import ADDED, KNOWN, NOT_COUNTED, Header, Thing, take_in_all
from mimo.storage.engrams.transfer import Carried, carried, counts, days, places, ties
from mimo.tool import Client, Json, JsonObject

Tell: TypeAlias = Callable[[str, JsonObject], Awaitable[None]]

PORTION = 100
# A notification has to stay well under the longest line that a client accepts.
MOST_BYTES = 1 << 20
MOST_LINES = 5_000


class Transfer:
    """The control methods `mimo/export` and `mimo/import`."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._clock = clock

    async def give_out(self, params: JsonObject, client: Client, tell: Tell) -> Json:
        """Notifications `mimo/exported` with lines, then how many lines it were."""
        namespace: Any = params.get("namespace")
        if namespace is not None:
            if not isinstance(namespace, str):
                raise InvalidArguments("namespace must be text")
            await require(self._database, namespace)
        told = await self._database.read(counts, namespace)
        total = 2 + told.places + told.engrams + told.ties
        waiting: list[str] = []
        size = sent = 0
        async with aclosing(self.lines(namespace)) as lines:
            async for line in lines:
                waiting.append(line)
                size += len(line)
                if size >= MOST_BYTES or len(waiting) >= MOST_LINES:
                    await tell("mimo/exported", {"lines": waiting, "total": total})
                    sent += len(waiting)
                    waiting, size = [], 0
        if waiting:
            await tell("mimo/exported", {"lines": waiting, "total": total})
        return {"lines": sent + len(waiting)}

    async def lines(self, namespace: str | None = None) -> AsyncGenerator[str]:
        """All of it, or one namespace."""
        read = self._database.read
        yield carried_lines.header_line(await read(counts, namespace))
        yield carried_lines.days_line(await read(days))
        for place in await read(places, namespace):
            yield carried_lines.place_line(place)
        after = 0
        while portion := await read(carried, namespace, after, PORTION):
            for each in portion:
                yield carried_lines.memory_line(each)
            after = portion[-1].engram.id
        for tie in await read(ties, namespace):
            yield carried_lines.tie_line(tie)

    async def take_in(self, params: JsonObject, client: Client) -> Json:
        """`{"lines": [...], "first": 1, "dry_run": false}`: how many were added, how many known, and which are wrong.

        `promised` are the first lines of exports with how many lines they say that there are: whoever sends
        the last one knows whether they came. `redacted` counts what a secret was taken out of.
        """
        lines: Any = params.get("lines")
        if not isinstance(lines, list) or not all(isinstance(each, str) for each in cast("list[Any]", lines)):
            raise InvalidArguments('mimo/import takes {"lines": ["...", ...]}')
        first: Any = params.get("first", 1)
        number = first if isinstance(first, int) else 1
        return await self.taken_in(
            cast("list[str]", lines), client, first=number, dry_run=params.get("dry_run") is True
        )

    async def taken_in(
        self, lines: Sequence[str], client: Client, *, first: int = 1, dry_run: bool = False
    ) -> dict[str, Any]:
        now = self._clock()
        numbers: list[int] = []
        wanted: list[Thing] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            try:
                wanted.append(read_line(line, client.namespace, now))
                numbers.append(number)
            except InvalidArguments as error:
                errors.append({"line": number, "message": error.message})
        outcomes = await self._database.write(take_in_all, wanted, (extra_of, content_hash), dry_run)
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome not in {ADDED, KNOWN, NOT_COUNTED}:
                errors.append({"line": number, "message": outcome})
        return {
            "added": outcomes.count(ADDED),
            "known": outcomes.count(KNOWN),
            "errors": sorted(errors, key=lambda error: cast("int", error["line"])),
            "redacted": sum(isinstance(thing, Carried) and bool(thing.redacted) for thing in wanted),
            "promised": [
                {"line": number, "lines": thing.lines}
                for number, thing in zip(numbers, wanted, strict=True)
                if isinstance(thing, Header)
            ],
        }
