"""How far the vectors are, for whoever looks after the daemon and for the answers to questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimo.embedding.embedder import Embedder
from mimo.errors import Unusable
from mimo.services.memory.embedding import Embedding
from mimo.services.memory.meaning import Meaning
from mimo.vector import Segments


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` memories have a vector of `model`, `waiting` will have one, `set_aside` were refused, the last for the
    reason `refused`. Questions are asked of `serving`. `down` is why nothing is embedded at the moment."""

    model: str
    serving: str
    done: int
    waiting: int
    set_aside: int
    refused: str
    down: str


class Progressing:
    def __init__(
        self, embedder: Embedder, meaning: Meaning, embedding: Embedding, segments: Segments
    ) -> None:
        self._embedder = embedder
        self._meaning = meaning
        self._embedding = embedding
        self._segments = segments

    def __call__(self) -> Progress:
        queue, refused, down = self._embedding.queue, self._embedding.refused, self._embedding.down
        try:
            model, serving = self._embedder.model, self._meaning.model
        except Unusable as error:  # which model, its file would say
            model, serving, down = "", "", error.message
        refused = refused if queue.set_aside else ""
        return Progress(model, serving, self._vectors(model), queue.waiting, queue.set_aside, refused, down)

    def as_json(self) -> Mapping[str, Any]:
        return asdict(self())

    def lacking(self) -> str:
        """What a question cannot find by meaning because the model has changed; nothing, if that is little."""
        now = self()
        total = now.done + now.waiting + now.set_aside
        missing = self._embedding.behind if now.serving == now.model else 0
        if now.serving != now.model and now.down:  # nobody embeds what came since for the old model
            missing = total - self._vectors(now.serving)
        if missing <= 0:
            return ""
        yet = " yet" if now.serving == now.model else ""
        return f"{missing:,} of {total:,} memories have no vector of {now.serving}{yet}"

    def _vectors(self, model: str) -> int:
        return sum(len(segment) for space, segment in self._segments if space.model == model)
