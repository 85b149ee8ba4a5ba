"""A database with engrams in it, and texts turned into vectors by their words."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pytest
import trio

from mimo.home import Home
from mimo.services.memory.found import Found, Question
from mimo.services.memory.search import Search
from mimo.services.memory.words import extra_of
from mimo.storage.connection import open_connection
from mimo.storage.database import Database
from mimo.storage.engrams.search import Filter
from mimo.storage.engrams.traits import keep_traits
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run, value
from mimo.vector import Row, Segment, to_blob

NOW = 1_700_000_000
DIM = 64


class Hashing:
    """A real embedder of the simplest kind: each word has a direction, a text the sum of its words'."""

    model = "hashing"

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        await trio.lowlevel.checkpoint()
        return np.stack([direction(text) for text in texts])


def direction(text: str) -> npt.NDArray[np.float32]:
    total = np.zeros(DIM, np.float32)
    for word in text.lower().replace("?", " ").split():
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        total += np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return total / max(float(np.linalg.norm(total)), 1e-6)


def insert(db: apsw.Connection, items: Sequence[dict[str, Any]]) -> list[int]:
    """Rows as the writing half leaves them: engram, origin, tags, traits, vector."""
    run(db, "INSERT OR IGNORE INTO embedding_models (id, name, dim) VALUES (1, 'hashing', ?)", (DIM,))
    ids: list[int] = []
    for item in items:
        content, namespace = item["content"], item.get("namespace", "home")
        at = item.get("created_at", NOW * 1000)
        run(db, "INSERT OR IGNORE INTO namespaces (name, created_at) VALUES (?, 0)", (namespace,))
        given = {
            "namespace": namespace, "content": content, "extra": extra_of(content, item.get("tags", ())),
            "content_hash": hashlib.sha256(content.encode()).digest(), "kind": item.get("kind", "fact"),
            "state": item.get("state", "live"), "session": item.get("session"), "position": item.get("position"),
            "importance": item.get("importance", 0.5), "access_count": item.get("uses", 0),
            "valid_from": item.get("valid_from"), "valid_to": item.get("valid_to"),
            "client": item.get("client", ""), "trust": item.get("trust", "agent"),
            "superseded_by": item.get("superseded_by"), "expires_at": item.get("expires_at"),
            "state_since": at, "created_at": at, "stored_at": at, "changed_at": at, "accessed_at": at,
        }  # fmt: skip
        columns, marks = ", ".join(given), ", ".join(f":{name}" for name in given)
        id_ = value(db, f"INSERT INTO engrams ({columns}) VALUES ({marks}) RETURNING id", given)
        reference = item.get("reference", content[:20])
        sql = "INSERT INTO engram_origins (engram_id, reference, created_at, stored_at) VALUES (?, ?, ?, ?)"
        run(db, sql, (id_, reference, at, at))
        for tag in item.get("tags", ()):
            run(db, "INSERT INTO engram_tags (tag, engram_id) VALUES (?, ?)", (tag, id_))
        keep_traits(db, [(id_, content, given["extra"])])
        if item.get("embedded", True):
            sql = "INSERT INTO engram_vectors (engram_id, model, dim, vector) VALUES (?, 1, ?, ?)"
            run(db, sql, (id_, DIM, to_blob(direction(content))))
            run(db, "DELETE FROM embedding_queue WHERE engram_id = ?", (id_,))
        ids.append(id_)
    return ids


def stored_vectors(db: apsw.Connection) -> list[Row]:
    sql = """
        SELECT v.engram_id, v.vector, n.id FROM engram_vectors v
        JOIN engrams e ON e.id = v.engram_id JOIN namespaces n ON n.name = e.namespace
    """
    return [Row(*row) for row in rows(db, sql)]


@pytest.fixture
async def database(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Database]:
    """Running; ends with the test."""
    it = Database(Home(tmp_path / "home"))
    async with trio.open_nursery() as mine:
        await mine.start(it.run)
        yield it
        mine.cancel_scope.cancel()


class Store:
    """What was put in, and a search over it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.segment = Segment(Hashing.model, DIM, limiter=trio.CapacityLimiter(1))
        self.embedder: Hashing | None = Hashing()
        self.search = Search(database, self.embedder, lambda: self.segment, clock=lambda: NOW)

    async def put(self, *items: dict[str, Any] | str) -> list[int]:
        given = [{"content": item} if isinstance(item, str) else item for item in items]
        ids = await self.database.write(insert, given)
        await self.segment.rebuild(await self.database.read(stored_vectors))
        return ids

    async def find(self, text: str, namespace: str | None = "home", limit: int = 10, **rest: Any) -> Found:
        names = None if namespace is None else (namespace,)
        own = {name: rest.pop(name) for name in ("strategy", "why", "offset") if name in rest}
        return await self.search.find(Question(text, Filter(names, **rest), limit=limit, **own))


@pytest.fixture
async def store(database: Database) -> Store:
    await trio.lowlevel.checkpoint()
    return Store(database)


@pytest.fixture
def engrams() -> apsw.Connection:
    """A file in memory with a few engrams, for what needs no event loop."""
    db = open_connection(":memory:")
    for migration in migrations_in():
        rows(db, migration.sql)
    insert(db, [{"content": "NEAR the AND of OR"}, {"content": 'quotes " and stars *'}])
    return db
