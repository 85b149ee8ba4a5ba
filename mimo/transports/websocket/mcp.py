"""MCP over WebSocket: one JSON-RPC message a text frame, the same peer as on every other door."""

from __future__ import annotations

import trio

from mimo.errors import Unauthorized
from mimo.gateway.keys import Key
from mimo.protocol.jsonrpc import parse
from mimo.protocol.mcp.events import Say
from mimo.transports.peer import Peer
from mimo.transports.websocket.exchange import Exchange
from mimo.transports.websocket.link import NOT_ALLOWED, Left, Link

SUBPROTOCOL = "mcp"


class McpOverWebSocket:
    def __init__(self, exchange: Exchange, link: Link, key: Key, token: str) -> None:
        self._exchange = exchange
        self._link = link
        self._key = key
        self._shown = {"authorization": f"Bearer {token}"}
        link.still_welcome = self._still_welcome

    def say(self, said: Say) -> None:
        self._link.say(said.frame.decode())

    async def room(self) -> None:
        await self._link.room()

    async def run(self) -> None:
        """Until the peer has gone or we leave; then what runs is cancelled, or answered."""
        client, desk = self._key.client(), self._exchange.desk
        with self._exchange.hold(self._key), desk.session(client, "synapse", self._link.leave) as session:
            async with trio.open_nursery() as nursery:
                peer = Peer(desk, self, nursery, client, f"key {self._key.id}", session)
                with desk.present(peer):
                    try:
                        while True:
                            message = await self._link.hear()
                            if not self._still_welcome():
                                self._link.hang_up(NOT_ALLOWED, "this key opens nothing any more")
                                break
                            peer.receive(parse(message.encode("utf-8", "surrogatepass")))
                    except Left:
                        pass
                    if self._link.leaving:
                        peer.goodbye()
                        await peer.quiet()
                nursery.cancel_scope.cancel()

    def _still_welcome(self) -> bool:
        try:
            self._exchange.guard.admit(self._shown)
        except Unauthorized:
            return False
        return True
