"""One MCP peer on any stream of messages: its calls run side by side, and each may speak while it works."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import trio

from mimo.errors import MimoError, Unavailable
from mimo.gateway.sessions import Request, Session
from mimo.protocol.jsonrpc import Batch, Id, Message, Object, Response
from mimo.protocol.mcp.conversation import Conversation
from mimo.protocol.mcp.events import Do, Event, Heard, Met, Noted, Say, Stop, Work
from mimo.protocol.mcp.operations import FIRST, CallTool, Complete, Kind
from mimo.protocol.mcp.questions import Answers, InputRequired, Question, check_offered
from mimo.protocol.mcp.seal import place
from mimo.protocol.mcp.terms import Terms
from mimo.tool import Call, Client, Json, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.flight import Flight

_numbers = itertools.count(1)


class Wire(Protocol):
    """The way back to a client."""

    def say(self, said: Say) -> None:
        """Queue a frame. Never waits."""
        ...

    async def room(self) -> None:
        """Until the client has read enough of what it was sent before."""
        ...


@dataclass(slots=True, eq=False)
class _Awaited:
    """A question of ours to a legacy client."""

    heard: trio.Event = field(default_factory=trio.Event)
    response: Response | None = None


class Peer:
    """Feed it messages with `receive`; its tasks live in the nursery that it was given.

    `principal` says who this is as far as the door can tell; what one principal was told to keep for a
    retry does not open for another. What runs is registered with `session`, if there is one.
    """

    def __init__(
        self,
        desk: Desk,
        wire: Wire,
        nursery: trio.Nursery,
        client: Client,
        principal: str,
        session: Session | None = None,
    ) -> None:
        self.client = client
        self._session = session
        self.conversation = Conversation(desk.about, desk.offered)
        self._desk = desk
        self._wire = wire
        self._nursery = nursery
        self._principal = principal
        # None: its task has not run yet. A flight has none, and is called off by itself.
        self._running: dict[Work, trio.CancelScope | Flight | None] = {}
        self._gone = False
        self._awaited: dict[str, _Awaited] = {}
        self._quiet = trio.Event()
        self._quiet.set()

    @property
    def busy(self) -> int:
        """How many calls are running."""
        return len(self._running)

    def receive(self, message: Message | Batch) -> None:
        """Act on a message. Whatever takes time goes on in the nursery."""
        before = self.conversation.watched
        self._act(self.conversation.receive(message))
        if self.conversation.watched != before:
            self._desk.on_watch()

    def give_up(self, request: Id) -> None:
        """The client has closed the stream on which this request was to be answered."""
        self._act(self.conversation.cancel(request))

    @property
    def watched(self) -> Set[str]:
        """The resources of whose changes the client wants to hear."""
        return self.conversation.watched

    async def quiet(self) -> None:
        """Until no call is running."""
        await self._quiet.wait()

    def changed(self, kind: Kind) -> None:
        self._say(self.conversation.changed(kind))

    def updated(self, uri: str) -> None:
        self._say(self.conversation.updated(uri))

    def goodbye(self) -> None:
        """Before the stream ends from our side."""
        self._say(self.conversation.goodbye())

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Say():
                    self._say([event])
                case Do(work):
                    self._quiet = trio.Event() if self._quiet.is_set() else self._quiet
                    identity = f"{next(_numbers):x}"
                    self._running[work] = None
                    if not self._passed_on(work, identity):
                        self._start(work, identity)
                case Stop(work):
                    if running := self._running[work]:
                        running.cancel()
                case Heard(response):
                    waiting = self._awaited.pop(str(response.id), None)
                    if waiting is not None:
                        waiting.response = response
                        waiting.heard.set()
                case Met(terms):
                    self.client = _introduced(self.client, terms)
                    if self._session is not None:
                        self._session.client = self.client
                case Noted():
                    pass  # nothing here depends on what a client says of itself later

    def _say(self, frames: list[Say]) -> None:
        for frame in frames:
            self._wire.say(frame)

    def _start(self, work: Work, identity: str, begun: Flight | None = None) -> None:
        self._nursery.start_soon(self._run, work, identity, begun, name=f"{work.method} {work.id}")

    async def _run(self, work: Work, identity: str, begun: Flight | None) -> None:
        try:
            if not self.conversation.is_open(work):  # cancelled before it began
                if begun is not None:
                    begun.request.end()
                return
            with self._held(identity, begun) as held:
                self._running[work] = held if isinstance(held, trio.CancelScope) else held.scope
                began = None if begun is None else begun.began
                self._say(self.conversation.done(work, await self._result(work, identity, began)))
        except MimoError as error:
            self._say(self.conversation.failed(work, error))
        finally:
            if begun is not None:
                begun.withdraw()
            self._over(work)

    def _held(self, identity: str, begun: Flight | None) -> trio.CancelScope | Request:
        if begun is not None:
            return begun.request
        return trio.CancelScope() if self._session is None else self._session.request(identity)

    def _over(self, work: Work) -> None:
        del self._running[work]
        if not self._running:
            self._quiet.set()

    # Calls that no task runs.

    def _passed_on(self, work: Work, identity: str) -> bool:
        """Is it on its way already? Not if anything about it takes more than passing it on."""
        if self._session is None or self._gone or not isinstance(work.errand, CallTool):
            return False
        if not self._desk.offered.passes(work.errand.name):
            return False
        if work.errand.retried is not FIRST or not self._session.admits:
            return False
        flight = Flight(work, self._session.request(identity), self._landed, self._taken_up)
        off = self._desk.pass_on(work.errand, self._call(work, identity, Answers({}, {})), flight)
        if off is None:
            return False
        flight.begin(off)
        self._running[work] = flight
        return True

    def _landed(self, flight: Flight, came: Object | MimoError | None) -> None:
        """Whoever brings the answer is another's task: what goes wrong with it here ends this client's alone."""
        work = flight.work
        try:
            if isinstance(came, MimoError):
                self._say(self.conversation.failed(work, came))
            elif came is not None:
                self._say(self.conversation.done(work, came))
        except Exception as error:
            self._nursery.start_soon(_raise, error)
        finally:
            self._over(work)

    def _taken_up(self, flight: Flight) -> None:
        self._running[flight.work] = flight.request.scope
        self._start(flight.work, str(flight.request.id), flight)

    def gone(self) -> None:
        """The client is not there any more."""
        self._gone = True
        for each in list(self._running.values()):
            if isinstance(each, Flight):
                each.cancel()

    async def _result(self, work: Work, identity: str, began: float | None) -> Object:
        if isinstance(work.errand, Complete) or not work.terms.revision.modern:
            return await self._desk.run(work, self._call(work, identity, Answers({}, {}), began))
        seal, retried = self._desk.seal, work.errand.retried
        here = place(self._principal, work.method, work.params)
        kept = {} if retried.state is None else seal.open(retried.state, here, self._desk.now())
        answers = Answers(kept, retried.responses)
        try:
            return await self._desk.run(work, self._call(work, identity, answers, began))
        except InputRequired as required:
            return required.as_result(seal.close(answers.used, here, self._desk.now()))

    def _call(self, work: Work, identity: str, answers: Answers, began: float | None = None) -> Call:
        said = work.params.get("_meta")
        meta = cast("Object", said) if isinstance(said, dict) else {}
        key = meta.get("mimo/key")
        client = _introduced(self.client, work.terms) if work.terms.revision.modern else self.client
        outlet = PeerOutlet(self, work, answers)
        offers = work.terms.capabilities
        return Call(identity, client, meta, outlet, key if isinstance(key, str) else None, offers, began)

    # For the outlet.

    async def tell(self, frames: Callable[[], list[Say]]) -> None:
        """Say something on behalf of a running call, at a pace that the client can follow."""
        await self._wire.room()
        self._say(frames())
        await trio.lowlevel.checkpoint()

    async def ask(self, work: Work, questions: Mapping[str, Question]) -> Mapping[str, JsonObject]:
        """Send all questions, then wait for all answers."""
        open_questions: dict[str, str] = {}
        try:
            for name, question in questions.items():
                key, frame = self.conversation.ask(work, question)
                open_questions[name] = key
                self._awaited[key] = _Awaited()
                self._say([frame])
            waiting = {name: self._awaited[key] for name, key in open_questions.items()}
            answers: dict[str, JsonObject] = {}
            for name, awaited in waiting.items():
                await awaited.heard.wait()
                answers[name] = _answer(awaited.response, questions[name])
            return answers
        finally:
            for key in open_questions.values():
                if self._awaited.pop(key, None) is not None:
                    self._say(self.conversation.withdraw(key))


class PeerOutlet:
    """What one running call may say to its client."""

    def __init__(self, peer: Peer, work: Work, answers: Answers) -> None:
        self._peer = peer
        self._work = work
        self._answers = answers

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        said = self._peer.conversation.progress
        await self._peer.tell(lambda: said(self._work, progress, total, message))

    async def log(self, level: str, data: Any, logger: str | None = None) -> None:
        said = self._peer.conversation.log
        await self._peer.tell(lambda: said(self._work, level, data, logger))

    async def ask(self, method: str, params: JsonObject, key: str | None = None) -> JsonObject:
        key = self._answers.key() if key is None else key
        return (await self.ask_all({key: (method, params)}))[key]

    async def ask_all(self, questions: Mapping[str, tuple[str, JsonObject]]) -> Mapping[str, JsonObject]:
        asked = {key: Question(method, params) for key, (method, params) in questions.items()}
        check_offered(asked, self._work.terms.capabilities)
        await trio.lowlevel.checkpoint()
        if self._work.terms.revision.modern:
            return self._answers.find(asked)
        return await self._peer.ask(self._work, asked)

    def keep(self, name: str, value: Json) -> None:
        self._answers.keep(name, value)

    def kept(self, name: str) -> Any:
        return self._answers.kept(name)


def _introduced(client: Client, terms: Terms) -> Client:
    """The same client, under the name that it has given by now."""
    if terms.client_name == "unknown":
        return client
    return replace(client, name=terms.client_name, version=terms.client_version)


def _answer(response: Response | None, question: Question) -> JsonObject:
    assert response is not None
    if response.result is None:
        said = response.failure.message if response.failure is not None else "no result"
        raise Unavailable(f"the client did not answer {question.method}: {said}")
    return response.result


async def _raise(error: Exception) -> None:
    raise error
