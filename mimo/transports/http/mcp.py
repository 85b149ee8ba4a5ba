"""MCP over streamable HTTP, both eras, as a bare ASGI application.

A modern request is a conversation of its own: it begins with the POST and ends with its response, and
closing the response cancels it. A legacy client has a session, which lives here between its requests.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import trio

from mimo.errors import MimoError, NotFound, Unauthorized
from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import INVALID_REQUEST, MAX_LINE, Batch, Failure, Id, Malformed, Message, Request
from mimo.protocol.mcp.events import Say
from mimo.protocol.mcp.failures import failure
from mimo.protocol.mcp.headers import PROTOCOL_VERSION, mismatch
from mimo.protocol.mcp.revisions import LEGACY, NEWEST
from mimo.protocol.mcp.terms import MISSING_CAPABILITY, UNSUPPORTED_VERSION, says_terms
from mimo.protocol.origin import LOCAL, refusal
from mimo.tool import Client
from mimo.transports.desk import Desk
from mimo.transports.http.mailbox import Mailbox
from mimo.transports.http.responses import (
    Left,
    Receive,
    Send,
    TooLarge,
    accepted,
    cancel_when_left,
    empty,
    read_body,
    respond,
    send_json,
    stream,
)
from mimo.transports.peer import Peer

Scope: TypeAlias = "Mapping[str, Any]"
Headers: TypeAlias = "Mapping[str, str]"
# Who is calling, from the headers of the request. Raises Unauthorized or Forbidden.
Admit: TypeAlias = Callable[[Headers], Client]

SESSION = "mcp-session-id"
DOOR = "http"
# An editor that was closed without goodbye; one that only slept starts a new session with its next request.
SESSION_SECONDS = 60 * 60.0
MAX_SESSIONS = 256

# What HTTP itself says of the modern era's errors; all others arrive as 200, since the transport did its part.
_STATUS = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}


class Refused(Exception):
    """This request gets a status and a reason, and no more."""

    def __init__(self, status: int, said: Failure, **headers: str) -> None:
        super().__init__(said.message)
        self.status = status
        self.said = said
        self.headers = headers


@dataclass(slots=True, eq=False)
class _Session:
    """A legacy client between its requests. Frames go to the response of their request, all others to `GET`'s."""

    principal: str
    last_used: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    boxes: dict[Id, Mailbox] = field(default_factory=dict[Id, Mailbox])
    general: Mailbox = field(default_factory=Mailbox)
    peer: Peer | None = None

    def say(self, said: Say) -> None:
        box = self.general if said.to is None else self.boxes.get(said.to)
        if box is not None:
            box.put(said)

    async def room(self) -> None:
        for box in tuple(self.boxes.values()):
            await box.room()


@dataclass(slots=True, eq=False)
class _Alone:
    """The wire of a modern request: everything goes to its own response."""

    box: Mailbox

    def say(self, said: Say) -> None:
        self.box.put(said)

    async def room(self) -> None:
        await self.box.room()


