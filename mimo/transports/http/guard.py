"""Who may come in: our host name, no foreign page, and a key. Asked before anything else is looked at."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping
from ipaddress import IPv6Address

import trio

from mimo.errors import Busy, Forbidden, MimoError, Unauthorized
from mimo.gateway.keys import Key, Keyring
from mimo.observability.metrics import Metrics
from mimo.protocol.origin import LOCAL, WRONG_HOST, bearer, password, refusal, speaker
from mimo.protocol.rest import Refused
from mimo.tool import Client

log = logging.getLogger(__name__)

# Who has shown so many wrong keys within a minute is made to wait, and is not written about any more.
FAILURES, WINDOW = 10, 60.0
PENALTY_SECONDS = 1.0
# So many may be made to wait at once; others hear at once that they are to come later.
MOST_WAITING = 32
MOST_ADDRESSES = 1024


class Guard:
    def __init__(
        self,
        keyring: Keyring,
        metrics: Metrics,
        *,
        hosts: Collection[str] = LOCAL,
        door: str = "http",
        behind_proxy: bool = False,
    ) -> None:
        """`hosts`: our names beside the local ones. `behind_proxy`: who connects is a proxy, and says for whom."""
        self.hosts = frozenset(LOCAL) | frozenset(host.lower() for host in hosts)
        self._keyring = keyring
        self._metrics = metrics
        self._door = door
        self._behind_proxy = behind_proxy
        self._failures: dict[str, deque[float]] = {}
        self._waiting = 0

    def speaker(self, peer: str, headers: Mapping[str, str]) -> str:
        """The address of who asks. Without a proxy nobody is believed who says that they are somebody else."""
        return speaker(peer, headers.get("x-forwarded-for")) if self._behind_proxy else peer

    def require_our_host(self, headers: Mapping[str, str], request: str, address: str) -> None:
        """Raises: Refused."""
        wrong = refusal(headers.get("host"), headers.get("origin"), self.hosts, headers.get("sec-fetch-site"))
        if wrong is None:
            return
        status, text = wrong
        kind = "wrong_host" if status == WRONG_HOST else "wrong_origin"
        self._deny(kind, request, address)
        cure = "; add the name to http.hosts if it is yours" if status == WRONG_HOST else ""
        raise Refused(status, kind, text + cure)

    async def key(
        self, headers: Mapping[str, str], request: str, address: str, *, for_browsers: bool = False
    ) -> Key:
        """The key that was shown.

        Raises:
            Unauthorized: none, or one that opens nothing.
            Busy: the same, too often from this address.
        """
        said = headers.get("authorization")
        token = bearer(said) or (password(said) if for_browsers else None)
        key = self._keyring.find(token) if token else None
        if key is not None:
            return key
        what = "this key opens nothing: it is wrong, or was revoked" if token else "a key is needed"
        if self._failed_before(address) < FAILURES:
            self._deny("wrong_key" if token else "no_key", request, address)
            raise Unauthorized(
                f"{what}; show one in 'Authorization: Bearer ...' ('mimo token' prints the owner's, "
                "'mimo key create' makes others)"
            )
        self._metrics.denied.labels(self._door, "slowed_down").inc()
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                await trio.sleep(PENALTY_SECONDS)
            finally:
                self._waiting -= 1
        raise Busy(f"{what}; and too many such requests come from {address}", after=WINDOW)

    def knows(self, key: Key) -> bool:
        """Whether it still opens anything. For what stays open: a key may be revoked meanwhile."""
        return key in self._keyring.keys

    def admit(self, headers: Mapping[str, str]) -> Client:
        """For who asks later and again: the client of a key that is still good. Raises: Unauthorized."""
        token = bearer(headers.get("authorization"))
        key = self._keyring.find(token) if token else None
        if key is None:
            raise Unauthorized("this key opens nothing")
        return key.client()

    def require_scope(self, key: Key, scope: str) -> None:
        """Raises: Forbidden."""
        if scope in key.scopes or "admin" in key.scopes:
            return
        self._metrics.denied.labels(self._door, "scope").inc()
        raise Forbidden(
            f"this needs the scope '{scope}', and the key {key.name!r} has: {', '.join(sorted(key.scopes))}",
            scope=scope,
        )

    def _deny(self, reason: str, request: str, address: str) -> None:
        self._metrics.denied.labels(self._door, reason).inc()
        log.warning("refused at the door", extra={"id": request, "address": address, "reason": reason})

    def _failed_before(self, address: str) -> int:
        """How often within the last minute; this one is counted too."""
        now = trio.current_time()
        if ":" in address:  # one who has an IPv6 address has 2**64 of them
            address = _network(address)
        times = self._failures.get(address)
        if times is None:
            if len(self._failures) >= MOST_ADDRESSES:
                oldest = min(self._failures, key=lambda each: self._failures[each][-1])
                del self._failures[oldest]
            times = self._failures[address] = deque(maxlen=FAILURES)
        while times and times[0] < now - WINDOW:
            times.popleft()
        before = len(times)
        times.append(now)
        return before


def _network(address: str) -> str:
    try:
        return str(IPv6Address(int(IPv6Address(address.partition("%")[0])) >> 64 << 64))
    except ValueError:
        return address


def challenge(error: MimoError, *, for_browsers: bool) -> dict[str, str]:
    """What a 401 must say."""
    if not isinstance(error, Unauthorized):
        return {}
    return {"www-authenticate": 'Bearer realm="mimo"' + (', Basic realm="mimo"' if for_browsers else "")}
