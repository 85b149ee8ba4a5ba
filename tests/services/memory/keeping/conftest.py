"""A whole memory that lives: a real file, its children running, called through the same dispatch as by agents."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trio

from mimo.embedding.embedder import State
from mimo.errors import Unavailable
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Event, Events
from mimo.observability.metrics import Metrics
from mimo.services.memory.former import Make
from mimo.services.memory.wiring import Wired, wired
from mimo.storage.changes import last_seq
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import count_waiting
from mimo.tool import Answer, Call, Client

DAY = 86_400_000
NOW = 1_800_000_000_000


class Words:
    """An embedder of the simplest kind: each word has a direction, a text the sum of its words'."""

    def __init__(self, model: str = "words", dim: int = 64) -> None:
        self.model, self.dim = model, dim
        self.down = False
        self.asked: list[str] = []

    @property
    def state(self) -> State:
        return State.DOWN if self.down else State.READY

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise Unavailable("the embedder is down")
        self.asked += texts
        return np.stack([self._direction(text) for text in texts])

    def _direction(self, text: str) -> npt.NDArray[np.float32]:
        total = np.full(self.dim, 1e-3, np.float32)
        for word, count in Counter(text.lower().split()).items():
            total += count * self._word(word.strip(".,!?"))
        return total / np.linalg.norm(total)

    def _word(self, word: str) -> npt.NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(f"{self.model} {word}".encode()).digest()[:8], "little")
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)


class Living:
    """A memory, and the hands to drive it with."""

    def __init__(
        self,
        database: Database,
        embedder: Any,
        *others: Any,
        former: Make | None = None,
        lean: bool = False,
    ) -> None:
        self.database = database
        self.embedder = embedder
        self.now = NOW
        self.events = Events()
        self.metrics = Metrics()
        self.client = Client(name="tester", namespace="proj", version="1")
        self.parts: Wired = wired(
            database,
            self.events,
            self.metrics,
            embedder,
            *others,
            former=former,
            lean=lean,
            clock=lambda: self.now,
        )
        self.toolbox = Toolbox(self.events)
        self.toolbox.add(*self.parts.service.tools(), *self.parts.offers.things())
        self._dispatch = Dispatch(self.toolbox, self.events, self.metrics)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.parts.read_vectors)
            await nursery.start(self.parts.questions.run)
            await nursery.start(self.parts.embedding.run)
            await nursery.start(self.parts.use.run)
            task_status.started()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            yield
            nursery.cancel_scope.cancel()

    async def call(self, tool: str, client: Client | None = None, **arguments: Any) -> Answer:
        return await self._dispatch.call(tool, arguments, Call("1", client or self.client))

    async def text(self, tool: str, **arguments: Any) -> str:
        return (await self.call(tool, **arguments)).as_text()

    async def data(self, tool: str, **arguments: Any) -> Any:
        return (await self.call(tool, format="json", **arguments)).data

    async def add(self, content: str, **more: Any) -> str:
        """The id."""
        return (await self.data("memory_add", content=content, **more))["results"][0]["id"]

    async def found(self, query: str, **more: Any) -> list[str]:
        """The texts, best first, whether or not they bear on the question."""
        given = {"limit": 20, "namespace": "proj"} | more
        return [hit["content"] for hit in (await self.data("memory_search", query=query, **given))["results"]]

    async def settled(self) -> None:
        """Comes back when everything has its vector, and the vectors in memory have it, too."""
        seq = self.database.changed.last
        while await self.database.read(count_waiting):
            seq = await self.database.changed.wait(seq)
        # A reader may see a commit that the loop has not heard of yet, so the file is asked how far it is.
        await self.parts.meaning.caught_up(await self.database.read(last_seq))

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events.since(0) if event.kind == kind]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
async def database(home: Home, nursery: trio.Nursery) -> AsyncIterator[Database]:
    it = Database(home)
    async with trio.open_nursery() as mine:
        await mine.start(it.run)
        yield it
        mine.cancel_scope.cancel()


@pytest.fixture
async def memory(database: Database) -> AsyncIterator[Living]:
    it = Living(database, Words())
    async with it.running():
        yield it


@pytest.fixture
async def living(database: Database) -> Callable[..., Living]:
    """Memories over one database, one after the other, each with its models: the chosen one first."""
    await trio.lowlevel.checkpoint()
    return lambda *models: Living(database, *(Words(model) for model in models or ("words",)))


@pytest.fixture
def living_with() -> type[Living]:
    """Made of a database and an embedder."""
    return Living


@pytest.fixture
def living_at() -> Callable[[Path], AbstractAsyncContextManager[Living]]:
    """A memory in a directory of its own, as long as the block lasts."""

    @asynccontextmanager
    async def live(path: Path) -> AsyncIterator[Living]:
        database = Database(Home(path / "home"))
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            it = Living(database, Words())
            async with it.running():
                yield it
            nursery.cancel_scope.cancel()

    return live