class McpOverHttp:
    """Mount it at one path; `run` keeps the sessions of legacy clients."""

    def __init__(self, desk: Desk, admit: Admit, hosts: Collection[str] = LOCAL) -> None:
        self._desk = desk
        self._admit = admit
        self._hosts = hosts
        self._sessions: dict[str, _Session] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                while True:
                    await trio.sleep(SESSION_SECONDS / 60)
                    self._forget_unused()
        finally:
            self._nursery = None
            self._sessions.clear()

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1").strip() for name, value in scope["headers"]
        }
        try:
            if refused := refusal(headers.get("host"), headers.get("origin"), self._hosts):
                raise Refused(refused[0], Failure(INVALID_REQUEST, refused[1]))
            client = self._admit(headers)
            match scope["method"]:
                case "POST":
                    await self._post(headers, client, await _body(headers, receive), receive, send)
                case "GET":
                    await self._get(headers, client, receive, send)
                case "DELETE":
                    await self._delete(headers, client, send)
                case _:
                    raise Refused(405, Failure(INVALID_REQUEST, "only POST, GET and DELETE"), allow="POST")
        except Refused as refused:
            await send_json(send, refused.status, jsonrpc.error(None, refused.said), refused.headers)
        except MimoError as error:  # not admitted
            status, extra = (
                (401, {"www-authenticate": "Bearer"}) if isinstance(error, Unauthorized) else (403, {})
            )
            await send_json(send, status, jsonrpc.error(None, failure(error, NEWEST)), extra)

    # Both eras.

    async def _post(
        self, headers: Headers, client: Client, body: bytes, receive: Receive, send: Send
    ) -> None:
        message = jsonrpc.parse(body)
        if isinstance(message, Malformed):
            await send_json(send, 400, jsonrpc.error(message.id, message.failure))
        elif _is_modern(message, headers):
            await self._modern(message, headers, client, receive, send)
        elif isinstance(message, Request) and message.method == "initialize" and SESSION not in headers:
            await self._begin(message, client, receive, send)
        else:
            session = self._session(headers, client)
            said = headers.get(PROTOCOL_VERSION)
            if said is not None and said not in LEGACY:
                raise Refused(
                    400, Failure(INVALID_REQUEST, f"MCP-Protocol-Version {said[:40]!r} is not known")
                )
            await self._in_session(session, message, receive, send)

    async def _modern(
        self, message: Message | Batch, headers: Headers, client: Client, receive: Receive, send: Send
    ) -> None:
        if isinstance(message, Batch):
            raise Refused(400, Failure(INVALID_REQUEST, "batches are not part of this revision"))
        if not isinstance(message, Request):
            await accepted(send)  # whatever it tells, there is no conversation that it belongs to
            return
        if wrong := mismatch(message, headers, self._schema(message)):
            await send_json(send, 400, jsonrpc.error(message.id, wrong))
            return
        box = Mailbox()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_left, receive, nursery.cancel_scope)
            peer = Peer(self._desk, _Alone(box), nursery, client, _principal(client))
            with self._desk.present(peer):
                peer.receive(message)
                await respond(box, send, _STATUS)
            nursery.cancel_scope.cancel()

    def _schema(self, request: Request) -> Mapping[str, Any] | None:
        name = request.params.get("name")
        if request.method != "tools/call" or not isinstance(name, str):
            return None
        return next(
            (self._desk.offered.schema(each) for each in self._desk.offered.listed() if each.name == name),
            None,
        )

    # The legacy era.

    async def _begin(self, message: Request, client: Client, receive: Receive, send: Send) -> None:
        nursery = self._nursery
        if nursery is None or not self._make_room():
            busy = Failure(INVALID_REQUEST, "no more sessions at the moment; try again later")
            raise Refused(503, busy, **{"retry-after": "5"})
        identity = secrets.token_urlsafe(24)
        session = _Session(_principal(client), trio.current_time())
        await nursery.start(self._keep, session, client)
        self._sessions[identity] = session
        try:
            await self._in_session(session, message, receive, send, {SESSION: identity})
        finally:
            if session.peer is None or session.peer.conversation.agreed is None:
                self._end(identity)

    async def _keep(self, session: _Session, client: Client, *, task_status: trio.TaskStatus[None]) -> None:
        """A session's calls outlive the request that began it."""
        with session.scope, self._desk.session(client, DOOR, session.general.close) as known:
            async with trio.open_nursery() as nursery:
                session.peer = Peer(self._desk, session, nursery, client, session.principal, known)
                with self._desk.present(session.peer):
                    task_status.started()
                    try:
                        await trio.sleep_forever()
                    finally:
                        session.general.close()

    async def _in_session(
        self,
        session: _Session,
        message: Message | Batch,
        receive: Receive,
        send: Send,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        peer = session.peer
        assert peer is not None
        messages = message.messages if isinstance(message, Batch) else (message,)
        ids = [each.id for each in messages if isinstance(each, Request)]
        if isinstance(message, Batch) and (
            peer.conversation.agreed is None or not peer.conversation.agreed.revision.batches
        ):
            raise Refused(400, Failure(INVALID_REQUEST, "batches are not part of this revision"))
        if any(identity in session.boxes for identity in ids):
            raise Refused(400, Failure(INVALID_REQUEST, "this id is in use by a request in flight"))
        session.last_used = trio.current_time()
        if not ids:
            peer.receive(message)
            await accepted(send)
            return
        box = Mailbox()
        session.boxes |= dict.fromkeys(ids, box)
        try:
            async with trio.open_nursery() as nursery:
                # In this era a lost connection cancels nothing; but nobody reads the answer any more.
                nursery.start_soon(cancel_when_left, receive, nursery.cancel_scope)
                peer.receive(message)
                await respond(box, send, {}, headers)
                nursery.cancel_scope.cancel()
        finally:
            for identity in ids:
                session.boxes.pop(identity, None)
            session.last_used = trio.current_time()

    async def _get(self, headers: Headers, client: Client, receive: Receive, send: Send) -> None:
        """The stream for what belongs to no request. A second one takes the place of the first."""
        if SESSION not in headers:
            raise Refused(405, Failure(INVALID_REQUEST, "GET needs a session"), allow="POST")
        session = self._session(headers, client)
        session.general.close()
        session.general = box = Mailbox()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_left, receive, nursery.cancel_scope)
            await stream(box, None, send, {})
            nursery.cancel_scope.cancel()

    async def _delete(self, headers: Headers, client: Client, send: Send) -> None:
        if SESSION not in headers:
            raise Refused(405, Failure(INVALID_REQUEST, "DELETE needs a session"), allow="POST")
        self._session(headers, client)
        self._end(headers[SESSION])
        await empty(send, 204)

    def _session(self, headers: Headers, client: Client) -> _Session:
        identity = headers.get(SESSION)
        if identity is None:
            missing = "say MCP-Protocol-Version and _meta (2026-07-28), or initialize and say Mcp-Session-Id"
            raise Refused(400, Failure(INVALID_REQUEST, missing))
        session = self._sessions.get(identity)
        if session is None or session.principal != _principal(client):
            gone = NotFound("this session has ended; initialize again")
            raise Refused(404, failure(gone, NEWEST))
        return session

    def _end(self, identity: str) -> None:
        session = self._sessions.pop(identity, None)
        if session is not None:
            session.scope.cancel()
            for box in (*session.boxes.values(), session.general):
                box.close()

    def _make_room(self) -> bool:
        """The least recently used idle session makes room for a new one."""
        if len(self._sessions) < MAX_SESSIONS:
            return True
        idle = [
            (session.last_used, identity) for identity, session in self._sessions.items() if not session.boxes
        ]
        if idle:
            self._end(min(idle)[1])
        return bool(idle)

    def _forget_unused(self) -> None:
        before = trio.current_time() - SESSION_SECONDS
        for identity, session in tuple(self._sessions.items()):
            if not session.boxes and session.last_used < before:
                self._end(identity)


def _is_modern(message: Message | Batch, headers: Headers) -> bool:
    """The body decides; where it says nothing, the header does."""
    if isinstance(message, Request) and says_terms(message.params):
        return message.method != "initialize" or message.params.get("protocolVersion") not in LEGACY
    said = headers.get(PROTOCOL_VERSION)
    return said is not None and said not in LEGACY and SESSION not in headers


def _principal(client: Client) -> str:
    return f"http {client.name} {client.session} {client.uid}"


async def _body(headers: Headers, receive: Receive) -> bytes:
    try:
        return await read_body(headers.get("content-length", ""), receive, MAX_LINE)
    except TooLarge as error:
        raise Refused(413, jsonrpc.TOO_LONG.failure, connection="close") from error
    except Left as error:
        raise Refused(400, jsonrpc.TORN.failure) from error
