"""Near duplicates: what says the same in nearly the same words is found under the older one.

Careful rather than thorough: a wrong merge hides a memory, a missed one costs a line.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import trio

from mimo.errors import Unavailable
from mimo.observability.events import Events
from mimo.services.memory import news
from mimo.services.memory.meaning import Meaning
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, absorb
from mimo.storage.engrams.vectors import Comparable, comparable, newest_id, texts_of
from mimo.vector import from_blob

VERY_CLOSE = 0.96
PORTION = 256
# Articles say nothing; all else does, "not" above all.
_SILENT = frozenset({"a", "an", "An", "the", "The"})
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[^\w\s]")
_STOPS = frozenset(".,;!…\"'`“”’()")  # not "?": who asks does not say so
# A phrase may move to the other end of a text of a sentence or two; what is longer is not looked at so closely.
LONGEST_TURNED = 64


def same_words(one: str, other: str) -> bool:
    """Whether two texts say the same words in the same order, however they are set.

    Numbers and signs count, case does not but in what is no plain word. A phrase may stand at the other end ("in the
    morning she runs"), unless there are numbers. No other order is the same: who owes whom is told by order alone.
    """
    mine, theirs = _words(one), _words(other)
    if mine == theirs:
        return True
    if len(mine) != len(theirs) or len(mine) > LONGEST_TURNED or any(map(_has_digit, mine)):
        return False
    return any(theirs[at:] + theirs[:at] == mine for at in range(1, len(theirs)))


def _words(text: str) -> list[str]:
    return [
        word.casefold() if len(word) > 1 and word[1:].islower() else word
        for word in _WORD.findall(text[:1].lower() + text[1:])
        if word not in _STOPS and word not in _SILENT
    ]


def _has_digit(word: str) -> bool:
    return any(map(str.isdigit, word))


class Merging:
    """Looks at what came since it looked last."""

    def __init__(
        self, database: Database, meaning: Meaning, events: Events, *, clock: Callable[[], int] = now_ms
    ) -> None:
        self._database = database
        self._meaning = meaning
        self._events = events
        self._clock = clock
        self._looked_to: int | None = None

    async def begin(self) -> None:
        """What is there already has been looked at, in an earlier life."""
        self._looked_to = await self._database.read(newest_id)

    async def look(self) -> list[tuple[int, int]]:
        """Which were merged into which."""
        merged: list[tuple[int, int]] = []
        if self._looked_to is None:
            await self.begin()
        while fresh := await self._database.read(
            comparable, self._meaning.model, self._looked_to or 0, PORTION
        ):
            for each in fresh:
                began = trio.current_time()
                into = await self._older(each)
                # Nobody waits for this, and others wait for their answers: it rests as long as it worked.
                await trio.sleep(trio.current_time() - began)
                by = By(self._clock(), secrets.token_hex(8), "")
                if into is not None and await self._database.write(absorb, each.id, into, by, frees=True):
                    merged.append((each.id, into))
                    self._events.publish(news.Merged((name_of(each.id),), name_of(into)))
            self._looked_to = fresh[-1].id
        return merged

    async def _older(self, fresh: Comparable) -> int | None:
        segment = self._meaning.near()
        if segment is None:
            return None
        try:
            near = await segment.nearest(
                from_blob(fresh.blob), 4, groups=[fresh.namespace_number], min_score=VERY_CLOSE, urgent=False
            )
        except Unavailable:
            return None
        older = sorted(each.id for each in near if each.id < fresh.id)
        if not older:
            return None
        there = await self._database.read(texts_of, older)
        return next((id_ for id_, text in there if same_words(text, fresh.content)), None)
