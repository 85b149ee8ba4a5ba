"""How the parts of the memory hang together: built in order, and handed to the house as tools and children."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mimo.embedding.embedder import Embedder
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.services.memory.adding import Adding
from mimo.services.memory.editing import Editing
from mimo.services.memory.embedding import Embedding
from mimo.services.memory.finding import Finding
from mimo.services.memory.meaning import Meaning
from mimo.services.memory.search import Search
from mimo.services.memory.service import Memory
from mimo.services.memory.use import Use
from mimo.storage.database import Database
from mimo.vector import Segments


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """`service` has what agents see; the others are children of the tree, in this order."""

    service: Memory
    meaning: Meaning
    embedding: Embedding
    use: Use


def wired(
    database: Database, events: Events, metrics: Metrics, embedder: Embedder, *others: Embedder
) -> Wired:
    """At rest. `others` may answer for vectors that they left here (see meaning.py)."""
    meaning = Meaning(database, Segments(), embedder, *others)
    embedding = Embedding(database, embedder, events, metrics)
    use = Use(database)
    search = Search(database, meaning, meaning.near, clock=time.time)
    adding = Adding(database, events)
    finding = Finding(database, search, events, use.note)
    return Wired(Memory(adding, finding, Editing(database, events)), meaning, embedding, use)
