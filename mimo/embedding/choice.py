"""The embedder that somebody has chosen, by its provider's name."""

from __future__ import annotations

from collections.abc import Callable

from mimo.embedding.box import Box
from mimo.embedding.embedder import Embedder
from mimo.errors import Unusable
from mimo.resilience import BreakerChanged


def chosen(
    provider: str,
    *,
    model: str = "",
    url: str = "",
    key: str = "",
    dim: int | None = None,
    batch: int = 32,
    on_change: Callable[[BreakerChanged], None] | None = None,
) -> Embedder:
    """The model in the box, or one behind an address. Nobody is called yet, and nothing loaded.

    `on_change` is told when the address is given up, and when it is tried again.

    Raises:
        Unusable: what the provider needs is not said.
    """
    if provider == "box":
        return Box()
    # Speaking HTTP and TLS is imported by who does it.
    from mimo.embedding.ollama import ollama
    from mimo.embedding.openai import openai
    from mimo.embedding.remote import Pace

    # Stored vectors carry their dimension, and search needs it before the service has answered once.
    for name, said in (("model", model), ("dimension", dim)):
        if not said:
            raise Unusable(f"embedding.provider is {provider}, so set embedding.{name} too")
    address = (url,) if url else ()
    pace = Pace(batch=batch)
    if provider == "ollama":
        return ollama(model, *address, dim=dim or 0, pace=pace, on_change=on_change)
    if provider == "openai":
        return openai(model, *address, key=key or None, dim=dim or 0, pace=pace, on_change=on_change)
    raise Unusable(f"embedding.provider must be box, ollama or openai (got {provider!r})")
