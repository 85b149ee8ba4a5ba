"""The HTTP door, put together: everything that it offers, and what stands before it.

Its own page, because importing it imports a web server, which a daemon without open ports does not need.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mimo.choices import Http, Settings
from mimo.embedding.box import Box
from mimo.embedding.embedder import Embedder
from mimo.errors import Unusable
from mimo.gateway.gate import Gate
from mimo.gateway.keys import Keyring
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.openapi import Operation
from mimo.resilience import BreakerChanged
from mimo.services.ask import stores
from mimo.services.ask.asking import SECONDS, Asking
from mimo.services.ask.chatting import Chatting
from mimo.services.memory.carried_lines import memory_line
from mimo.services.memory.controls import Controls
from mimo.services.memory.names import name_of, number_of
from mimo.storage.database import Database
from mimo.storage.engrams.transfer import carried
from mimo.storage.procedures.definitions import any_defined
from mimo.tool import Call, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.http.ask import ask_routes
from mimo.transports.http.chat import chat_routes
from mimo.transports.http.door import HttpDoor
from mimo.transports.http.exchange import Route
from mimo.transports.http.graph import graph_routes
from mimo.transports.http.guard import Guard
from mimo.transports.http.house import document_routes, event_routes, health_routes, metrics_routes
from mimo.transports.http.mcp import McpOverHttp
from mimo.transports.http.memories import Listing, memory_routes
from mimo.transports.http.openai import openai_routes
from mimo.transports.http.procedures import procedure_routes
from mimo.transports.http.router import Router
from mimo.transports.http.tools import tool_routes
from mimo.transports.ports import Address
from mimo.transports.websocket.door import SynapseDoor
from mimo.transports.websocket.exchange import Caps, Exchange
from mimo.transports.websocket.herald import Herald
from mimo.transports.websocket.lanes import Lanes

if TYPE_CHECKING:
    from mimo.services.ask.upstream import Upstream

# Of a Synapse query's time, so much is for the way back: its own deadline tells it that nothing came.
WAY_BACK = 0.1


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers questions, at both doors."""

    asking: Asking
    chatting: Chatting


def answers(
    settings: Settings,
    gate: Gate,
    database: Database,
    names_in: stores.NamesIn,
    on_change: Callable[[BreakerChanged], None],
) -> Answers:
    """Raises: Unusable: the upstream's settings make no sense."""
    upstream = upstream_of(settings, on_change)

    async def there_are_procedures() -> bool:
        return await database.read(any_defined)

    # Each store as a tool, behind the gate: a question is let in, limited and counted like any call.
    asking = Asking(
        [
            stores.memories(gate.call),
            stores.facts(gate.call, names_in),
            stores.procedures(gate.call, there_are_procedures),
        ],
        upstream,
    )
    return Answers(asking, Chatting(asking, upstream))


def upstream_of(settings: Settings, on_change: Callable[[BreakerChanged], None]) -> Upstream | None:
    """The language model that the settings name."""
    upstream = settings.upstream
    if not upstream.url:
        return None
    if not upstream.model:
        raise Unusable("upstream.url is set, so set upstream.model too")
    from mimo.services.ask.upstream import Upstream  # an HTTP client, which who has no model does not need

    key = upstream.key.get_secret_value() or None
    return Upstream(upstream.url, upstream.model, key, seconds=upstream.silence_seconds, on_change=on_change)


