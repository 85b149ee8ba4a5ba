"""A skill that runs elsewhere: streamable HTTP in both eras. Each request is a POST, answered by JSON or by a stream of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import trio

from mimo import __version__
from mimo.errors import MimoError, Unavailable
from mimo.protocol.jsonrpc import MAX_LINE, Failure, Id, Response, parse
from mimo.protocol.mcp.headers import repeated
from mimo.protocol.mcp.revisions import NEWEST, Revision
from mimo.protocol.sse import Heard
from mimo.services.skills.http import CONNECT, Http, Reply
from mimo.services.skills.link import Greeting, Link, Sent
from mimo.services.skills.skill import Skill, first
from mimo.tool import JsonObject

SESSION = "mcp-session-id"
ACCEPT = "application/json, text/event-stream"
# A stream that was ended is opened again, but not in a loop.
LISTEN_AGAIN = 5.0
GOODBYE = 1.0


class Remotes:
    """How servers elsewhere are reached."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def connect(self, skill: Skill, greeted: Callable[[Link, Greeting], None]) -> None:
        """One session.

        Raises:
            Unavailable: it cannot be reached, lets us not in, or has forgotten the session.
        """
        declared = skill.declared
        headers = {name: declared.expanded(text, self._environ) for name, text in declared.headers.items()}
        skill.words.add(f"--- connecting to {declared.url}")
        error: MimoError | None = None
        http = Http(declared.expanded(declared.url, self._environ))
        try:
            async with trio.open_nursery() as nursery:
                posts = _Posts(skill, http, headers, nursery)
                posts.link = link = Link(posts, skill.told, skill.strange)
                try:
                    with trio.move_on_after(skill.patience.start) as deadline:
                        greeting = await link.greet(skill.kept.era)
                        greeted(link, greeting)
                        if tells_of_changes(greeting):
                            posts.listen()
                    if deadline.cancelled_caught:
                        raise Unavailable(f"{declared.url} did not answer within {skill.patience.start:g} s")
                    await trio.sleep_forever()
                finally:
                    await posts.goodbye()
        except* MimoError as group:
            error = first(group)
        finally:
            http.close()
        if error is not None:
            raise error


