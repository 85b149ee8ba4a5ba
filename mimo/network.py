"""The HTTP door, put together: everything that it offers, and what stands before it.

Its own page, because importing it imports a web server, which a daemon without open ports does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mimo.gateway.gate import Gate
from mimo.gateway.keys import Keyring
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.protocol.openapi import Operation
from mimo.settings import Http
from mimo.transports.desk import Desk
from mimo.transports.http.door import Address, HttpDoor
from mimo.transports.http.exchange import Route
from mimo.transports.http.guard import Guard
from mimo.transports.http.house import document_routes, event_routes, health_routes, metrics_routes
from mimo.transports.http.mcp import McpOverHttp
from mimo.transports.http.router import Router
from mimo.transports.http.tools import tool_routes


def http_door(
    settings: Http,
    keyring: Keyring,
    gate: Gate,
    desk: Desk,
    events: Events,
    metrics: Metrics,
    health: Callable[[], Mapping[str, Any]],
) -> tuple[HttpDoor, McpOverHttp]:
    """The door, and what keeps the sessions of MCP's legacy clients; both are children of the tree."""
    guard = Guard(
        keyring, metrics, hosts=[name for each in settings.hosts.split(",") if (name := each.strip())]
    )
    mcp = McpOverHttp(desk, guard.admit, guard.hosts)

    def operations() -> list[Operation]:
        return [route.operation for route in routes]

    routes: list[Route] = [
        *health_routes(health),
        *metrics_routes(metrics),
        *tool_routes(gate, gate.dispatch.toolbox),
        *event_routes(events),
        *document_routes(operations),
    ]
    router = Router(routes, {"/mcp": mcp}, guard, gate.rates, metrics)
    certificate = (settings.certificate, settings.certificate_key) if settings.certificate else None
    address = Address(settings.host, settings.port, certificate, settings.behind_proxy)

    def keys() -> int:
        return sum(not key.is_owner for key in keyring.keys)

    return HttpDoor(router, address, keys, connections=settings.connections), mcp
