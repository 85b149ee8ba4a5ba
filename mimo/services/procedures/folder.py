"""A folder of definitions: files are registered when they appear or change, and looked at every few seconds."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
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
        self._refused: dict[str, tuple[str, str]] = {}  # what was said of them, and of that the first
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
        again = self._refused and trio.current_time() - self._tried >= TRY_EVERY
        if again:
            self._tried = trio.current_time()
        files = await trio.to_thread.run_sync(self._files, limiter=self._limiter)
        self._refused = {name: said for name, said in self._refused.items() if name in files}
        for name, mark in files.items():
            if self._seen.get(name) == mark and not (again and name in self._refused):
                continue
            try:
                text = await trio.to_thread.run_sync(self._text, name, limiter=self._limiter)
                await self._registry.define(
                    await self._registry.parse(text, name), self._client, source=f"file:{name}"
                )
            except (MimoError, OSError, UnicodeDecodeError) as error:
                if isinstance(error, Unavailable) and name.endswith(".json"):
                    log.warning("%s: %s", name, error)
                    continue  # the database will be back; of YAML it is PyYAML that is missing
                said = str(error)[:2_000]
                if self._seen.get(name) != mark or self._refused.get(name, ("",))[0] != said:
                    log.warning("%s defines no procedure: %s", name, error)
                    self._events.publish(news.Refused(name, said))
                self._refused[name] = said, _first(error)
                self._tried = trio.current_time()
            else:
                self._refused.pop(name, None)
            self._seen[name] = mark

    @property
    def refused(self) -> Mapping[str, str]:
        """Files that define nothing, and the first reason why."""
        return {name: first for name, (_, first) in self._refused.items()}

    async def sweep(self) -> int:
        """Erase the runs that ended a month ago; how many."""
        total = 0
        while gone := await self._database.write(stored.sweep, self._clock() - KEPT_MS, AT_ONCE, frees=True):
            total += gone
        return total

    def _files(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file():
                        status = entry.stat()
                        found[entry.name] = (status.st_mtime_ns, status.st_size, status.st_ino)
                    if len(found) >= MOST_FILES:
                        break
        except OSError:  # it is not there, or not readable, or a file: there are no definitions in it
            return {}
        return dict(sorted(found.items()))

    def _text(self, name: str) -> str:
        with (Path(self._path) / name).open("rb") as file:
            return file.read(LARGEST).decode("utf-8")


def _first(error: Exception) -> str:
    """Of many problems the first, and how many more there are."""
    problems: Any = error.details.get("problems") if isinstance(error, MimoError) else None
    if not problems:
        return str(error)[:500]
    place, text = problems[0]["place"], problems[0]["problem"]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{f'{place}: ' * bool(place)}{text}"[:500] + more
