"""A stand-in for Ollama and OpenAI that speaks their protocol over a real socket, and fails as asked."""

import json
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import trio

from ..heard import heard

DIM = 8
PIECE = 1 << 18


@dataclass(frozen=True)
class Said:
    """What to answer instead of embeddings."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None  # bytes of the answer, then the connection ends
    after: float = 0.0  # seconds of silence first


@dataclass
class StandIn:
    """Answers with a vector per text that its length decides; `faults` come first, one a request."""

    url: str = ""
    faults: list[Said] = field(default_factory=list[Said])
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    paths: list[str] = field(default_factory=list[str])
    keys: list[str | None] = field(default_factory=list[str | None])
    dim: int = DIM
    known: dict[str, int] = field(
        default_factory=dict[str, int]
    )  # models and their dimensions; any, if there are none
    turn: float = 1.0  # what else decides about a vector
    refuse: Callable[[list[str]], Said | None] = lambda texts: (
        None
    )  # what it will not take, whenever it comes

    async def serve(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        if (request := await heard(connection, stream)) is None:
            return
        path, key, question = request
        self.asked.append(question)
        self.paths.append(path)
        self.keys.append(key or None)
        said = self.faults.pop(0) if self.faults else self.refuse(question["input"])
        said = said or self.answer(path, question["model"], question["input"])
        await trio.sleep(said.after)
        answer = h11.Response(
            status_code=said.status, headers=[*said.headers, ("Content-Length", str(len(said.body)))]
        )
        left = math.inf if said.cut_after is None else said.cut_after
        # A long body goes piece by piece: to copy it in one step would hold up the loop.
        pieces = (said.body[at : at + PIECE] for at in range(0, len(said.body), PIECE))
        for event in (answer, *map(h11.Data, pieces), h11.EndOfMessage()):
            wire = connection.send(event) or b""
            await stream.send_all(wire[: int(min(left, len(wire)))])
            left -= len(wire)
            if left <= 0:
                return

    def answer(self, path: str, model: str, texts: list[str]) -> Said:
        if self.known and model not in self.known:
            return Said(404, json.dumps({"error": f"model {model!r} not found"}).encode())
        return Said(body=self.embeddings(path, texts, self.known.get(model, 0)))

    def embeddings(self, path: str, texts: list[str], dim: int = 0) -> bytes:
        vectors = [[float(len(text)), self.turn, *[0.0] * ((dim or self.dim) - 2)] for text in texts]
        if path.endswith("/api/embed"):
            return json.dumps({"model": "m", "embeddings": vectors}).encode()
        data = [{"object": "embedding", "index": at, "embedding": its} for at, its in enumerate(vectors)]
        return json.dumps({"object": "list", "data": data[::-1]}).encode()


@asynccontextmanager
async def standing_in(tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    made = StandIn()

    async def serve(stream: trio.abc.Stream) -> None:
        # The client left first, came with TLS, or did not believe in ours.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            await made.serve(stream)

    async with trio.open_nursery() as nursery:
        if tls is None:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            made.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        else:
            serving = partial(trio.serve_ssl_over_tcp, serve, 0, tls, host="127.0.0.1", https_compatible=True)
            listeners = await nursery.start(serving)
            socket = listeners[0].transport_listener.socket
            made.url = f"https://127.0.0.1:{socket.getsockname()[1]}"
        yield made
        nursery.cancel_scope.cancel()
