"""The services, wired to the store, to the toolbox and to one another. What each asks of the others is seen here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mimo.choices import Settings
from mimo.embedding.box import Box
from mimo.embedding.choice import chosen
from mimo.embedding.embedder import Embedder
from mimo.errors import Unusable
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.toolbox import Toolbox
from mimo.home import Home
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.reports import Reports
from mimo.services.graph.doorstep import Doorstep as GraphDoorstep
from mimo.services.memory.moments import now_ms
from mimo.services.memory.wiring import Wired as Memory
from mimo.services.memory.wiring import wired
from mimo.services.procedures.doorstep import Doorstep as ProceduresDoorstep
from mimo.storage.database import Database

if TYPE_CHECKING:
    from mimo.services.graph.reading import Reader


@dataclass(frozen=True, slots=True)
class Rooms:
    """What remembers, knows and does."""

    embedder: Embedder
    memory: Memory
    procedures: ProceduresDoorstep
    graph: GraphDoorstep


def rooms_of(
    home: Home,
    settings: Settings,
    database: Database,
    events: Events,
    metrics: Metrics,
    reports: Reports,
    toolbox: Toolbox,
    dispatch: Dispatch,
) -> Rooms:
    """All of them, at rest, with their tools in the toolbox."""
    embedder = embedder_of(settings, metrics, reports)
    # While a service takes over from the model in the box, that still answers for the vectors it made.
    before = () if settings.embedding.provider == "box" else (Box(),)
    memory = wired(
        database,
        events,
        metrics,
        embedder,
        *before,
        weights=settings.search.model_dump(exclude={"threshold"}, exclude_none=True),
        threshold=settings.search.threshold,
        lean=settings.embedding.lean,
        former=None if settings.embedding.provider == "box" else partial(former_of, settings),
    )
    toolbox.add(*memory.service.tools(), *memory.offers.things())
    procedures = ProceduresDoorstep(
        database, events, dispatch.call, toolbox.with_schema, os.path.join(home, "procedures")
    )
    toolbox.add(*procedures.tools())
    metrics.before_render(lambda: procedures.measure(metrics.procedure_runs))
    graph = GraphDoorstep(
        database, events, memory.meaning, memory.search, reader_of(settings, reports), clock=now_ms
    )
    toolbox.add(*graph.tools())
    memory.search.also = graph.also
    memory.context.facts = graph.suggested
    return Rooms(embedder, memory, procedures, graph)


def reader_of(settings: Settings, reports: Reports) -> Callable[[], Reader] | None:
    """The language model that reads facts in texts, made when a graph is; None where there is none.

    Raises:
        Unusable: its name is not set.
    """
    upstream = settings.upstream
    if not upstream.url or not upstream.reads_facts:
        return None
    if not upstream.model:
        raise Unusable("upstream.url is set, so set upstream.model too")

    def made() -> Reader:
        from mimo.services.graph.reading import Model  # whoever has none need not import it

        key = upstream.key.get_secret_value() or None
        return Model(upstream.url, upstream.model, key, seconds=upstream.seconds, on_change=reports.broken)

    return made


def former_of(settings: Settings, name: str, dim: int) -> Embedder | None:
    """The embedder that went by this name, if it is asked where the chosen one is."""
    embedding = settings.embedding
    provider, _, model = name.partition(":")
    if provider != embedding.provider:
        return None
    key = embedding.key.get_secret_value()
    return chosen(provider, model=model, url=embedding.url, key=key, dim=dim, batch=embedding.batch)


def embedder_of(settings: Settings, metrics: Metrics, reports: Reports) -> Embedder:
    """The model in the box, or the service that the settings name."""
    embedding = settings.embedding
    if embedding.provider != "box":
        metrics.breaker_state.labels(embedding.provider).set(0)
    return chosen(
        embedding.provider,
        model=embedding.model,
        url=embedding.url,
        key=embedding.key.get_secret_value(),
        dim=embedding.dimension,
        batch=embedding.batch,
        on_change=reports.broken,
    )
