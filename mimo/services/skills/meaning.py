"""Tools by what they mean: a query and the descriptions as vectors, beside the words that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import trio

from mimo.embedding.embedder import Embedder
from mimo.errors import MimoError
from mimo.tool import Tool

# An agent waits for the answer, and words alone are an answer too.
PATIENCE = 2.0
BATCH = 32
# Below this a description has nothing to do with the query; of the rest the nearest few say something.
LEAST, MOST = 0.3, 10
# Of two rankings: who is first in one counts about as much as who is third in both.
FUSED = 5.0
# Who uses a word of a tool means it more often than not.
WORDS = 1.5


class Meaning:
    """Vectors are made when they are first needed, and kept as long as the descriptions stay what they are."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[bytes, npt.NDArray[np.float32]] = {}

    async def nearest(self, query: str, tools: Sequence[Tool]) -> list[Tool]:
        """The tools that mean most of the query, the nearest first; none if that cannot be told in time."""
        try:
            with trio.move_on_after(PATIENCE):
                return await self._nearest(query, tools)
        except MimoError:
            pass  # the embedder tells of its own troubles
        return []

    async def _nearest(self, query: str, tools: Sequence[Tool]) -> list[Tool]:
        pages = {tool: _page(tool) for tool in tools}
        marks = {tool: hashlib.sha256(page.encode()).digest() for tool, page in pages.items()}
        missing = [tool for tool in tools if marks[tool] not in self._vectors]
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            made = await self._embedder.embed([pages[tool] for tool in some])
            self._vectors |= {marks[tool]: row for tool, row in zip(some, made, strict=True)}
        wanted = set(marks.values())
        self._vectors = {mark: row for mark, row in self._vectors.items() if mark in wanted}
        asked = (await self._embedder.embed([query]))[0]
        alike = np.array([self._vectors[marks[tool]] for tool in tools]) @ asked
        order = np.argsort(-alike, kind="stable")[:MOST]
        return [tools[at] for at in order if alike[at] >= LEAST]


def fused(by_words: Sequence[Tool], by_meaning: Sequence[Tool]) -> list[Tool]:
    """One list of two, in which each counts by its places."""
    scores: dict[Tool, float] = {}
    for weight, ranking in ((WORDS, by_words), (1.0, by_meaning)):
        for place, tool in enumerate(ranking):
            scores[tool] = scores.get(tool, 0.0) + weight / (FUSED + place)
    return _ordered(scores)


def _ordered(scores: Mapping[Tool, float]) -> list[Tool]:
    return sorted(scores, key=lambda tool: (-scores[tool], tool.name))


def _page(tool: Tool) -> str:
    name = str(tool.meta.get("mimo/name", tool.name)).replace("_", " ").replace("-", " ")
    return f"{tool.meta.get('mimo/skill', '')} {name}. {tool.title} {tool.description[:1000]}"
