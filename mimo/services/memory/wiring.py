"""How the parts of the memory hang together: built in order, and handed to the house as tools and children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimo.embedding.embedder import Embedder
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.memory.adding import Adding
from mimo.services.memory.consolidation import Consolidation
from mimo.services.memory.context import Context
from mimo.services.memory.controls import Controls
from mimo.services.memory.editing import Editing
from mimo.services.memory.embedding import Embedding
from mimo.services.memory.fading import Fade
from mimo.services.memory.finding import Finding
from mimo.services.memory.meaning import Meaning
from mimo.services.memory.merging import Merging
from mimo.services.memory.moments import now_ms
from mimo.services.memory.offers import Offers
from mimo.services.memory.search import Search
from mimo.services.memory.service import Memory
from mimo.services.memory.transfer import Transfer
from mimo.services.memory.use import Use
from mimo.storage.database import Database
from mimo.vector import Segments


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """`service` and `offers` have what agents see; `controls` is for our own programs; the others are children of the tree."""

    service: Memory
    offers: Offers
    meaning: Meaning
    embedding: Embedding
    use: Use
    consolidation: Consolidation
    fade: Fade
    controls: Controls


def wired(
    database: Database,
    events: Events,
    metrics: Metrics,
    embedder: Embedder,
    *others: Embedder,
    clock: Callable[[], int] = now_ms,
) -> Wired:
    """At rest. `others` may answer for vectors that they left here (see meaning.py)."""
    meaning = Meaning(database, Segments(), embedder, *others)
    use = Use(database, clock=clock)
    search = Search(database, meaning, meaning.near, clock=lambda: clock() / 1000)
    finding = Finding(database, search, events, use.note, clock=clock)
    context = Context(database, finding, clock=clock)
    merging = Merging(database, meaning, events, clock=clock)
    consolidation = Consolidation(database, meaning, merging, events, clock=clock)
    fade = Fade(database, events, clock=clock)
    return Wired(
        service=Memory(
            Adding(database, events, clock=clock), finding, Editing(database, events, clock=clock), context
        ),
        offers=Offers(database, finding, context),
        controls=Controls(consolidation, fade, Transfer(database, clock=clock)),
        meaning=meaning,
        embedding=Embedding(database, embedder, events, metrics, clock=clock),
        use=use,
        consolidation=consolidation,
        fade=fade,
    )
