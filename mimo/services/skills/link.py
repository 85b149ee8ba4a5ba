"""A live connection to a skill: requests out, answers to whoever waits for them, and the handshake of either era."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import trio

from mimo.errors import MimoError, TooSlow, Unavailable
from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import METHOD_NOT_FOUND, Failure, Id, Lines, Malformed, Object
from mimo.protocol.mcp.asking import (
    Answered,
    Asked,
    Asking,
    Progressed,
    Strange,
    Told,
    handshaken,
    modern,
)
from mimo.protocol.mcp.revisions import Revision
from mimo.services.skills.exchange import Exchange, Refused, unsent
from mimo.tool import Call, JsonObject

# A server that is up answers the probe at once. One that does not know how to is asked the older way beside it.
PROBE = 1.0
QUESTIONS = frozenset({"roots/list", "sampling/createMessage", "elicitation/create"})
NOBODY = -32603
MOST_PARKED = 100
# As long as a person may take over a form.
PARKED_FOR = 600.0


@dataclass(slots=True)
class Sent:
    """A frame, and what is in it, for ways of sending that look at that."""

    frame: bytes
    id: Id | None
    method: str
    params: Object
    soon: bool = False  # others are on their way, so it may leave with them
    asks: bool = False  # the skill may ask the client something meanwhile


class Wire(Protocol):
    def send(self, sent: Sent) -> None:
        """Queue a frame. Never waits. Raises: Unavailable: too much waits already."""
        ...

    def agreed(self, revision: Revision) -> None:
        """From here on this revision is spoken."""
        ...


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the handshake told."""

    revision: Revision
    capabilities: JsonObject
    server: JsonObject
    instructions: str = ""


