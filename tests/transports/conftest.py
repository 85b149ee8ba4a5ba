"""A house with one of each thing, and clients that check every frame they get against the published schema."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from mcp_types import jsonrpc, methods
from pydantic import Field

from mimo.errors import Busy, Conflict, NotFound
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.mcp.about import ServerInfo
from mimo.tool import (
    Answer,
    Arguments,
    Call,
    Client,
    Contents,
    JsonObject,
    Message,
    Prompt,
    PromptArgument,
    Resource,
    ResourceTemplate,
    Tool,
)
from mimo.transports.desk import Desk
from mimo.transports.lines import Connection, Control

MODERN = "2026-07-28"
PATIENCE = 20.0


class Nothing(Arguments):
    """Use when nothing is to be said."""


class Echo(Arguments):
    """Use when something is to be said again."""

    text: str = Field(max_length=5_000_000)


@dataclass
class House:
    """The tools of the tests, and what they have seen."""

    go: trio.Event = field(default_factory=trio.Event)
    started: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])
    calls: list[Call] = field(default_factory=list[Call])

    async def echo(self, arguments: Echo, call: Call) -> Answer:
        self.calls.append(call)
        return Answer.text(arguments.text)

    async def slow(self, arguments: Echo, call: Call) -> Answer:
        self.started.append(arguments.text)
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.cancelled.append(arguments.text)
            raise
        return Answer.text(arguments.text)

    async def noisy(self, arguments: Nothing, call: Call) -> Answer:
        for step in (1, 2, 2, 1, 3):
            await call.outlet.progress(step, 3, f"step {step}")
        for level in ("debug", "info", "error"):
            await call.outlet.log(level, {"said": level}, "tests")
        return Answer.text("done")

    async def data(self, arguments: Nothing, call: Call) -> Answer:
        return Answer((), {"numbers": [1, 2]}, meta={"mimo/x": 1})

    async def listed_data(self, arguments: Nothing, call: Call) -> Answer:
        return Answer((), [1, 2])

    async def blocks(self, arguments: Nothing, call: Call) -> Answer:
        return Answer(
            (
                {"type": "text", "text": "a", "annotations": {"priority": 1, "future": 2}},
                {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
                {"type": "resource_link", "uri": "mimo://a", "name": "a", "title": "A"},
                {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                {"type": "resource", "resource": {"uri": "mimo://a", "text": "t"}},
            )
        )

    async def fails(self, arguments: Echo, call: Call) -> Answer:
        match arguments.text:
            case "missing":
                raise NotFound("no memory 'x'; search first", id="x")
            case "busy":
                raise Busy("too much at once", after=3)
            case "conflict":
                raise Conflict("it has changed; read it again")
            case "bug":
                raise RuntimeError("secret details")
            case _:
                return Answer.text("it did not work", failed=True)

    async def asks(self, arguments: Nothing, call: Call) -> Answer:
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        first = await call.outlet.ask(
            "elicitation/create", {"message": "Who?", "requestedSchema": schema}, "who"
        )
        both = await call.outlet.ask_all(
            {
                "roots": ("roots/list", {}),
                "word": ("sampling/createMessage", {"messages": [], "maxTokens": 5}),
            }
        )
        last = await call.outlet.ask("roots/list", {})
        return Answer.text(json.dumps([first, both, last], sort_keys=True))

    async def read(self, uri: str, call: Call) -> Sequence[Contents]:
        if uri.endswith("missing"):
            raise NotFound(f"nothing at {uri}", uri=uri)
        if uri.endswith("bytes"):
            return [Contents(uri, b"\x00\xff", "application/octet-stream")]
        return [Contents(uri, f"what is at {uri}", "text/markdown")]

    async def complete(self, name: str, begun: str, others: JsonObject) -> Sequence[str]:
        return [
            f"{begun}{number}{others.get('suffix', '')}" for number in range(150 if begun == "many" else 2)
        ]

    async def prompt(self, arguments: Mapping[str, str], call: Call) -> Sequence[Message]:
        if arguments.get("topic") == "bug":
            raise RuntimeError("secret details")
        return [
            Message("user", {"type": "text", "text": f"About {arguments.get('topic')}"}),
            Message("assistant", {"type": "resource_link", "uri": "mimo://a", "name": "a"}),
        ]

    def fill(self, box: Toolbox) -> None:
        icons = ({"src": "data:image/png;base64,AAAA", "mimeType": "image/png", "sizes": ["48x48"]},)
        box.add(
            Tool("echo", Echo, self.echo, title="Echo", icons=icons, meta={"anthropic/alwaysLoad": True}),
            Tool("slow", Echo, self.slow, writes=True, destructive=True, seconds=600),
            Tool("noisy", Nothing, self.noisy),
            Tool("data", Nothing, self.data, output_schema={"type": "object"}),
            Tool("listed_data", Nothing, self.listed_data, output_schema={"type": "array"}),
            Tool("blocks", Nothing, self.blocks),
            Tool("fails", Echo, self.fails),
            Tool("asks", Nothing, self.asks),
            Tool("hidden", Nothing, self.data, listed=False),
            Resource("mimo://a", "a", self.read, title="A", description="The first", meta={"mimo/x": 1}),
            Resource("mimo://bytes", "bytes", self.read, mime="application/octet-stream"),
            ResourceTemplate("mimo://item/{id}", "item", self.read, complete=self.complete),
            Prompt(
                "recall",
                self.prompt,
                title="Recall",
                description="What is known",
                arguments=(PromptArgument("topic", "Of what", required=True),),
                complete=self.complete,
            ),
            Prompt("plain", self.prompt),
        )


class Talker:
    """A client on a stream. Everything that it hears must be valid in the revision that it speaks."""

    def __init__(self, stream: Any, revision: str) -> None:
        self.stream = stream
        self.revision = revision
        self.capabilities: dict[str, Any] = {"elicitation": {}, "roots": {}, "sampling": {}}
        self.notes: list[dict[str, Any]] = []
        self._next = 0
        self._rest = b""
        self._methods: dict[Any, tuple[str, str]] = {}

    @property
    def modern(self) -> bool:
        return self.revision == MODERN

    async def greet(self) -> dict[str, Any]:
        if self.modern:
            return (await self.ask("server/discover"))["result"]
        answer = await self.ask(
            "initialize",
            protocolVersion=self.revision,
            capabilities=self.capabilities,
            clientInfo={"name": "tests", "version": "1"},
        )
        await self.note("notifications/initialized")
        return answer["result"]

    def meta(self) -> dict[str, Any]:
        prefix = "io.modelcontextprotocol/"
        return {
            f"{prefix}protocolVersion": self.revision,
            f"{prefix}clientCapabilities": self.capabilities,
            f"{prefix}clientInfo": {"name": "tests", "version": "1"},
        }

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        if self.modern:
            params = {**params, "_meta": {**self.meta(), **params.get("_meta", {})}}
        self._methods[self._next] = (method, self.revision)
        return {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}

    async def send(self, method: str, **params: Any) -> int:
        """A request that is not waited for; gives its id."""
        message = self.request(method, params)
        await self.write(json.dumps(message).encode() + b"\n")
        return message["id"]

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A request, and its answer. What is said meanwhile is in `notes`."""
        identity = await self.send(method, **params)
        while True:
            heard = await self.hear()
            assert isinstance(heard, dict)
            if heard.get("id") == identity and "method" not in heard:
                return heard
            self.notes.append(heard)

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=name, arguments=arguments)

    async def note(self, method: str, **params: Any) -> None:
        await self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n")

    async def write(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(data)

    async def hear(self) -> Any:
        """The next frame; None at the end."""
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._rest:
                chunk = await self.stream.receive_some(65536)
                if not chunk:
                    assert not self._rest, "the last line was torn"
                    return None
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        frame = json.loads(line)
        for each in frame if isinstance(frame, list) else [frame]:
            self.check(each)
        return frame

    def check(self, frame: dict[str, Any]) -> None:
        if "method" in frame:
            side = methods.SERVER_REQUESTS if "id" in frame else methods.SERVER_NOTIFICATIONS
            side[(frame["method"], self.revision)].model_validate(frame)
        elif "error" in frame:
            jsonrpc.JSONRPCError.model_validate(frame)
        else:
            method, revision = self._methods[frame["id"]]
            if not method.startswith("mimo/"):
                methods.validate_server_result(method, revision, frame["result"])


Meet = Callable[..., Awaitable[Talker]]


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def toolbox(house: House) -> Toolbox:
    box = Toolbox(Events())
    house.fill(box)
    return box


@pytest.fixture
def desk(toolbox: Toolbox) -> Desk:
    about = ServerInfo(
        "mimo",
        "1.2.3",
        title="mimo",
        icons=({"src": "data:image/png;base64,AAAA"},),
        website="https://example.org",
    )
    events, metrics = Events(), Metrics()
    sessions = Sessions(events, metrics)
    return Desk(about, toolbox, Dispatch(toolbox, events, metrics), sessions=sessions, key=b"k" * 32)


@pytest.fixture
async def meet(desk: Desk, nursery: trio.Nursery) -> AsyncIterator[Meet]:
    """Connects a client over a stream in memory. It has said its greeting, unless it is told not to."""
    ends: list[Any] = []

    async def connect(
        revision: str = "2025-11-25",
        *,
        greet: bool = True,
        capabilities: dict[str, Any] | None = None,
        control: Control | None = None,
        principal: str = "tests",
    ) -> Talker:
        ours, theirs = trio.testing.memory_stream_pair()
        ends.append(theirs)

        async def serve() -> None:
            async with ours:
                await Connection(ours, desk).run(Client(namespace="tests"), principal, control)

        nursery.start_soon(serve)
        talker = Talker(theirs, revision)
        if capabilities is not None:
            talker.capabilities = capabilities
        if greet:
            await talker.greet()
        return talker

    yield connect
    for end in ends:
        await trio.aclose_forcefully(end)
