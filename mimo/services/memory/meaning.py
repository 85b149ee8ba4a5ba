"""Finding by meaning: the vectors in memory, which follow the database, and the model whose vectors they are.

When the model changes, the vectors of the old one answer until the last engram has one of the new, if
the old model can still be asked. Vectors of two models are never compared.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import trio

from mimo.embedding.cache import Cache
from mimo.embedding.embedder import Embedder, Vectors
from mimo.errors import Unavailable
from mimo.services.memory.chance import USUAL, Chance
from mimo.storage.changes import changes_after, last_seq
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import (
    Model,
    Stored,
    StoredVectors,
    count_waiting,
    drop_vectors,
    models,
    vectors_after,
    vectors_of,
)
from mimo.vector import Columns, Row, Segment, Segments, Space

log = logging.getLogger(__name__)

# Old vectors leave in portions between which others write.
DROPPED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """The vectors of one model that are kept in memory."""

    model: Model
    segment: Segment
    chance: Chance = field(default_factory=Chance)


class Meaning:
    """A supervised child: reads all vectors at its start, then follows the change log. Also the embedder of questions."""

    def __init__(
        self, database: Database, segments: Segments, cache: Cache, embedder: Embedder, *others: Embedder
    ) -> None:
        """`others` can embed questions for the vectors they left here when they were the chosen one."""
        self._database = database
        self._segments = segments
        self._cache = cache
        self._embedder = embedder
        self._others = others
        self._kept: dict[str, _Kept] = {}
        self._seen = 0
        self._moved = trio.Event()

    @property
    def model(self) -> str:
        """The model whose vectors answer."""
        return self._serving.model

    def near(self) -> Segment | None:
        """The vectors of `model`, once they have been read."""
        kept = self._kept.get(self.model)
        return kept.segment if kept is not None and kept.segment.ready else None

    @property
    def chance(self) -> float:
        """The cosine that says nothing, among the vectors of `model`."""
        kept = self._kept.get(self.model)
        return USUAL if kept is None else kept.chance.level

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Questions, by the model whose vectors answer. What was asked a moment ago is not computed again."""
        embedder = self._serving
        if len(texts) != 1:
            return await embedder.embed(texts)
        return await self._cache.get_or_compute_query(embedder.model, texts[0], lambda: embedder.embed(texts))

    async def caught_up(self, seq: int) -> None:
        """Comes back when everything up to this change is in the vectors."""
        await trio.lowlevel.checkpoint()
        while self._seen < seq:
            await self._moved.wait()

    @property
    def _serving(self) -> Embedder:
        """The chosen one, unless another has vectors still: these are dropped when the chosen one has all."""
        for other in self._others:
            kept = self._kept.get(other.model)
            if (
                other.model != self._embedder.model
                and kept is not None
                and kept.segment.ready
                and len(kept.segment)
            ):
                return other
        return self._embedder

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Raises: Unavailable: the database is not open."""
        task_status.started()  # words answer while vectors are read
        while True:
            seq = await self._database.read(last_seq)
            await self._rebuild()
            self._tell(seq)
            await self._follow(seq)

    async def _follow(self, seq: int) -> None:
        """Until the change log no longer has what comes next."""
        while True:
            await self._database.changed.wait(seq)
            changes = await self._database.read(changes_after, seq)
            if not changes.complete:
                return
            if any(row.kind == "engram" and row.op == "remove" for row in changes.rows):
                self._cache.clear()  # somebody may have asked in the words of what was purged
            # What has just been added has no vector yet; its vector will be a change of its own.
            ids = {row.id for row in changes.rows if row.kind == "vector"}
            made = {row.id for row in changes.rows if row.kind == "vector" and row.op == "add"}
            ids |= {row.id for row in changes.rows if row.kind == "engram" and row.op != "add"}
            if made:
                await self._discover()
            if ids:
                for kept in list(self._kept.values()):
                    await self._refresh(kept, sorted(ids), made)
                await self._drop_the_old()
            seq = changes.rows[-1].seq if changes.rows else changes.last
            self._tell(seq)

    async def _rebuild(self) -> None:
        self._kept = {name: kept for name, kept in self._kept.items() if kept.segment.ready}
        for model in await self._wanted():
            segment = self._segments.open(Space(model.name, model.dim))
            kept = self._kept[model.name] = _Kept(model, segment)
            await self._read(kept)
        await self._drop_the_old()

    async def _discover(self) -> None:
        """A model that has its first vectors here."""
        for model in await self._wanted():
            if model.name not in self._kept:
                segment = self._segments.open(Space(model.name, model.dim))
                kept = self._kept[model.name] = _Kept(model, segment)
                await self._read(kept)

    async def _wanted(self) -> list[Model]:
        names = {self._embedder.model, *(other.model for other in self._others)}
        return [model for model in await self._database.read(models) if model.name in names]

    async def _read(self, kept: _Kept) -> None:
        """In the thread that reads: a vector is taken in while it is warm, and nothing waits for anything."""
        after: int | None = 0
        async with kept.segment.rebuilding() as take:

            def take_in(stored: StoredVectors) -> None:
                kept.chance.note(stored.blobs, kept.model.dim)
                take(Columns(*stored))

            while after is not None:
                after = await self._database.read(vectors_after, kept.model.id, after, take_in)

    async def _refresh(self, kept: _Kept, ids: Sequence[int], made: Set[int]) -> None:
        """`made` are those whose vectors are new; the others were forgotten and are back, or have changed."""
        stored = await self._database.read(vectors_of, kept.model.id, ids)
        gone = set(ids) - {each.id for each in stored}
        if gone:
            await kept.segment.drop(sorted(gone))
        if stored:
            # Nothing is near to itself by chance.
            new = [each for each in stored if each.id in made and each.id not in kept.segment]
            kept.chance.note(_blobs(new, kept.model), kept.model.dim)
            await kept.segment.put([_row(each) for each in stored if len(each.blob) == 2 * kept.model.dim])

    async def _drop_the_old(self) -> None:
        """When every engram has a vector of the chosen model, the others' have had their time."""
        others = [name for name in self._kept if name != self._embedder.model]
        others = others or [
            m.name for m in await self._database.read(models) if m.name != self._embedder.model
        ]
        if not others or await self._database.read(count_waiting):
            return
        if self._embedder.model not in self._kept:
            return
        try:
            while await self._database.write(drop_vectors, self._embedder.model, DROPPED_AT_ONCE):
                pass
        except Unavailable as error:
            log.warning("vectors of %s stay for now: %s", ", ".join(others), error.message)
            return
        for name in others:
            if (kept := self._kept.pop(name, None)) is not None:
                self._segments.close(Space(kept.model.name, kept.model.dim))
        log.info(
            "all memories have vectors of %s; those of %s are gone", self._embedder.model, ", ".join(others)
        )

    def _tell(self, seq: int) -> None:
        self._seen = seq
        self._moved.set()
        self._moved = trio.Event()


def _row(stored: Stored) -> Row:
    return Row(stored.id, stored.blob, stored.namespace)


def _blobs(stored: Sequence[Stored], model: Model) -> list[bytes]:
    return [each.blob for each in stored if len(each.blob) == 2 * model.dim]