class _Posts:
    """The wire of a link: each frame a request of its own."""

    def __init__(self, skill: Skill, http: Http, headers: Mapping[str, str], nursery: trio.Nursery) -> None:
        self.link: Link | None = None
        self._skill = skill
        self._http = http
        self._headers = headers
        self._nursery = nursery
        self._revision: Revision | None = None
        self._session = ""
        self._listening = False
        self._heard_of = trio.Event()  # whether there is a stream for what is said unasked
        self._open: dict[Id, trio.CancelScope] = {}

    def send(self, sent: Sent) -> None:
        if sent.method == "notifications/cancelled":
            scope = self._open.pop(cast("Id", sent.params.get("requestId")), None)
            if scope is not None:
                scope.cancel()
            if self._revision is not None and self._revision.modern:
                return  # closing the stream says it all
        if sent.asks:
            self.listen()
        self._nursery.start_soon(self._post, sent)

    def agreed(self, revision: Revision) -> None:
        self._revision = revision

    async def _post(self, sent: Sent) -> None:
        with trio.CancelScope() as scope:
            if sent.id is not None:
                self._open[sent.id] = scope
            if sent.asks and self._listening:  # a question that comes before we listen is lost
                with trio.move_on_after(CONNECT):
                    await self._heard_of.wait()
            try:
                async with self._http.request("POST", self._said(sent), sent.frame) as reply:
                    await self._hear(reply, sent)
            except Unavailable as error:
                self._settle(sent, error)
            finally:
                if sent.id is not None:
                    self._open.pop(sent.id, None)

    async def _hear(self, reply: Reply, sent: Sent) -> None:
        if reply.status in (401, 403):
            said = f"{self._http.url} does not let us in ({reply.status}); look at its headers"
            raise Unavailable(said, done=False)
        if reply.status == 404 and self._session:
            self._lose(Unavailable(f"{self._http.url} has forgotten our session; try again"))
            return
        if session := reply.headers.get(SESSION):
            self._session = session
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and reply.status == 200:
            heard = Heard(MAX_LINE)
            await self._events(reply, heard)
            while (
                heard.last and sent.id in self._open
            ):  # it was interrupted on purpose, and can be taken up again
                await trio.sleep(heard.pause)
                await self._resume(heard)
        elif (body := await reply.body(MAX_LINE)) and kind == "application/json":
            self._receive(body)
        if sent.id is None or sent.id not in self._open:
            return
        if 400 <= reply.status < 500:  # what an older server says to a probe that it does not know
            said = Failure(-32000, f"{self._http.url} answered {reply.status}")
            assert self.link is not None
            self.link.receive(Response(sent.id, failure=said))
        self._settle(
            sent, Unavailable(f"{self._http.url} ended its answer ({reply.status}) without a result")
        )

    async def _events(self, reply: Reply, heard: Heard) -> None:
        try:
            async for chunk in reply.chunks():
                for data in heard.feed(chunk):
                    if data.strip():  # an event may have an id alone
                        self._receive(data)
        except ValueError as error:
            raise Unavailable(f"{self._http.url} sent {error}") from error

    async def _resume(self, heard: Heard) -> None:
        """The rest of a stream of events, or the one that belongs to no request.

        Raises:
            Unavailable: there is none.
        """
        said = self._always() | {"Accept": "text/event-stream"}
        if self._revision is not None:
            said["MCP-Protocol-Version"] = self._revision.name
        if heard.last:
            said["Last-Event-ID"] = heard.last
        async with self._http.request("GET", said, b"") as reply:
            if reply.status != 200:
                raise Unavailable(f"{self._http.url} has no such stream ({reply.status})")
            self._heard_of.set()
            await self._events(reply, heard)

    def _receive(self, data: bytes) -> None:
        assert self.link is not None
        message = parse(data)
        if isinstance(message, Response):
            self._open.pop(message.id, None)
        self.link.receive(message)

    def _settle(self, sent: Sent, error: Unavailable) -> None:
        assert self.link is not None
        if sent.id is not None:
            self.link.fail(sent.id, error)
        else:
            self._skill.strange(error.message)

    def _lose(self, error: Unavailable) -> None:
        assert self.link is not None
        self._session = ""
        self.link.lose(error)
        self._nursery.start_soon(_raise, error)

    def _said(self, sent: Sent) -> dict[str, str]:
        said = {"Content-Type": "application/json", **self._always()}
        revision = NEWEST if sent.method == "server/discover" else self._revision
        if revision is not None:
            said["MCP-Protocol-Version"] = revision.name
            if revision.modern and sent.method:
                said |= repeated(sent.method, sent.params, self._schema(sent))
        return said

    def _always(self) -> dict[str, str]:
        session = {"Mcp-Session-Id": self._session} if self._session else {}
        return {"Accept": ACCEPT, "User-Agent": f"mimo/{__version__}", **session, **self._headers}

    def _schema(self, sent: Sent) -> JsonObject | None:
        if sent.method != "tools/call":
            return None
        name = sent.params.get("name")
        found: Any = next(
            (tool.get("inputSchema") for tool in self._skill.kept.tools if tool.get("name") == name), None
        )
        return cast("JsonObject", found) if isinstance(found, dict) else None

    def listen(self) -> None:
        """What an older server says unasked comes on a stream of its own, if it offers one."""
        if not self._listening and self._revision is not None and not self._revision.modern:
            self._listening = True
            self._nursery.start_soon(self._listen)

    async def _listen(self) -> None:
        heard = Heard(MAX_LINE)
        while True:
            try:
                await self._resume(heard)
            except Unavailable:
                self._heard_of.set()
                return  # whether the server is there at all, the next request tells
            await trio.sleep(max(heard.pause, LISTEN_AGAIN))

    async def goodbye(self) -> None:
        """So that the other side need not keep the session."""
        if self._session:
            with trio.move_on_after(GOODBYE, shield=True):
                try:
                    async with self._http.request("DELETE", self._always(), b"") as reply:
                        await reply.body(MAX_LINE)
                except Unavailable:
                    self._skill.strange("the session could not be ended")


def tells_of_changes(greeting: Greeting) -> bool:
    """Has it lists that change?"""
    kinds: list[Any] = [greeting.capabilities.get(kind) for kind in ("tools", "resources", "prompts")]
    return any(isinstance(each, dict) and cast("JsonObject", each).get("listChanged") for each in kinds)


async def _raise(error: MimoError) -> None:
    await trio.lowlevel.checkpoint()
    raise error
