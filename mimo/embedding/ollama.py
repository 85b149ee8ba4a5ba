"""Models that Ollama serves, by its `/api/embed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mimo.embedding.post import address
from mimo.embedding.remote import Dialect, OnChange, Pace, Remote, breaker
from mimo.resilience import Retry


def ollama(
    model: str,
    base: str = "http://127.0.0.1:11434",
    *,
    dim: int = 0,
    retry: Retry | None = None,
    pace: Pace | None = None,
    on_change: OnChange | None = None,
) -> Remote:
    """An embedder by a local (or any) Ollama. Nobody is called before the first text comes.

    Raises:
        Unusable: `base` is no address.
    """
    return Remote(
        "ollama",
        model,
        address(base, "/api/embed"),
        Dialect(_question, _vectors),
        breaker=breaker("ollama", 3, on_change),
        retry=retry or Retry(attempts=3, first=0.2, limit=5.0),
        pace=pace or Pace(),
        dim=dim,
    )


def _question(model: str, texts: Sequence[str]) -> dict[str, Any]:
    # A text beyond the model's window is cut there, as an error would lose all of it.
    return {"model": model, "input": list(texts), "truncate": True}


def _vectors(answer: Any) -> list[list[float]]:
    return answer["embeddings"]
