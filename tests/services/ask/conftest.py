"""A whole house with its doors open, and beside it a language model's service that speaks the real protocol."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import h11
import httpx
import openai
import pytest
import trio

from mimo.choices import Settings
from mimo.home import Home
from mimo.house import House

from ...heard import heard
from ...houses import NO_TLS, ON, Reached, at_rest, reached

# What waits behind a doorstep is imported when it is first asked, in a thread that holds the interpreter meanwhile.
for module in ("mimo.services.graph.wiring", "mimo.services.procedures.wiring"):
    import_module(module)

KEY = "sk-not-to-be-told"


@dataclass
class Service:
    """Says "blue whale" word by word, or what the test wants to go wrong."""

    listening: socket.socket
    tls: ssl.SSLContext | None = None
    status: int = 200
    error: dict[str, Any] = field(default_factory=lambda: {"message": "no such thing", "type": "x"})
    retry_after: str | None = None
    cut_after: int | None = None  # pieces of a stream, then it hangs up
    silent_after: int | None = None  # pieces of a stream, then it says nothing
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])
    came: trio.Event = field(default_factory=trio.Event)  # somebody has asked
    left: trio.Event = field(default_factory=trio.Event)  # whoever asked has hung up

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.listening.getsockname()[1]}/v1"

    async def serve(self, plain: trio.SocketStream) -> None:
        stream: trio.abc.Stream = plain
        if self.tls is not None:
            stream = trio.SSLStream(plain, self.tls, server_side=True, https_compatible=True)
        try:
            async with stream:
                await self._answer(stream)
        except trio.BrokenResourceError:
            self.left.set()

    async def _answer(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        if (request := await heard(connection, stream)) is None:
            return
        path, key, asked = request
        assert path == "/v1/chat/completions"
        self.asked.append(asked)
        self.came.set()
        self.keys.append(key)

        async def say(*events: Any) -> None:
            for event in events:
                await stream.send_all(connection.send(event) or b"")

        if self.status != 200:
            more = [("retry-after", self.retry_after)] if self.retry_after else []
            told = json.dumps({"error": self.error}).encode()
            await say(h11.Response(status_code=self.status, headers=more), h11.Data(told), h11.EndOfMessage())
        elif not asked.get("stream"):
            if self.silent_after is not None:
                await self._until_left(stream)
            message = {"role": "assistant", "content": "blue whale"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            told = json.dumps(_told(asked, "chat.completion", choices)).encode()
            head_ = [("content-type", "application/json")]
            await say(h11.Response(status_code=200, headers=head_), h11.Data(told), h11.EndOfMessage())
        else:
            await say(h11.Response(status_code=200, headers=[("content-type", "text/event-stream")]))
            for count, word in enumerate(["blue", " ", "whale", None]):
                if count == self.cut_after:
                    return
                if count == self.silent_after:
                    await self._until_left(stream)
                delta = {} if word is None else {"content": word}
                choices = [{"index": 0, "delta": delta, "finish_reason": "stop" if word is None else None}]
                told = json.dumps(_told(asked, "chat.completion.chunk", choices)).encode()
                await say(h11.Data(b"data: " + told + b"\n\n"))
            await say(h11.Data(b"data: [DONE]\n\n"), h11.EndOfMessage())

    async def _until_left(self, stream: trio.abc.Stream) -> None:
        while await stream.receive_some(65536):
            pass
        self.left.set()


def _told(asked: dict[str, Any], kind: str, choices: list[Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {
        "id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"], "choices": choices, "usage": usage
    }  # fmt: skip


@dataclass
class Open(Reached):
    openai: openai.AsyncOpenAI

    async def streamed(self, **wanted: Any) -> tuple[list[Any], openai.APIError | None]:
        """All chunks that the official package gives, and what it raised then. It is iterated in a thread, where its
        generators end when they are dropped."""
        chunks: list[Any] = []

        def stream() -> openai.APIError | None:
            with openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.token, max_retries=0) as client:
                try:
                    chunks.extend(client.chat.completions.create(stream=True, **wanted))
                except openai.APIError as error:
                    return error
            return None

        return chunks, await trio.to_thread.run_sync(stream)

    async def ask(self, query: str, **more: Any) -> dict[str, Any]:
        response = await self.client.post("/v1/mimo/ask", json={"query": query, **more})
        assert response.status_code == 200, response.text
        return response.json()

    async def tool(self, name: str, **arguments: Any) -> Any:
        told = (await self.client.post("/v1/mimo/tool", json={"tool": name, "arguments": arguments})).json()
        assert told["status"] == "ok", told
        return told["data"]

    async def remember(self, *contents: str) -> None:
        items = [{"content": each} for each in contents]
        response = await self.client.post("/v1/memories", json={"items": items, "namespace": "user"})
        assert response.status_code == 201, response.text


@pytest.fixture
def encrypted() -> bool:
    """Whether the service is to be reached by https."""
    return False


@pytest.fixture
def service(encrypted: bool, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Bound, and served for as long as a test with `model` runs."""
    tls = None
    if encrypted:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*request.getfixturevalue("certificate"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Service(listening, tls)


@pytest.fixture
def upstream() -> dict[str, Any]:
    """What a test chooses in the section of that name; empty: there is none."""
    return {}


@pytest.fixture
def embedding() -> dict[str, Any]:
    """As `upstream`."""
    return {}


@pytest.fixture
def house(home: Home, upstream: dict[str, Any], embedding: dict[str, Any]) -> Iterator[House]:
    settings = Settings.model_validate(
        {
            "http": ON,
            "synapse": ON,
            "upstream": {**upstream, "reads_facts": False},
            "embedding": embedding,
        }
    )
    with at_rest(home, settings) as built:
        yield built


@pytest.fixture
async def door(house: House, service: Service, nursery: trio.Nursery) -> AsyncIterator[Open]:
    async def serve() -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(service.listening))
        await trio.serve_listeners(service.serve, [listener])

    service.listening.setblocking(False)
    nursery.start_soon(serve)
    await nursery.start(house.root.run)
    owner = reached(house)
    async with (
        owner.client,
        openai.AsyncOpenAI(
            base_url=f"{owner.url}/v1",
            api_key=owner.token,
            max_retries=0,
            http_client=httpx.AsyncClient(verify=NO_TLS),
        ) as official,
    ):
        yield Open(**vars(owner), openai=official)
    nursery.cancel_scope.cancel()
