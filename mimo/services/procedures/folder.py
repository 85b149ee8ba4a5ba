"""A folder of definitions: files are registered when they appear or change, and looked at every few seconds."""

from __future__ import annotations

import heapq
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from mimo.errors import MimoError, Unavailable
from mimo.observability.events import Events
from mimo.services.procedures import news
from mimo.services.procedures.registry import Registry
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.tool import Client, Trust

log = logging.getLogger(__name__)

EVERY = 2.0
TRY_EVERY = 30.0
SUFFIXES = (".json", ".yaml", ".yml")
MOST_FILES = 1_000
LARGEST = 1 << 20
# Runs that have ended stay readable for a month.
SWEEP_EVERY = 3_600.0
KEPT_MS = 30 * 86_400_000
AT_ONCE = 100

# What may be wrong with a file; anything else is a bug.
_EXPECTED = (MimoError, OSError, UnicodeDecodeError)
Mark = tuple[int, int, int]  # of a file: time, size, inode


class Folder:
    """A supervised child. A file that is gone deactivates nothing: what it defined is defined."""

    def __init__(
        self,
        path: str,
        registry: Registry,
        events: Events,
        database: Database,
        *,
        clock: Callable[[], int],
        every: float = EVERY,
    ) -> None:
        self._path = path
        self._registry = registry
        self._events = events
        self._database = database
        self._clock = clock
        self._every = every
        self._seen: dict[str, Mark] = {}
        self._looked = False
        self._refused: dict[str, tuple[str, str]] = {}  # what was said of them, and of that the first
        self._left_out: tuple[str, int] | None = None  # of too many files the first that is, and how many are
        self._tried = -math.inf
        self._limiter = trio.CapacityLimiter(1)
        self._client = Client(name="folder", trust=Trust.USER)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        swept = trio.current_time()
        while True:
            await self.look()
            await trio.sleep(self._every)
            if trio.current_time() - swept >= SWEEP_EVERY:
                swept = trio.current_time()
                await self.sweep()

    async def look(self) -> None:
        """Register what is new or has changed. What does not fit is tried again now and then: a tool may have come."""
        # A file that was there before us is no word of today's: what was deactivated since stays so.
        revives = self._looked
        again = self._refused and trio.current_time() - self._tried >= TRY_EVERY
        if again:
            self._tried = trio.current_time()
        files, left_out = await trio.to_thread.run_sync(self._files, limiter=self._limiter)
        if left_out is not None and left_out != self._left_out:
            log.warning("%s: %s", _shown(left_out[0]), _too_many(left_out[1]))
        self._left_out = left_out
        self._refused = {name: said for name, said in self._refused.items() if name in files}
        for name, mark in files.items():
            if self._seen.get(name) == mark and not (again and name in self._refused):
                continue
            if (refusal := await self._define(name, revives=revives)) is not None:
                error, said = refusal
                if isinstance(error, Unavailable) and name.endswith(".json"):
                    log.warning("%s: %s", _shown(name), error)
                    continue  # the database will be back; of YAML it is PyYAML that is missing
                if self._seen.get(name) != mark or self._refused.get(name, ("",))[0] != said:
                    ours = not isinstance(error, _EXPECTED)
                    log.warning(
                        "%s defines no procedure: %s", _shown(name), said, exc_info=error if ours else None
                    )
                    self._events.publish(news.Refused(_shown(name), said))
                self._refused[name] = said, _first(error, said)
                self._tried = trio.current_time()
            else:
                self._refused.pop(name, None)
            self._seen[name] = mark
        self._looked = True

    @property
    def refused(self) -> Mapping[str, str]:
        """Files that define nothing, and the first reason why."""
        refused = {_shown(name): first for name, (_, first) in self._refused.items()}
        if self._left_out is not None:
            name, count = self._left_out
            refused[_shown(name)] = _too_many(count)
        return refused

    async def sweep(self) -> int:
        """Erase the runs that ended a month ago; how many."""
        total = 0
        while gone := await self._database.write(stored.sweep, self._clock() - KEPT_MS, AT_ONCE, frees=True):
            total += gone
        return total

    async def _define(self, name: str, *, revives: bool) -> tuple[Exception, str] | None:
        """Register what the file says; or why not. Whatever one file meets is that file's, the others go on."""
        try:
            text = await trio.to_thread.run_sync(self._text, name, limiter=self._limiter)
            raw = await self._registry.parse(text, name)
            await self._registry.define(raw, self._client, source=f"file:{_shown(name)}", revives=revives)
        except _EXPECTED as error:
            return error, str(error)[:2_000]
        except Exception as error:  # a bug of ours; nobody could start mimo while the file lies there
            return error, f"a bug of mimo's ({type(error).__name__}), told in its log"
        return None

    def _files(self) -> tuple[dict[str, Mark], tuple[str, int] | None]:
        """The first by name; and if there are more, the next one and how many."""
        count = 0

        def names(entries: Iterator[os.DirEntry[str]]) -> Iterator[str]:
            nonlocal count
            for entry in entries:
                if entry.name.endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file():
                    count += 1
                    yield entry.name

        found: dict[str, Mark] = {}
        try:
            with os.scandir(self._path) as entries:
                first = heapq.nsmallest(MOST_FILES + 1, names(entries))
        except OSError:  # it is not there, or not readable, or a file: there are no definitions in it
            return {}, None
        for name in first[:MOST_FILES]:
            with suppress(OSError):  # it has gone meanwhile
                status = os.stat(os.path.join(self._path, name))
                found[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found, (first[MOST_FILES], count - MOST_FILES) if count > MOST_FILES else None

    def _text(self, name: str) -> str:
        with (Path(self._path) / name).open("rb") as file:
            return file.read(LARGEST).decode("utf-8")


def _too_many(count: int) -> str:
    files = f"it and {count - 1:,} more files are" if count > 1 else "it is"
    return f"{files} not looked at: the folder may have {MOST_FILES:,}, and those that are first by name are taken"


def _shown(name: str) -> str:
    """A file's name need be no UTF-8, which everything is that we tell and keep."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _first(error: Exception, said: str) -> str:
    """Of many problems the first, and how many more there are."""
    problems: Any = error.details.get("problems") if isinstance(error, MimoError) else None
    if not problems:
        return said[:500]
    place, text = problems[0]["place"], problems[0]["problem"]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{f'{place}: ' * bool(place)}{text}"[:500] + more
