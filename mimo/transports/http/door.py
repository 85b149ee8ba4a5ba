"""The HTTP door: its sockets, what may stand open to whom, and how it is shut."""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mimo.protocol.origin import is_loopback
from mimo.transports.http.router import Router
from mimo.transports.http.server import MAX_CONNECTIONS, Server

log = logging.getLogger(__name__)

# A port that another program has is asked for again now and then: it may be a daemon that is just ending.
AGAIN_SECONDS = 30.0
BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and what makes that safe."""

    host: str = "127.0.0.1"
    port: int = 4000
    certificate: tuple[str, str] | None = None  # two files: the chain, and its private key
    behind_proxy: bool = False  # somebody before us speaks TLS

    def unsafe(self, keys: int) -> str | None:
        """Why this must not be opened, or None. `keys` were made besides the owner's."""
        if is_loopback(self.host):
            return None
        if not keys:
            return f"{self.host} can be reached from outside, and no key was made: run 'mimo key create NAME'"
        if self.certificate is None and not self.behind_proxy:
            return (
                f"{self.host} can be reached from outside, and keys would travel in the clear: set http.certificate "
                "and http.certificate_key, or http.behind_proxy when a proxy before mimo speaks TLS"
            )
        return None


class HttpDoor:
    """A supervised child. What keeps it from opening is told, in the log and in `state`, and ends nothing else."""

    def __init__(
        self,
        router: Router,
        address: Address,
        keys: Callable[[], int],
        *,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._address = address
        self._keys = keys
        self._router = router
        self._server = Server(router, certificate=address.certificate, connections=connections)
        self._bound: Sequence[socket.socket] = ()
        self._port = 0
        self.state = "closed"

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def idle_since(self) -> float | None:
        """When the last client left, on Trio's clock; None while one is here."""
        return self._server.idle_since if self.state == "open" else -math.inf

    @property
    def url(self) -> str:
        """Where it listens; the port that was chosen, when any would do."""
        scheme = "https" if self._address.certificate else "http"
        port = self._port or self._address.port
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{scheme}://{host}:{port}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        waited = False
        try:
            while True:
                if (why := self._address.unsafe(self._keys())) is not None:
                    self._tell(f"not opened: {why}", "the HTTP door stays shut: %s", why)
                else:
                    try:
                        self._bound = await listening(self._address.host, self._address.port)
                    except OSError as error:
                        why = reason(error, self._address)
                        self._tell(f"not opened: {why}", "the HTTP door stays shut: %s", why)
                if self._bound:
                    break
                if not waited:
                    task_status.started()
                    waited = True
                await trio.sleep(AGAIN_SECONDS)
            self._port = self._bound[0].getsockname()[1]
            self.state = "open"
            log.info("listening", extra={"url": self.url})
            if waited:
                await self._server.run(self._bound)
            else:
                await self._server.run(self._bound, task_status=task_status)
        finally:
            self.state = "closed"
            for each in self._bound:
                each.close()
            self._bound = ()

    async def drain(self) -> None:
        """Let nobody in, end the streams, answer what is in flight."""
        self._router.leave()
        self.state = "draining"
        for each in self._bound:
            each.close()
        await self._server.drain()

    def _tell(self, state: str, message: str, why: str) -> None:
        if self.state != state:  # once, not every time that we look again
            log.error(message, why)
        self.state = state


async def listening(host: str, port: int) -> Sequence[socket.socket]:
    """Sockets that listen at this address. Raises: OSError."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(made) > 1:
                address = (address[0], made[0].getsockname()[1], *address[2:])
            one.bind(address)
            one.listen(BACKLOG)
            one.setblocking(False)
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def reason(error: OSError, address: Address, setting: str = "http.port") -> str:
    """Why this address cannot be listened at, and the cure."""
    where = f"{address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"another program listens at {where}; stop it, or choose another port with {setting} "
            "(mimo looks again by itself)"
        )
    return f"cannot listen at {where}: {error.strerror or error}"
