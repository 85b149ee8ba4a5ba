"""How the parts of the memory hang together: built in order, and handed to the house as tools and children."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from mimo.embedding.box import Box
from mimo.embedding.cache import Cache, KeyType
from mimo.embedding.embedder import Embedder
from mimo.embedding.questions import PATIENCE, Questions, once
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import CacheHit, CacheMissed
from mimo.services.memory.adding import Adding
from mimo.services.memory.census import Census
from mimo.services.memory.consolidation import Consolidation
from mimo.services.memory.context import Context
from mimo.services.memory.controls import Controls
from mimo.services.memory.editing import Editing
from mimo.services.memory.embedding import Embedding
from mimo.services.memory.fading import Fade
from mimo.services.memory.finding import Finding
from mimo.services.memory.former import Former, Make
from mimo.services.memory.meaning import Meaning
from mimo.services.memory.merging import Merging
from mimo.services.memory.moments import now_ms
from mimo.services.memory.offers import Offers
from mimo.services.memory.progress import Progressing
from mimo.services.memory.relevance import THRESHOLD
from mimo.services.memory.search import Search
from mimo.services.memory.service import Memory
from mimo.services.memory.strategies import strategies
from mimo.services.memory.transfer import Transfer
from mimo.services.memory.use import Use
from mimo.storage.database import Database
from mimo.storage.engrams.vectors import blobs_of
from mimo.supervision.child import Run
from mimo.vector import Fetch, Segments, Space, Visit

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """`service` and `offers` have what agents see; `controls` is for our own programs; `sizes` tell what is held in
    memory, `progress` how far the vectors are; the others are children of the tree. `read_vectors` runs `meaning`."""

    service: Memory
    offers: Offers
    search: Search
    context: Context
    meaning: Meaning
    questions: Questions
    read_vectors: Run
    embedding: Embedding
    progress: Progressing
    use: Use
    consolidation: Consolidation
    fade: Fade
    census: Census
    controls: Controls
    sizes: Mapping[str, Callable[[], float]]


def wired(
    database: Database,
    events: Events,
    metrics: Metrics,
    embedder: Embedder,
    *others: Embedder,
    weights: Mapping[str, float] | None = None,
    threshold: float = THRESHOLD,
    former: Make | None = None,
    lean: bool = False,
    clock: Callable[[], int] = now_ms,
) -> Wired:
    """At rest. `others` may answer for vectors that they left here (see meaning.py), and so may whom `former` makes
    (see former.py); `weights` count instead of those of the same name that ship. `lean`: codes are kept in memory,
    and vectors read from the file where a search needs them."""
    cache, segments = _cache(events, metrics), _segments(database, lean=lean)
    sizes = _sizes(cache, segments)
    metrics.before_render(lambda: _measure(metrics, sizes))
    before = [Former(database, former, embedder.model)] if former is not None else []
    meaning = Meaning(database, segments, cache, once(embedder), *map(once, others), *before)

    async def read_vectors(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        for each in before:  # whose vectors are read, too, is known then
            await each.look()
        await meaning.run(task_status=task_status)

    # The model in the box answers in any case, and nobody else would sooner.
    questions = Questions(meaning, math.inf if isinstance(embedder, Box) else PATIENCE)
    embedding = Embedding(database, embedder, events, metrics, clock=clock)
    progress = Progressing(embedder, meaning, embedding, segments)
    use = Use(database, clock=clock)
    search = Search(
        database,
        questions,
        meaning.near,
        clock=lambda: clock() / 1000,
        weights=strategies(weights or {}),
        threshold=threshold,
        chance=lambda: meaning.chance,
        lacking=progress.lacking,
    )
    finding = Finding(database, search, events, use.note, clock=clock)
    context = Context(database, finding, clock=clock)
    merging = Merging(database, meaning, events, clock=clock)
    consolidation = Consolidation(database, meaning, merging, events, clock=clock)
    fade = Fade(database, events, clock=clock)
    return Wired(
        service=Memory(
            Adding(database, events, embedding.added, clock=clock),
            finding,
            Editing(database, events, clock=clock),
            context,
        ),
        offers=Offers(database, finding, context),
        search=search,
        context=context,
        controls=Controls(consolidation, fade, Transfer(database, clock=clock)),
        meaning=meaning,
        questions=questions,
        read_vectors=read_vectors,
        embedding=embedding,
        progress=progress,
        use=use,
        consolidation=consolidation,
        fade=fade,
        census=Census(database, metrics),
        sizes=sizes,
    )


def _cache(events: Events, metrics: Metrics) -> Cache:
    def hit(kind: KeyType) -> None:
        metrics.cache_hits.labels(kind.value).inc()
        events.publish(CacheHit(kind.value))

    def missed(kind: KeyType) -> None:
        metrics.cache_misses.labels(kind.value).inc()
        events.publish(CacheMissed(kind.value))

    return Cache(on_hit=hit, on_miss=missed)


def _segments(database: Database, *, lean: bool) -> Segments:
    def visits(space: Space) -> Visit:
        async def visit(work: Callable[[Fetch], T]) -> T:
            return await database.read(lambda db: work(partial(blobs_of, db, space.model)))

        return visit

    return Segments(visits=visits if lean else None)


def _sizes(cache: Cache, segments: Segments) -> dict[str, Callable[[], float]]:
    """What the caches in memory hold, by names for the resource watch."""

    def of_vectors(number: str) -> float:
        return sum(stats[number] for stats in segments.stats().values())

    return {
        "cache_bytes": lambda: cache.stats().bytes,
        "cache_entries": lambda: cache.stats().entries,
        "vector_bytes": lambda: of_vectors("bytes"),
        "vectors": lambda: of_vectors("rows"),
    }


def _measure(metrics: Metrics, sizes: Mapping[str, Callable[[], float]]) -> None:
    metrics.cache_bytes.labels("classifier").set(sizes["cache_bytes"]())
    metrics.cache_bytes.labels("vectors").set(sizes["vector_bytes"]())
