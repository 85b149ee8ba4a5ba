"""From a stream to a WebSocket: what stands before the upgrade, and who talks after it."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream
from wsproto.utilities import ProtocolError

from mimo.errors import InvalidArguments, MimoError
from mimo.gateway.keys import Key
from mimo.protocol import jsonrpc, synapse
from mimo.protocol.origin import bearer
from mimo.protocol.rest import Refused, problem, problem_of, retry_after, status_of
from mimo.protocol.synapse import Version
from mimo.transports.http.guard import challenge
from mimo.transports.websocket.cortex import Cortex, missed
from mimo.transports.websocket.exchange import Exchange
from mimo.transports.websocket.link import Left, Link, Wire
from mimo.transports.websocket.mcp import SUBPROTOCOL, McpOverWebSocket

HEAD_SECONDS = 5.0
CORTEX, MCP = "/cortex/websocket", "/mcp"
PHOENIX = "phoenix"
# How clients of Phoenix 1.8 show a key with the upgrade, since pages cannot set its headers.
SHOWN_AS = "base64url.bearer.phx."


async def meet(stream: Any, exchange: Exchange, opened: Callable[[Link], None]) -> None:
    """Serve one connection to its end. `opened` hears of it once it is a WebSocket. The stream is closed.

    Raises nothing that a peer could cause.
    """
    try:
        async with trio.open_nursery() as reading:
            head = trio.CancelScope(deadline=trio.current_time() + HEAD_SECONDS)
            wire = Wire(stream, head.cancel)
            request: WebSocketRequest | None = None
            with head:
                request = await wrap_server_stream(
                    reading, wire, max_message_size=exchange.caps.message, receive_buffer_size=16 * 1024
                )
                wire.on_end = _nothing
            if request is not None:
                await _admitted(request, wire, exchange, opened)
            reading.cancel_scope.cancel()
    except* (ConnectionClosed, ProtocolError, UnicodeError, trio.BrokenResourceError):
        pass  # what it sent was no WebSocket, or it has gone in the middle of a word
    except* trio.ClosedResourceError:
        pass  # it was closed under the reader by the writer, which knows why
    finally:
        await trio.aclose_forcefully(stream)


async def _admitted(
    request: WebSocketRequest, wire: Wire, exchange: Exchange, opened: Callable[[Link], None]
) -> None:
    identity = secrets.token_hex(8)
    headers = _headers(request)
    address = exchange.guard.speaker(wire.peer, headers)
    try:
        key, token, protocol, how = await _checked(request, headers, exchange, identity, address)
    except Refused as refused:
        await _refuse(
            request, refused.status, problem(refused.kind, refused.message, identity), refused.headers
        )
        return
    except MimoError as error:
        more = challenge(error, for_browsers=False)
        after = retry_after(error)
        if after is not None:
            more["retry-after"] = after
        await _refuse(request, status_of(error), problem_of(error, identity), more)
        return
    socket = await request.accept(subprotocol=protocol)
    cap = exchange.caps.message
    if how is None:
        assert key is not None
        assert token is not None
        link = Link(socket, wire, most=cap)
        talk = McpOverWebSocket(exchange, link, key, token).run
    else:
        link = Link(socket, wire, most=cap, missed=lambda lost: missed(how, lost))
        talk = Cortex(exchange, link, how, address, token).run
    opened(link)
    try:
        with exchange.pulse.felt(link):
            await link.run(talk)
    except* Left:
        pass


async def _checked(
    request: WebSocketRequest, headers: Mapping[str, str], exchange: Exchange, identity: str, address: str
) -> tuple[Key | None, str | None, str | None, Version | None]:
    """Key and its text, the subprotocol, and how frames are written (None: this is MCP).

    Raises: Refused, or a MimoError.
    """
    exchange.guard.require_our_host(headers, identity, address)
    if exchange.desk.sessions is not None:
        exchange.desk.sessions.admit()
    address_asked = urlsplit(request.path)
    offered = request.proposed_subprotocols
    token = bearer(headers.get("authorization")) or _token_of(offered)
    how: Version | None = None
    match address_asked.path:
        case "/cortex/websocket":
            try:
                how = synapse.version(parse_qs(address_asked.query).get("vsn", [None])[-1])
            except InvalidArguments as error:
                raise Refused(400, error.kind, error.message) from error
            protocol = PHOENIX if PHOENIX in offered else None
        case "/mcp":
            if SUBPROTOCOL not in offered:
                raise Refused(400, "no_subprotocol", "MCP over WebSocket is the subprotocol 'mcp'")
            protocol = SUBPROTOCOL
        case other:
            raise Refused(404, "not_found", f"no WebSocket at {other[:100]!r}; there are {CORTEX} and {MCP}")
    key = None
    if token is not None or how is None:  # an agent may show its key when it joins
        shown = {} if token is None else {"authorization": f"Bearer {token}"}
        key = await exchange.guard.key(shown, identity, address)
        if not key.is_owner and exchange.held[key.id] >= exchange.caps.per_key:
            with exchange.hold(key):  # says why
                pass
    return key, token, protocol, how


async def _refuse(
    request: WebSocketRequest, status: int, told: Mapping[str, object], more: Mapping[str, str]
) -> None:
    with trio.move_on_after(HEAD_SECONDS):
        headers = [(name.encode(), value.encode()) for name, value in more.items()]
        headers += [(b"content-type", b"application/json"), (b"connection", b"close")]
        await request.reject(status, extra_headers=headers, body=jsonrpc.encode({"error": told}))


def _headers(request: WebSocketRequest) -> dict[str, str]:
    """By name in lower case; several of one name as one."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        text, said = name.decode("latin-1").lower(), value.decode("latin-1")
        found[text] = f"{found[text]}, {said}" if text in found else said
    # trio-websocket keeps this one to itself.
    found["host"] = request._event.host  # pyright: ignore[reportPrivateUsage]
    return found


def _token_of(offered: tuple[str, ...]) -> str | None:
    for each in offered:
        if each.startswith(SHOWN_AS):
            said = each.removeprefix(SHOWN_AS)
            try:
                return base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)).decode()
            except (binascii.Error, ValueError):
                return ""
    return None


def _nothing() -> None:
    pass
