"""A graph that lives: a real file, its child running, called through the same dispatch as by agents."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trio

from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Event, Events
from mimo.observability.metrics import Metrics
from mimo.services.graph.doorstep import Doorstep
from mimo.services.memory.wiring import wired as memory_wired
from mimo.storage.database import Database
from mimo.tool import Answer, Call, Client

NOW = 1_800_000_000_000


class Meanings:
    """An embedder of the simplest kind: words that it was told mean the same have the same direction."""

    model = "meanings"

    def __init__(self) -> None:
        self.same: dict[str, str] = {}
        self.asked = 0

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        await trio.lowlevel.checkpoint()
        self.asked += len(texts)
        return np.stack([self._direction(text) for text in texts])

    def _direction(self, text: str) -> npt.NDArray[np.float32]:
        total = np.zeros(32, np.float32)
        for word in text.lower().split():
            word = self.same.get(word, word)
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
            total += np.random.default_rng(seed).standard_normal(32).astype(np.float32)
        return total


class Living:
    """A graph, and the hands to drive it with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.events = Events()
        self.client = Client(name="tester", namespace="proj", version="1")
        self.embedder = Meanings()
        self.memory = memory_wired(
            database,
            self.events,
            Metrics(),
            self.embedder,
            clock=lambda: self.now,  # type: ignore[arg-type]
        )
        self.door = Doorstep(database, self.events, self.embedder, self.memory.search, clock=lambda: self.now)
        self.memory.search.also = self.door.also
        self.memory.context.facts = self.door.suggested
        self.toolbox = Toolbox(self.events)
        self.toolbox.add(*self.memory.service.tools(), *self.door.tools())
        self._dispatch = Dispatch(self.toolbox, self.events, Metrics())

    async def call(self, operation: str, *, tool: str = "knowledge", **arguments: Any) -> Answer:
        return await self._dispatch.call(tool, {"operation": operation} | arguments, Call("1", self.client))

    async def remembers(self, tool: str, **arguments: Any) -> Answer:
        return await self._dispatch.call(tool, arguments, Call("1", self.client))

    async def text(self, operation: str, **arguments: Any) -> str:
        return (await self.call(operation, **arguments)).as_text()

    async def data(self, operation: str, **arguments: Any) -> Any:
        return (await self.call(operation, format="json", **arguments)).data

    async def teach(self, *triples: tuple[str, str, str] | dict[str, Any], **more: Any) -> list[str]:
        """The ids."""
        given = [list(each) if isinstance(each, tuple) else each for each in triples]
        return [each["id"] for each in (await self.data("teach", triples=given, **more))["results"]]

    async def facts(self, **more: Any) -> set[tuple[str, str, str]]:
        """Everything that is believed and fits."""
        found = (await self.data("query", limit=1000, **more))["results"]
        return {(each["subject"], each["predicate"], each["object"]) for each in found}

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events.since(0) if event.kind == kind]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def resting(home: Home) -> Living:
    """Built before a loop runs: building takes a while."""
    return Living(Database(home))


@pytest.fixture
async def graph(resting: Living) -> AsyncIterator[Living]:
    async with trio.open_nursery() as mine:
        await mine.start(resting.database.run)
        yield resting
        mine.cancel_scope.cancel()


@pytest.fixture
def database(graph: Living) -> Database:
    return graph.database
