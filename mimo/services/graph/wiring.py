"""How the parts of the graph hang together: built in order, when the first of them is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimo.observability.events import Events
from mimo.services.graph.answering import Answering, Memories
from mimo.services.graph.asking import Asking
from mimo.services.graph.graphs import Graphs
from mimo.services.graph.inferring import Inferring
from mimo.services.graph.observing import Observing
from mimo.services.graph.proofs import Proofs
from mimo.services.graph.reading import Reader
from mimo.services.graph.resolution import Embedder, Resolution
from mimo.services.graph.service import Knowing
from mimo.services.graph.teaching import Teaching
from mimo.services.graph.vocabulary import Vocabulary, read_vocabulary
from mimo.services.memory.moments import now_ms
from mimo.storage.database import Database


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """`service` has what agents see, `inferring` is a child of the tree; the others are for our own programs."""

    service: Knowing
    inferring: Inferring
    graphs: Graphs
    asking: Asking
    observing: Observing


def wired(
    database: Database,
    events: Events,
    embedder: Embedder | None,
    memories: Memories | None = None,
    reader: Reader | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    clock: Callable[[], int] = now_ms,
) -> Wired:
    """At rest. The vocabulary is read from the data directory when it is first needed."""
    known: list[Vocabulary] = [] if vocabulary is None else [vocabulary]

    def words() -> Vocabulary:
        if not known:
            known.append(read_vocabulary(database.home))
        return known[0]

    graphs = Graphs(database, words)
    resolution = Resolution(database, embedder)
    asking = Asking(graphs, resolution, words, clock=clock)
    inferring = Inferring(database, graphs, events, clock=clock)
    observing = Observing(database, graphs, events, clock=clock)
    answering = Answering(database, graphs, observing, memories, clock=clock)
    return Wired(
        service=Knowing(
            database, graphs, resolution,
            Teaching(database, graphs, resolution, words, events, reader, clock=clock),
            asking, Proofs(database, graphs, resolution, words, clock=clock),
            inferring, observing, answering, events, clock=clock,
        ),
        inferring=inferring, graphs=graphs, asking=asking, observing=observing,
    )  # fmt: skip
