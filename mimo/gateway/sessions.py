"""Who is connected, what each has in flight, and how it is called off.

A door opens a session for each client and registers each request in it, so that the client can cancel by
the request's id, a drain knows what it waits for, and the daemon knows since when nobody needs it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import trio

from mimo.errors import InvalidArguments, Unavailable
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ClientConnected, ClientLeft, Draining
from mimo.tool import Client

RequestId = int | float | str


class Request:
    """A request in flight while its `with` lasts. Its scope is what a cancellation cancels.

    One that no task runs is in flight from `begin` to `end`, and `off` is what a cancellation calls. A task may take
    it up by `with` before its end.
    """

    __slots__ = ("_begun", "_scope", "_session", "id", "off", "reason")

    def __init__(self, session: Session, request_id: RequestId) -> None:
        self._session = session
        self._begun = False
        self.id = request_id
        self._scope: trio.CancelScope | None = None
        self.off: Callable[[], None] | None = None
        self.reason = ""  # why it was cancelled

    @property
    def scope(self) -> trio.CancelScope:
        if self._scope is None:
            self._scope = trio.CancelScope()
        return self._scope

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled by its id: it then gets no answer."""
        return self._scope is not None and self._scope.cancel_called

    def begin(self, off: Callable[[], None]) -> None:
        """Raises as `Session.request`."""
        self._session.take(self)
        self._begun, self.off = True, off

    def end(self) -> None:
        self._session.drop(self)

    def call_off(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self.off is not None:
            self.off()
        else:
            self.scope.cancel()

    def __enter__(self) -> Request:
        if not self._begun:
            self._session.take(self)
        self.scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._session.drop(self)
        return self.scope.__exit__(kind, error, trace)


@dataclass(frozen=True, slots=True)
class Connected:
    """A session as status shows it."""

    id: str
    client: str
    version: str
    namespace: str
    door: str
    since: float  # seconds since 1970
    in_flight: int
    requests: int


class Session:
    """One client at one door. `client` may be set anew once it has said who it is."""

    def __init__(
        self, sessions: Sessions, client: Client, door: str, goodbye: Callable[[], None] | None
    ) -> None:
        self.id = secrets.token_urlsafe(12)  # not to be guessed: over HTTP it is what a client shows
        self.client = client
        self.door = door
        self.since = time.time()
        self.requests = 0
        self.goodbye = goodbye
        self._sessions = sessions
        self._in_flight: dict[tuple[bool, RequestId], Request] = {}

    @property
    def in_flight(self) -> Sequence[Request]:
        return list(self._in_flight.values())

    @property
    def admits(self) -> bool:
        return not self._sessions.draining

    def request(self, request_id: RequestId) -> Request:
        """What runs inside `with` is cancelled by `cancel` with this id; ask the request whether it was.

        Raises, on the way in:
            InvalidArguments: a request of this id is in flight.
            Unavailable: mimo is going down.
        """
        return Request(self, request_id)

    def take(self, request: Request) -> None:
        """It begins."""
        name = _key(request.id)
        self._sessions.admit()
        if name in self._in_flight:
            raise InvalidArguments(f"a request with the id {_short(request.id)} is still in flight")
        self._in_flight[name] = request
        self.requests += 1
        self._sessions.began()

    def drop(self, request: Request) -> None:
        """It has ended."""
        del self._in_flight[_key(request.id)]
        self._sessions.ended()

    def cancel(self, request_id: RequestId, reason: str = "") -> bool:
        """Cancel a request in flight. False when there is none: it may just have been answered."""
        request = self._in_flight.get(_key(request_id))
        if request is None:
            return False
        request.call_off(reason)
        return True

    def cancel_all(self, reason: str = "") -> int:
        """Cancel everything that this client waits for, because it is gone."""
        for request in self.in_flight:
            self.cancel(request.id, reason)
        return len(self._in_flight)


class Sessions:
    """All sessions of the daemon."""

    def __init__(self, events: Events, metrics: Metrics) -> None:
        self._events = events
        self._metrics = metrics
        self._open: dict[str, Session] = {}
        self._in_flight = 0
        self._quiet = trio.Event()
        self._doors: set[str] = set()
        self.draining = False
        metrics.before_render(self._measure)

    @contextmanager
    def open(
        self, client: Client, door: str, *, goodbye: Callable[[], None] | None = None
    ) -> Generator[Session]:
        """A client is connected while this lasts; what it still has in flight at the end is cancelled.

        `goodbye` is called once when the daemon begins to drain, for the door to tell the client in its own
        words. It must not wait.

        Raises:
            Unavailable: mimo is going down.
        """
        self.admit()
        session = Session(self, client, door, goodbye)
        self._open[session.id] = session
        self._doors.add(door)
        self._metrics.sessions_opened.labels(door).inc()
        self._events.publish(ClientConnected(session.id, client.name, door))
        try:
            yield session
        finally:
            session.cancel_all("the client is gone")
            del self._open[session.id]
            self._events.publish(ClientLeft(session.id, session.client.name, door))

    def find(self, session_id: str) -> Session | None:
        return self._open.get(session_id)

    def connected(self) -> Sequence[Connected]:
        """Who is there, the longest first."""
        return [
            Connected(
                each.id,
                each.client.name,
                each.client.version,
                each.client.namespace,
                each.door,
                each.since,
                len(each.in_flight),
                each.requests,
            )
            for each in self._open.values()
        ]

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def drain(self) -> None:
        """Take nobody and nothing new, tell everybody, and wait until nothing is in flight.

        It waits for as long as it takes; the caller sets the deadline, and drops the clients afterwards.
        """
        if not self.draining:
            self.draining = True
            self._events.publish(Draining())
            for session in list(self._open.values()):
                if session.goodbye is not None:
                    session.goodbye()
        await trio.lowlevel.checkpoint()
        while self._in_flight:
            if self._quiet.is_set():
                self._quiet = trio.Event()
            await self._quiet.wait()

    def admit(self) -> None:
        """Raises `Unavailable` while draining."""
        if self.draining:
            raise Unavailable("mimo is going down; it will be back when it is needed", after=1.0)

    def began(self) -> None:
        self._in_flight += 1

    def ended(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._quiet.set()

    def _measure(self) -> None:
        for door in self._doors:
            here = [each for each in self._open.values() if each.door == door]
            self._metrics.sessions.labels(door).set(len(here))
            self._metrics.in_flight.labels(door).set(sum(len(each.in_flight) for each in here))


def _key(request_id: RequestId) -> tuple[bool, RequestId]:
    """1 and "1" are two ids; 1 and 1.0 are one, as they are in JSON."""
    return isinstance(request_id, str), request_id


def _short(request_id: RequestId) -> str:
    text = repr(request_id)
    return text if len(text) <= 60 else f"{text[:57]}..."
