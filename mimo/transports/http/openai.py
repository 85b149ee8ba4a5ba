"""What clients of OpenAI's API find here: the models, and embeddings from the one in the box (chat.py has the rest)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from mimo.errors import NotFound, TooSlow
from mimo.protocol import jsonrpc
from mimo.protocol.openai import (
    EMBEDDINGS_TAKE,
    MODEL_SCHEMA,
    Wanted,
    embeddings,
    model,
    models,
    names_of,
    read_embeddings,
)
from mimo.protocol.openapi import Operation
from mimo.transports.http.exchange import Reply, Request, Route, reply_json

PATIENCE = 60.0


class Model(Protocol):
    """Texts to vectors, and what that cost."""

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """Each as float32, little-endian. Raises: MimoError."""
        ...

    async def count(self, texts: Sequence[str]) -> int:
        """Tokens."""
        ...


def openai_routes(
    box: Model, admit: Callable[[str | None], None], created: int, talking: Sequence[str] = ()
) -> Sequence[Route]:
    """`admit` is asked before what costs, and raises `Busy` or `Unavailable`; `talking` are the models to talk to."""
    ids = tuple(dict.fromkeys([*talking, *names_of(box.name)]))
    # Making a million numbers readable takes a while, so it is done beside the loop.
    limiter = trio.CapacityLimiter(1)

    async def listing(request: Request) -> Reply:
        return reply_json(models(ids, created))

    async def one(request: Request) -> Reply:
        if request.parts["id"] not in ids:
            raise NotFound(f"no model {request.parts['id'][:100]!r}; there are: {', '.join(ids)}")
        return reply_json(model(request.parts["id"], created))

    async def embed(request: Request) -> Reply:
        wanted = read_embeddings(request.object(), box.name, box.dimension)
        admit(request.client.key)
        with trio.move_on_after(PATIENCE):
            vectors = await box.embed(wanted.texts)
            tokens = await box.count(wanted.texts)
            body = await trio.to_thread.run_sync(_encoded, wanted, vectors, tokens, limiter=limiter)
            return Reply(body=body)
        raise TooSlow(f"not embedded within {PATIENCE:g} s; send fewer texts at once")

    many = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"data": {"type": "array", "items": MODEL_SCHEMA}},
    }
    return [
        Route(
            Operation(
                "GET",
                "/v1/models",
                "list_models",
                "As OpenAI's: what one can talk to, and what can embed.",
                gives=many,
            ),
            listing,
        ),
        Route(
            Operation("GET", "/v1/models/{id}", "get_model", "As OpenAI's: one of them.", gives=MODEL_SCHEMA),
            one,
        ),
        Route(
            Operation(
                "POST",
                "/v1/embeddings",
                "create_embeddings",
                "As OpenAI's: vectors from the model in the box, and how many tokens that took.",
                takes=EMBEDDINGS_TAKE,
            ),
            embed,
        ),
    ]


def _encoded(wanted: Wanted, vectors: Sequence[bytes], tokens: int) -> bytes:
    told: dict[str, Any] = embeddings(wanted, vectors, tokens)
    return jsonrpc.encode(told)
