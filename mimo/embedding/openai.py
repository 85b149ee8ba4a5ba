"""Models behind any OpenAI-compatible `/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mimo.embedding.post import address
from mimo.embedding.remote import Dialect, OnChange, Pace, Remote, breaker
from mimo.resilience import Retry


def openai(
    model: str,
    base: str = "https://api.openai.com/v1",
    *,
    key: str | None = None,
    dim: int = 0,
    retry: Retry | None = None,
    pace: Pace | None = None,
    on_change: OnChange | None = None,
) -> Remote:
    """An embedder by an OpenAI-compatible service; `base` ends where `/embeddings` begins.

    Raises:
        Unusable: `base` is no address.
    """
    return Remote(
        "openai",
        model,
        address(base, "/embeddings"),
        Dialect(_question, _vectors),
        breaker=breaker("openai", 5, on_change),
        retry=retry or Retry(attempts=4, first=0.5, limit=20.0),
        pace=pace or Pace(batch=64),
        dim=dim,
        key=key,
    )


def _question(model: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def _vectors(answer: Any) -> list[list[float]]:
    """In the order of the texts, whatever the order of the answer."""
    found = {item["index"]: item["embedding"] for item in answer["data"]}
    return [found[at] for at in range(len(answer["data"]))]