class Link:
    """Feed it what comes with `feed` or `receive`; `told` gets the notifications that belong to no request."""

    def __init__(self, wire: Wire, told: Callable[[Told], None], strange: Callable[[str], None]) -> None:
        self._wire = wire
        self._told = told
        self._strange = strange
        self._asking = Asking()
        self._lines = Lines()
        self._exchanges: dict[Id, Exchange] = {}
        self._parked: dict[str, tuple[Exchange, float]] = {}
        self._lost: MimoError | None = None

    @property
    def busy(self) -> int:
        """How many requests wait for an answer, those that wait for a person among them."""
        self._give_up_old()
        return sum(each.method not in _LASTING for each in self._exchanges.values())

    @property
    def lost(self) -> bool:
        return self._lost is not None

    @property
    def modern(self) -> bool:
        return self._asking.revision is not None and self._asking.revision.modern

    # Asking.

    def begin(
        self,
        method: str,
        params: JsonObject | None = None,
        call: Call | None = None,
        *,
        log_level: str | None = None,
    ) -> Exchange:
        """Send a request. Raises: Unavailable."""
        progress = call is not None and "progressToken" in call.meta
        if call is None:
            number, said = self._asking.request(method, params)
        else:
            number, said = self._asking.request(
                method, params, offers=call.offers, log_level=log_level, progress=progress
            )
        return self._send(number, method, said, call)

    async def request(self, method: str, params: JsonObject | None = None) -> Object:
        """The result of a request of our own.

        Raises:
            Refused, InvalidArguments, NotFound: the skill says no.
            Unavailable: it has gone.
        """
        exchange = self.begin(method, params)
        try:
            return await exchange.result()
        finally:
            self.give_up(exchange)

    def notify(self, method: str) -> None:
        self._wire.send(Sent(jsonrpc.notification(method), None, method, {}))

    def give_up(self, exchange: Exchange, reason: str = "", error: MimoError | None = None) -> None:
        """Nobody waits for this any more. Nothing happens if it is over."""
        self._exchanges.pop(exchange.id, None)
        if exchange.over:
            return
        frame = self._asking.cancel(exchange.id, reason)
        exchange.settle(None, error or Unavailable("given up"))
        if frame is not None and exchange.method != "initialize":  # which must not be cancelled
            try:
                self._wire.send(
                    Sent(frame, None, "notifications/cancelled", {"requestId": exchange.id, "reason": reason})
                )
            except Unavailable:
                self._strange("a cancellation could not be sent")

    def answer(self, asked: Asked, result: JsonObject) -> None:
        self._wire.send(Sent(jsonrpc.result(asked.id, dict(result)), None, "", {}))

    def refuse(self, asked: Asked, code: int, message: str) -> None:
        self._wire.send(Sent(jsonrpc.error(asked.id, Failure(code, message)), None, "", {}))

    # Waiting for people.

    def park(self, exchange: Exchange) -> str:
        """Keep a request that waits for an answer which comes by another request of its client's.

        Raises:
            Unavailable: too many wait.
        """
        self._give_up_old()
        if len(self._parked) >= MOST_PARKED:
            raise Unavailable(f"{MOST_PARKED} calls of this skill wait for people already")
        ticket = secrets.token_urlsafe(12)
        self._parked[ticket] = exchange, trio.current_time() + PARKED_FOR
        return ticket

    def unpark(self, ticket: str) -> Exchange | None:
        found = self._parked.pop(ticket, None)
        return None if found is None or found[0].over else found[0]

    def _give_up_old(self) -> None:
        for ticket, (exchange, until) in list(self._parked.items()):
            if until < trio.current_time():
                del self._parked[ticket]
                self.give_up(exchange, "nobody answered")

    def end_overdue(self, now: float, patience: float, name: str) -> float:
        """End what was asked longer than `patience` ago. Gives when to look again; who asks waits for at most as long.

        What waits for a person is not the skill's to hurry.
        """
        for exchange in list(self._exchanges.values()):
            if exchange.pending is not None or exchange.scope is not None or exchange.method in _LASTING:
                continue
            if exchange.began + patience > now:
                return exchange.began + patience
            late = TooSlow(f"{name} did not answer within {patience:g} s", seconds=patience)
            self.give_up(exchange, "too slow", late)
        return now + patience

    # Hearing.

    def feed(self, chunk: bytes) -> None:
        """Bytes of a stream of lines."""
        for line in self._lines.feed(chunk):
            if isinstance(line, Malformed):
                # Whose answer it was cannot be known, so whoever waits is told, instead of waiting for ever.
                self.lose(
                    Refused(f"the skill sent a line that is too long to be read: {line.failure.message}")
                )
                self._lost = None
            else:
                self.receive(jsonrpc.parse(line))

    def receive(self, message: jsonrpc.Message | jsonrpc.Batch) -> None:
        for heard in self._asking.receive(message):
            match heard:
                case Answered():
                    exchange = self._exchanges.pop(heard.id, None)
                    if exchange is not None:
                        exchange.settle(heard)
                case Progressed():
                    exchange = self._exchanges.get(heard.id)
                    if exchange is not None:
                        exchange.note(heard)
                case Asked():
                    self._asked(heard)
                case Told("notifications/message"):
                    exchange = self._whose()
                    if exchange is not None:
                        exchange.note(heard)
                case Told():
                    self._told(heard)
                case Strange():
                    self._strange(heard.reason)

    def lose(self, error: MimoError) -> None:
        """The other side has gone: nobody who waits gets an answer."""
        self._lost = error
        lost, self._exchanges = self._exchanges, {}
        self._parked.clear()
        for exchange in lost.values():
            self._asking.forget(exchange.id)
            exchange.settle(None, error)

    def fail(self, number: Id, error: MimoError) -> None:
        """This request gets no answer."""
        self._asking.forget(number)
        exchange = self._exchanges.pop(number, None)
        if exchange is not None:
            exchange.settle(None, error)

    def _asked(self, asked: Asked) -> None:
        try:
            if asked.method == "ping":
                self.answer(asked, {})
            elif asked.method not in QUESTIONS:
                self.refuse(asked, METHOD_NOT_FOUND, f"no method {asked.method[:100]!r} here")
            elif (exchange := self._whose()) is None:
                self.refuse(asked, NOBODY, "no call is under way by whose client this could be answered")
            elif not exchange.note(asked):
                self.refuse(asked, NOBODY, "too many questions at once")
        except Unavailable:
            self._strange(f"{asked.method} could not be answered")

    def _whose(self) -> Exchange | None:
        """Whose call a message belongs to that does not say: the newest, if all are of one client."""
        open_ = [e for e in self._exchanges.values() if e.call is not None and e.pending is None]
        clients = {each.call.client for each in open_ if each.call is not None}
        return open_[-1] if len(clients) == 1 else None

    def _send(self, number: Id, method: str, params: Object, call: Call | None) -> Exchange:
        if self._lost is not None:
            self._asking.forget(number)
            raise unsent(self._lost)
        exchange = Exchange(cast("int", number), method, call)
        frame = jsonrpc.request(number, method, params)
        if len(frame) > jsonrpc.MAX_LINE:
            self._asking.forget(number)
            raise Refused(f"the arguments are too large for a message ({len(frame)} bytes)", done=False)
        self._exchanges[number] = exchange
        try:
            asks = call is not None and bool(call.offers)
            self._wire.send(Sent(frame, number, method, params, len(self._exchanges) > 1, asks))
        except Unavailable:
            self._asking.forget(number)
            del self._exchanges[number]
            raise
        return exchange

    # The handshake.

    async def greet(self, era: str | None) -> Greeting:
        """Find out what the other side speaks, and agree on it. `era` is what it spoke last time, if that is known.

        Raises:
            Unavailable: it has gone, or speaks nothing that we know.
        """
        if era == "legacy":
            return await self._initialize(None)
        probe = await self._probed()
        found = self._discovered(probe)
        if found is not None and probe.answer is not None and probe.answer.result is None:
            # Another modern revision than the one we asked in: now in the right one.
            probe = await self._probed()
            found = self._discovered(probe)
        return found or await self._initialize(probe)

    async def _probed(self) -> Exchange:
        number, params = self._asking.discover()
        probe = self._send(number, "server/discover", params, None)
        with trio.move_on_after(PROBE):
            while not probe.over:
                await probe.news()
        return probe

    def _discovered(self, probe: Exchange) -> Greeting | None:
        if probe.lost is not None:
            raise probe.lost
        revision = None if probe.answer is None else modern(probe.answer)
        if revision is None or probe.answer is None:
            return None
        self._asking.revision = revision
        self._wire.agreed(revision)
        return _greeting(revision, probe.answer.result or {})

    async def _initialize(self, probe: Exchange | None) -> Greeting:
        """The older handshake; a probe that has no answer yet may still get one before."""
        number, params = self._asking.initialize()
        asked = self._send(number, "initialize", params, None)
        news = trio.Event()

        async def wait_for(exchange: Exchange) -> None:
            while not exchange.over:
                await exchange.news()
            news.set()

        async with trio.open_nursery() as nursery:
            both = [asked] if probe is None or probe.over else [asked, probe]
            for exchange in both:
                nursery.start_soon(wait_for, exchange)
            while True:
                await news.wait()
                news = trio.Event()
                found = None if probe is None else self._discovered(probe)
                if found is None and asked.answer is not None and asked.answer.result is not None:
                    found = self._agreed(asked.answer.result)
                    self.notify("notifications/initialized")
                if found is not None:
                    nursery.cancel_scope.cancel()
                    for exchange in both:
                        self._exchanges.pop(exchange.id, None)
                        self._asking.forget(exchange.id)
                    return found
                if all(each.over for each in both):
                    asked.taken()
                    raise Unavailable("it answered neither of the two handshakes")

    def _agreed(self, result: Object) -> Greeting:
        revision = handshaken(result)
        if revision is None:
            raise Unavailable(
                f"it speaks a revision that is not known here: {result.get('protocolVersion')!r:.60}"
            )
        self._asking.revision = revision
        self._wire.agreed(revision)
        return _greeting(revision, result)

    # Lists.

    async def everything(self, method: str, key: str) -> list[Object]:
        """All pages of a list; no more than a reasonable server has."""
        items, cursor = list[Object](), None
        for _ in itertools.repeat(None, MOST_PAGES):
            page = await self.request(method, {} if cursor is None else {"cursor": cursor})
            found: Any = page.get(key)
            if isinstance(found, list):
                items += [item for item in cast("list[Any]", found) if isinstance(item, dict)]
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or len(items) >= MOST_ITEMS:
                break
        return items[:MOST_ITEMS]


MOST_PAGES, MOST_ITEMS = 100, 2000
# Requests that are open as long as the connection is.
_LASTING = frozenset({"subscriptions/listen"})


def _greeting(revision: Revision, said: Object) -> Greeting:
    from mimo.protocol.mcp.revisions import SERVER_INFO

    capabilities: Any = said.get("capabilities")
    meta: Any = said.get("_meta")
    server: Any = said.get("serverInfo") or (
        cast("Object", meta).get(SERVER_INFO) if isinstance(meta, dict) else None
    )
    instructions: Any = said.get("instructions")
    return Greeting(
        revision,
        cast("Object", capabilities) if isinstance(capabilities, dict) else {},
        cast("Object", server) if isinstance(server, dict) else {},
        instructions if isinstance(instructions, str) else "",
    )