def http_door(
    settings: Settings,
    keyring: Keyring,
    gate: Gate,
    desk: Desk,
    events: Events,
    metrics: Metrics,
    database: Database,
    memory: Controls,
    embedder: Embedder,
    answers: Answers,
    health: Callable[[], Mapping[str, Any]],
) -> tuple[HttpDoor, McpOverHttp]:
    """The door, and what keeps the sessions of MCP's legacy clients; both are children of the tree."""
    http = settings.http
    guard = Guard(keyring, metrics, hosts=names(http, http.host), behind_proxy=http.behind_proxy)
    mcp = McpOverHttp(desk, guard.admit, guard.hosts)

    def operations() -> list[Operation]:
        return [route.operation for route in routes]

    toolbox = gate.dispatch.toolbox
    box = embedder if isinstance(embedder, Box) else Box()  # what is not asked costs nothing
    inside = InTheBox(box)
    routes: list[Route] = [
        *health_routes(health),
        *metrics_routes(metrics),
        *tool_routes(gate, toolbox),
        *memory_routes(
            gate,
            lambda name: toolbox.schema(toolbox.find(name)),
            listing(database),
            memory.streams()["mimo/export"],
            memory.methods()["mimo/import"],
        ),
        *graph_routes(gate),
        *procedure_routes(gate),
        *ask_routes(answers.asking),
        *openai_routes(inside, gate.admit, int(time.time()), answers.chatting.models),
        *chat_routes(answers.chatting, inside.count, gate.admit),
        *event_routes(events),
        *document_routes(operations),
    ]
    router = Router(routes, {"/mcp": mcp}, guard, gate.rates, metrics)

    def keys() -> int:
        return sum(not key.is_owner for key in keyring.keys)

    return HttpDoor(router, http_address(settings), keys, connections=http.connections), mcp


def synapse_door(
    settings: Settings,
    keyring: Keyring,
    gate: Gate,
    desk: Desk,
    events: Events,
    metrics: Metrics,
    asking: Asking,
) -> SynapseDoor:
    """The WebSocket door. Who may come in, and by which names we are called, is one thing for both doors."""
    http, mine = settings.http, settings.synapse
    hosts = names(http, mine.host)

    async def ask(query: str, call: Call, seconds: float | None) -> JsonObject:
        await call.outlet.progress(0, 1, "asking the memories, the facts and the procedures")
        left = SECONDS if seconds is None else seconds
        answer = await asking.ask(query, call, seconds=max(left / 2, left - WAY_BACK))
        await call.outlet.progress(1, 1, answer["router_decision"]["reason"])
        return answer

    exchange = Exchange(
        Guard(keyring, metrics, hosts=hosts, door="synapse", behind_proxy=http.behind_proxy),
        desk,
        gate,
        ask,
        Herald(events),
        Lanes(settings.limits.read, settings.limits.waiting),
        Caps(mine.connections, mine.per_key, mine.in_flight, mine.message_bytes),
    )
    return SynapseDoor(
        exchange, synapse_address(settings), lambda: sum(not key.is_owner for key in keyring.keys)
    )


def names(settings: Http, host: str) -> list[str]:
    """By which a door is reached that listens at this host. An address of ours is no name that others could rebind."""
    return [host, *(name for each in settings.hosts.split(",") if (name := each.strip()))]


def http_address(settings: Settings) -> Address:
    http = settings.http
    return Address(http.host, http.port, certificate(http), http.behind_proxy)


def synapse_address(settings: Settings) -> Address:
    http, mine = settings.http, settings.synapse
    return Address(mine.host, mine.port, certificate(http), http.behind_proxy)


def certificate(settings: Http) -> tuple[str, str] | None:
    both = settings.certificate, settings.certificate_key
    return both if any(both) else None


class InTheBox:
    """The model in the box, as clients of OpenAI's API see it."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.dimension = box.dim

    @property
    def name(self) -> str:
        return self._box.model

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [vector.astype("<f4").tobytes() for vector in await self._box.embed(texts)]

    async def count(self, texts: Sequence[str]) -> int:
        return await self._box.count(texts)


def listing(database: Database) -> Listing:
    """What is alive, as an export has it, page by page."""

    async def page(
        namespace: str | None, after: str | None, limit: int
    ) -> tuple[Sequence[JsonObject], str | None]:
        begin = 0 if after is None else number_of(after)
        found = await database.read(carried, namespace, begin, limit)
        alive = [json.loads(memory_line(each)) for each in found if each.engram.state in {"live", "working"}]
        last = name_of(found[-1].engram.id) if len(found) == limit else None
        return [{name: each[name] for name in each if name != "t"} for each in alive], last

    return page
