"""From a request to a reply: the guard, the route, the body, the handler, and every error in one form.

A bare ASGI application: a framework between hypercorn and this page would cost more than all that it does.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import trio

from mimo.errors import Broken, InvalidArguments, MimoError, Unavailable
from mimo.gateway.keys import Key
from mimo.gateway.rates import Rates
from mimo.observability import logs
from mimo.observability.metrics import Metrics
from mimo.protocol import jsonrpc
from mimo.protocol.rest import Refused, problem, problem_of, retry_after, status_of
from mimo.tool import Client
from mimo.transports.http.exchange import JSON, Reply, Request, Route
from mimo.transports.http.guard import Guard, challenge
from mimo.transports.http.responses import Left, Receive, Send, TooLarge, cancel_when_left, read_body
from mimo.transports.http.server import App

log = logging.getLogger(__name__)

# A megabyte over a bad line takes some seconds; who needs longer holds a place that others want.
BODY_SECONDS = 30.0
# What is refused may still be arriving. Reading some of it lets the client see why.
MOST_DISCARDED, DISCARD_SECONDS = 4 * 1024 * 1024, 2.0
# How long a stream may go on after its key has been revoked.
LOOK_AGAIN_SECONDS = 2.0
_WITH_BODY = {"POST", "PUT", "PATCH"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "(other)"


@dataclass(slots=True)
class _Said:
    """One request, and what was answered so far."""

    id: str
    method: str
    path: str
    headers: Mapping[str, str]
    address: str
    send_on: Send
    began: float = field(default_factory=time.perf_counter)
    route: str = OTHER
    status: int = 0
    unread: bool = False  # there is, or may be, more of the body
    key: Key | None = None
    for_browsers: bool = False
    extra: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            spent = (time.perf_counter() - self.began) * 1000
            added = [
                (b"x-request-id", self.id.encode()),
                (b"server-timing", b"total;dur=%.2f" % spent),
                (b"x-content-type-options", b"nosniff"),
                *self.extra,
            ]
            message = {**message, "headers": [*message["headers"], *added]}
        await self.send_on(message)


class Router:
    """The routes, and other ASGI applications mounted at a path of their own."""

    def __init__(
        self,
        routes: Sequence[Route],
        mounted: Mapping[str, App],
        guard: Guard,
        rates: Rates,
        metrics: Metrics,
        *,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._guard = guard
        self._rates = rates
        self._metrics = metrics
        self._mounted = mounted
        self._body_seconds = body_seconds
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: dict[tuple[str, ...], dict[str, Route]] = {}  # paths with a {name} in them
        for route in routes:
            parts = tuple(route.path.split("/"))
            if any(part.startswith("{") for part in parts):
                self._open.setdefault(parts, {})[route.method] = route
            else:
                self._fixed.setdefault(route.path, {})[route.method] = route
        self._leaving = trio.Event()

    def leave(self) -> None:
        """End all streams: we are going down."""
        self._leaving.set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # WebSockets have a door of their own
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1").strip() for name, value in scope["headers"]
        }
        address = self._guard.speaker(str((scope.get("client") or ("unknown",))[0]), headers)
        said = _Said(secrets.token_hex(8), scope["method"], scope["path"], headers, address, send)
        said.unread = "content-length" in headers or "transfer-encoding" in headers

        async def receiving() -> Mapping[str, Any]:
            message = await receive()
            said.unread = said.unread and message.get("more_body", False)
            return message

        with logs.about(request=said.id):
            reply = await self._reply(said, scope, receiving)
            if reply is not None:
                await self._answer(said, reply, receiving)
        method = said.method if said.method in _METHODS else OTHER
        self._metrics.requests.labels(said.route, method, str(said.status)).inc()
        self._metrics.request_seconds.labels(said.route).observe(time.perf_counter() - said.began)

    async def _reply(self, said: _Said, scope: Any, receive: Receive) -> Reply | None:
        """None when somebody else has answered, or nobody waits for an answer."""
        try:
            return await self._admitted(said, scope, receive)
        except Left:
            return None
        except Refused as refused:
            await _discard(said, receive)
            told = problem(refused.kind, refused.message, said.id)
            return _failed(refused.status, told, refused.headers)
        except MimoError as error:
            await _discard(said, receive)
            headers = challenge(error, for_browsers=said.for_browsers)
            if (after := retry_after(error)) is not None:
                headers["retry-after"] = after
            return _failed(status_of(error), problem_of(error, said.id), headers)

    async def _admitted(self, said: _Said, scope: Any, receive: Receive) -> Reply | None:
        if {
            "content-length",
            "transfer-encoding",
        } <= said.headers.keys():  # a proxy may have read it otherwise
            two = "the body has two lengths: send Content-Length or Transfer-Encoding"
            raise Refused(400, "two_lengths", two, connection="close")
        self._guard.require_our_host(said.headers, said.id, said.address)
        routes, parts = self._find(said.path)
        method = "GET" if said.method == "HEAD" else said.method
        route = routes.get(method)
        client = Client()
        if route is None or route.scope is not None:
            said.for_browsers = route is not None and route.for_browsers
            said.key = await self._guard.key(
                said.headers, said.id, said.address, for_browsers=said.for_browsers
            )
            client = said.key.client()
        if said.path in self._mounted:
            said.route = said.path
            await self._mount(self._mounted[said.path], said, scope, receive)
            return None
        if not routes:
            near = ", ".join(sorted({path for path in self._paths() if path[:4] == said.path[:4]}))
            raise Refused(
                404, "not_found", f"nothing is at {said.path[:100]!r}; there are: {near or '/openapi.json'}"
            )
        if route is None:
            allow = ", ".join(sorted(routes))
            raise Refused(405, "method_not_allowed", f"{said.path} takes {allow}", allow=allow)
        said.route = route.path
        if said.key is not None and route.scope is not None:
            self._guard.require_scope(said.key, route.scope)
        body = await self._body(said, route, receive)
        request = Request(said.id, client, said.headers, _query(scope), parts, body)
        return await _unless_left(route, request, receive)

    async def _body(self, said: _Said, route: Route, receive: Receive) -> bytes:
        if said.method not in _WITH_BODY:
            return b""
        takes = route.operation.takes_media
        if said.headers.get("content-type", "").split(";")[0].strip().lower() != takes:
            raise Refused(415, "wrong_content_type", f"send {takes}, and say so in Content-Type")
        with trio.move_on_after(self._body_seconds):
            try:
                return await read_body(said.headers.get("content-length", ""), receive, route.most)
            except TooLarge:
                most = f"the body is over the limit of {route.most} bytes; send less at once"
                raise Refused(413, "too_large", most) from None
        slow = f"the body did not arrive within {self._body_seconds:g} s; send it again"
        raise Refused(408, "too_slow", slow, connection="close")

    async def _mount(self, app: App, said: _Said, scope: Any, receive: Receive) -> None:
        """Another application answers. When we go down, what waits in it for news (a GET) is ended."""
        with trio.CancelScope() as ours:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_revoked, said.key, ours)
                if said.method == "GET":
                    nursery.start_soon(self._end_when_leaving, ours)
                await app(scope, receive, said.send)
                nursery.cancel_scope.cancel()
        if not ours.cancelled_caught:
            return
        if not said.status:
            raise Unavailable("mimo is going down, or this key was revoked; try again in a second", after=1.0)
        await said.send({"type": "http.response.body", "body": b""})

    async def _answer(self, said: _Said, reply: Reply, receive: Receive) -> None:
        if reply.stream is not None and said.method != "HEAD":
            try:
                await self._stream(said, reply, receive)
            except MimoError as error:  # before its first piece it is an answer like others
                if said.status:
                    raise  # what was begun must not look whole
                after = retry_after(error)
                headers = {} if after is None else {"retry-after": after}
                reply = _failed(status_of(error), problem_of(error, said.id), headers)
        if not said.status:
            await self._begin(said, reply)
        await said.send({"type": "http.response.body", "body": reply.body})

    async def _begin(self, said: _Said, reply: Reply) -> None:
        self._tell_allowance(said)
        head = {"content-type": reply.media, "cache-control": "no-store", **reply.headers}
        if reply.stream is None and reply.status != 204:
            head["content-length"] = str(len(reply.body))
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in head.items()]
        await said.send({"type": "http.response.start", "status": reply.status, "headers": raw})

    async def _stream(self, said: _Said, reply: Reply, receive: Receive) -> None:
        """Raises: MimoError: it went wrong, and what was sent so far (perhaps not even the head) is not all."""
        assert reply.stream is not None
        wrong: MimoError | None = None

        async def emit(piece: bytes) -> None:
            try:
                if not said.status:
                    await self._begin(said, reply)
                await said.send({"type": "http.response.body", "body": piece, "more_body": True})
            except OSError:  # nobody is there any more, which is no bug of who writes the stream
                nursery.cancel_scope.cancel()
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_left, receive, nursery.cancel_scope)
            nursery.start_soon(self._end_when_leaving, nursery.cancel_scope)
            nursery.start_soon(self._end_when_revoked, said.key, nursery.cancel_scope)
            try:
                await reply.stream(emit)
            except Exception as raised:  # taken out of the nursery, which would wrap it
                wrong = _told(raised, said.route, said.id)
            nursery.cancel_scope.cancel()
        if wrong is not None:
            raise wrong

    async def _end_when_leaving(self, scope: trio.CancelScope) -> None:
        await self._leaving.wait()
        scope.cancel()

    async def _end_when_revoked(self, key: Key | None, scope: trio.CancelScope) -> None:
        while key is not None and self._guard.knows(key):  # noqa: ASYNC110 (a keyring tells nobody)
            await trio.sleep(LOOK_AGAIN_SECONDS)
        if key is not None:
            scope.cancel()

    def _tell_allowance(self, said: _Said) -> None:
        allowance = self._rates.allowance(said.key.id) if said.key is not None else None
        if allowance is not None:
            said.extra += [
                (b"x-ratelimit-limit", b"%d" % allowance.limit),
                (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
                (b"x-ratelimit-reset", b"%.0f" % allowance.full_in),
            ]

    def _find(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        if (found := self._fixed.get(path)) is not None:
            return found, {}
        given = path.split("/")
        for parts, routes in self._open.items():
            if len(parts) != len(given):
                continue
            named = {want[1:-1]: got for want, got in zip(parts, given, strict=True) if want.startswith("{")}
            if all(named.values()) and all(
                want == got for want, got in zip(parts, given, strict=True) if not want.startswith("{")
            ):
                return routes, named
        return {}, {}

    def _paths(self) -> Iterator[str]:
        yield from self._fixed
        yield from ("/".join(parts) for parts in self._open)
        yield from self._mounted


async def _unless_left(route: Route, request: Request, receive: Receive) -> Reply | None:
    """The handler's reply; a client that leaves cancels it, and gets none."""
    reply: Reply | None = None
    error: MimoError | Refused | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_when_left, receive, nursery.cancel_scope)
        try:
            reply = await route.handler(request)
        except Refused as raised:  # taken out of the nursery, which would wrap it
            error = raised
        except Exception as raised:
            error = _told(raised, route.path, request.id)
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error
    return reply


def _told(raised: Exception, where: str, request: str) -> MimoError:
    """What can be said of it to a client."""
    if isinstance(raised, MimoError):
        return raised
    log.error("a bug at %s (%s)", where, request, exc_info=raised)
    error = Broken(f"this failed by a bug of mimo; the log has it under {request}", id=request)
    error.__cause__ = raised
    return error


async def _discard(said: _Said, receive: Receive) -> None:
    """Read what is left of a body, within reason: who is still sending does not see why it was refused."""
    size = 0
    with trio.move_on_after(DISCARD_SECONDS):
        while said.unread and size < MOST_DISCARDED:
            message = await receive()
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect":
                return


def _failed(status: int, told: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    return Reply(status, jsonrpc.encode({"error": told}), JSON, headers)


def _query(scope: Any) -> dict[str, str]:
    try:
        return dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=100))
    except ValueError as error:
        raise InvalidArguments("the query has too many words") from error
