"""Where a door of the network listens: what may stand open to whom, sockets that are there when they can be, and TLS."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import trio

from mimo.errors import Unusable
from mimo.protocol.origin import is_loopback

if TYPE_CHECKING:
    from ssl import SSLContext

log = logging.getLogger(__name__)

# A port that another program has is asked for again now and then: it may be a daemon that is just ending.
AGAIN_SECONDS = 5.0
BACKLOG = 512

Door = Literal["http", "synapse"]  # as the sections of the settings are called
_DOORS: dict[Door, str] = {"http": "HTTP", "synapse": "WebSocket"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and what makes that safe."""

    host: str = "127.0.0.1"
    port: int = 4000
    certificate: tuple[str, str] | None = (
        None  # two files: the chain, and its private key ("": in the same file)
    )
    behind_proxy: bool = False  # somebody before us speaks TLS

    @property
    def in_the_clear(self) -> str | None:
        """Why this must not be opened with any keys, or None."""
        if is_loopback(self.host) or self.certificate is not None or self.behind_proxy:
            return None
        return (
            f"{self.host} can be reached from outside, and keys would travel in the clear: set http.certificate and "
            "http.certificate_key, or --behind-proxy (http.behind_proxy) when a proxy before mimo speaks TLS"
        )

    def check(self) -> None:
        """Could it ever be opened? Raises: Unusable: no, and why."""
        if (why := self.in_the_clear) is not None:
            raise Unusable(why)
        if self.certificate is not None:
            tls(*self.certificate)

    def unsafe(self, keys: int) -> str | None:
        """Why this must not be opened now, or None. `keys` were made besides the owner's."""
        if not is_loopback(self.host) and not keys:
            return f"{self.host} can be reached from outside, and no key was made: run 'mimo key create NAME'"
        return self.in_the_clear


class Port:
    """The address of one door, and its sockets while it is open. Both doors have one, and may be run again."""

    def __init__(self, door: Door, address: Address, keys: Callable[[], int]) -> None:
        """`keys`: how many were made besides the owner's."""
        self.state = "closed"
        self.tls: SSLContext | None = None
        self.sockets: Sequence[socket.socket] = ()
        self._door: Door = door
        self._address = address
        self._keys = keys
        self._number = 0

    @property
    def url(self) -> str:
        """Where it listens; the port that was chosen, when any would do."""
        scheme = ("https" if self._door == "http" else "wss") if self._address.certificate else ""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{scheme or ('http' if self._door == 'http' else 'ws')}://{host}:{self._number or self._address.port}"

    async def open(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen, as soon as that is possible. What keeps it from that is told once, in the log and in `state`.

        The task has started in either case: a door that cannot be opened ends nothing else.
        """
        waited = False
        while (why := await self._opened()) is not None:
            if self.state != f"not opened: {why}":  # once, not every time that we look again
                log.error("the %s door stays shut: %s", _DOORS[self._door], why)
            self.state = f"not opened: {why}"
            if not waited:
                task_status.started()
                waited = True
            await trio.sleep(AGAIN_SECONDS)
            if self.state == "draining":  # too late to let anybody in
                await trio.sleep_forever()
        self._number = self.sockets[0].getsockname()[1]
        self.state = "open"
        log.info("listening", extra={"url": self.url})
        if not waited:
            task_status.started()

    def drain(self) -> None:
        """Whoever comes now is refused by the kernel."""
        self.state = "draining"
        self._close()

    def close(self) -> None:
        self.state = "closed"
        self._close()

    async def _opened(self) -> str | None:
        """None, or what is in the way."""
        await trio.lowlevel.checkpoint()
        try:
            if (why := self._address.unsafe(self._keys())) is not None:
                return why
            if self._address.certificate is not None:
                self.tls = tls(*self._address.certificate)
            self.sockets = await listening(self._address.host, self._address.port)
        except Unusable as error:
            return error.message
        except OSError as error:
            return reason(error, self._address, f"{self._door}.port")
        return None

    def _close(self) -> None:
        for each in self.sockets:
            each.close()
        self.sockets = ()


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


def listeners(sockets: Sequence[socket.socket], tls: SSLContext | None) -> Any:
    """What Trio accepts on. The sockets stay open when these are closed."""
    plain = [trio.SocketListener(trio.socket.from_stdlib_socket(each.dup())) for each in sockets]
    return plain if tls is None else [trio.SSLListener(each, tls, https_compatible=True) for each in plain]


def reason(error: OSError, address: Address, setting: str) -> str:
    """Why this address cannot be listened at, and the cure."""
    where = f"{address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"another program listens at {where}; stop it, or choose another port with {setting} "
            "(mimo looks again by itself)"
        )
    return f"cannot listen at {where}: {error.strerror or error}"


def tls(chain: str, key: str) -> SSLContext:
    """What speaks TLS with this certificate. Raises: Unusable: which file is wrong, and how."""
    import ssl  # who opens no port for others does not need it

    if not chain:
        raise Unusable("http.certificate_key is set, and http.certificate is not; TLS takes both")
    chain, key = os.path.expanduser(chain), os.path.expanduser(key)
    for setting, path in (("http.certificate", chain), ("http.certificate_key", key)):
        _require_readable(setting, path)

    def ask_nobody() -> str:  # OpenSSL would wait for a person at the terminal
        raise Unusable(
            f"the private key in {key or chain} is encrypted; mimo has nobody to ask for its passphrase"
        )

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(chain, key or None, ask_nobody)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what = f"the private key in {key or chain} is not that of the certificate in {chain}"
        else:
            what = f"no certificate in {chain} with a private key in {key or chain} (PEM): {error.reason or error}"
        raise Unusable(f"{what}; see http.certificate and http.certificate_key") from error
    return context


def _require_readable(setting: str, path: str) -> None:
    try:
        if not path and setting.endswith("_key"):
            return  # it is in the file of the chain
        if os.path.exists(path) and not os.path.isfile(path):
            raise Unusable(f"{setting} is {path}, which is no file")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Unusable(f"cannot read {path} ({error.strerror}), which {setting} names") from error
