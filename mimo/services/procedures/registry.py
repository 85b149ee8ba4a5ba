"""What is defined: registered once for all doors, read back with its hash checked, found again by memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import trio

from mimo.errors import NotFound, Unusable
from mimo.observability.events import Events
from mimo.services.memory.arguments import Item
from mimo.services.memory.drafts import drafted
from mimo.services.memory.spaces import USER
from mimo.services.memory.words import extra_of
from mimo.services.procedures import news
from mimo.services.procedures.calling import Find
from mimo.storage.database import Database
from mimo.storage.engrams.add import Draft
from mimo.storage.engrams.changes import By
from mimo.storage.procedures import definitions as stored
from mimo.storage.procedures.definitions import Kept
from mimo.tool import Client

if TYPE_CHECKING:
    from mimo.services.procedures.checking import Problem
    from mimo.services.procedures.definition import Definition

MOST_CACHED = 256


class Registry:
    """Definitions by name and version; each is parsed once."""

    def __init__(self, database: Database, events: Events, find: Find, *, clock: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._find = find
        self._clock = clock
        self._cache: dict[int, Definition] = {}
        self._reading: Any = None
        self._limiter = trio.CapacityLimiter(1)

    async def define(
        self, raw: object, client: Client, source: str = "", *, revives: bool = True
    ) -> tuple[str, str, bool]:
        """Name, version, and whether it is new. From now on it can be run, and is found; but what was deactivated stays
        so unless this `revives` it.

        Raises:
            InvalidArguments: it is no procedure that could run; nothing was written.
            Conflict: this version says something else.
        """
        reading = await self._reader()
        read = partial(reading.read, raw, self._find)
        made = read(small=True) if reading.is_small(raw) else await self._in_thread(read)
        definition = made.definition
        major, minor = (int(part) for part in definition.version.split("."))
        now = self._clock()
        draft = _draft(definition, client, now)
        by = By(now, secrets.token_hex(8), client.name)
        _, new = await self._database.write(
            stored.define, definition.name, (major, minor), made.text, made.hash, source or client.name, USER, draft,
            by, extra_of, revives,
        )  # fmt: skip
        if new:
            self._events.publish(news.Defined(definition.name, definition.version, source))
        return definition.name, definition.version, new

    async def problems(self, raw: object) -> Sequence[Problem]:
        """Everything that stands against registering this."""
        reading = await self._reader()
        return await self._in_thread(partial(reading.problems_of, raw, self._find))

    async def parse(self, text: str, name: str = "") -> Any:
        """What a file says, not judged yet."""
        reading = await self._reader()
        return await self._in_thread(partial(reading.from_text, text, name))

    async def deactivate(self, name: str, version: str | None, client: Client) -> list[str]:
        """The versions that begin no more runs.

        Raises:
            NotFound: there is no such version.
        """
        by = By(self._clock(), secrets.token_hex(8), client.name)
        number = None if version is None else cast("tuple[int, int]", tuple(map(int, version.split("."))))
        following = None
        others = [each for each in await self.all() if each.name == name and each.active]
        after = next((each for each in others if (each.major, each.minor) != number), None)
        if number is not None and after is not None:
            with suppress(Unusable):  # who cannot be read is not described anew
                following = after.id, USER, _draft(await self.of(after.id, after), client, by.now)
        gone = await self._database.write(
            stored.deactivate, name, number, following, by, extra_of, frees=True
        )
        told = [f"{major}.{minor}" for major, minor in gone]
        if told:
            self._events.publish(news.Deactivated(name, tuple(told)))
        return told

    async def all(self) -> list[Kept]:
        return await self._database.read(stored.defined)

    async def look_up(self, name: str, version: str | None) -> tuple[Kept, Definition]:
        """This version, or the latest that is active.

        Raises:
            NotFound: there is none. The message names the nearest.
        """
        number = None if version is None else cast("tuple[int, int]", tuple(map(int, version.split("."))))
        kept = await self._database.read(stored.version_of, name, number)
        if kept is None:
            known = await self._database.read(stored.names)
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known[:20]) or 'none yet'}"
            )
            what = (
                f"no procedure {name[:64]!r}" if version is None else f"no version {version} of {name[:64]!r}"
            )
            if name in known:
                hint = (
                    "all its versions are deactivated" if version is None else "see the list of its versions"
                )
            raise NotFound(f"{what}; {hint}", name=name[:64])
        return kept, await self.of(kept.id, kept)

    async def of(self, id_: int, kept: Kept | None = None) -> Definition:
        """A definition by its number.

        Raises:
            Unusable: what is stored is not what was registered.
        """
        if (known := self._cache.get(id_)) is not None:
            return known
        kept = kept or await self._database.read(stored.definition, id_)
        if kept is None:
            raise NotFound(f"no definition {id_}")
        reading = await self._reader()
        try:
            definition = reading.kept(kept.body, kept.hash)
        except ValueError as error:
            raise Unusable(f"{kept.name} {kept.major}.{kept.minor} cannot be run: {error}") from error
        if len(self._cache) >= MOST_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[id_] = definition
        return definition

    async def _reader(self) -> Any:
        """Imported by the first who needs it: its models cost more than most daemons' whole start may."""
        if self._reading is None:
            self._reading = await self._in_thread(partial(import_module, "mimo.services.procedures.reading"))
        return self._reading

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _draft(definition: Definition, client: Client, now: int) -> Draft:
    """Its memory. It does not fade: it is forgotten when no version of it can be run any more."""
    item = Item(
        content=_as_memory(definition),
        kind="procedure",
        tags=["procedure"],
        reference=f"procedure:{definition.name}",
    )
    return drafted([item], client, now)[0].draft._replace(protected=True)


def _as_memory(definition: Definition) -> str:
    """How an agent finds it again: by its name, by what it is for, and by what it does."""
    does = [state.description for state in definition.states.values() if state.description]
    said = [f"Procedure {definition.name} (version {definition.version}).", definition.description]
    if does:
        said.append(f"It does: {'; '.join(does)[:2_000]}.")
    said.append(f"States: {', '.join(definition.states)[:1_000]}.")
    said.append(f'Run it: procedure(operation="run", name="{definition.name}").')
    return " ".join(part for part in said if part)
