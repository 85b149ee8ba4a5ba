"""One peer: its messages to work for us, and what came of the work to frames for it.

Whoever drives a conversation feeds it messages and does what the events say. A request that waits for
somebody is handed out as `Work` and comes back by `done` or `failed`; everything else is answered here.
Frames name the request they belong to, for doors that answer each request on its own stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mimo.errors import Busy, InvalidArguments, MimoError
from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import INVALID_REQUEST, Failure, Id, Object
from mimo.protocol.mcp import results
from mimo.protocol.mcp.about import ServerInfo, discovered, initialized
from mimo.protocol.mcp.downlevel import fit, fit_notification
from mimo.protocol.mcp.events import Do, Event, Heard, Met, Noted, Say, Stop, Work
from mimo.protocol.mcp.failures import concerns_the_request, failed_call, failure
from mimo.protocol.mcp.operations import (
    CallTool,
    Complete,
    Discover,
    Errand,
    GetPrompt,
    Initialize,
    Kind,
    List,
    Listen,
    Operation,
    Ping,
    ReadResource,
    SetLevel,
    Subscribe,
    initialize,
    operation,
    progress_token,
)
from mimo.protocol.mcp.pages import page
from mimo.protocol.mcp.questions import Question
from mimo.protocol.mcp.revisions import LEGACY, NEWEST_LEGACY, SERVER_INFO, agree
from mimo.protocol.mcp.subscriptions import Subscriptions
from mimo.protocol.mcp.terms import Refused, Terms, invalid, said_terms, says_terms
from mimo.tool import JsonObject, Prompt, Resource, ResourceTemplate, Tool

# An agent has a handful; a client with more waits for its own answers first.
MAX_IN_FLIGHT = 256
_ERRANDS = (CallTool, ReadResource, GetPrompt, Complete)


class Catalogue(Protocol):
    """What is on offer at this moment, in an order that does not change by itself."""

    def listed(self) -> Sequence[Tool]: ...
    def schema(self, tool: Tool) -> JsonObject: ...
    def resources(self) -> Sequence[Resource]: ...
    def templates(self) -> Sequence[ResourceTemplate]: ...
    def prompts(self) -> Sequence[Prompt]: ...


@dataclass(slots=True, eq=False)
class _Group:
    """A batch: its answers leave together."""

    said: list[Say] = field(default_factory=list[Say])
    open: int = 0
    whole: bool = False


@dataclass(slots=True, eq=False)
class _Slot:
    work: Work
    group: _Group | None
    progress: float = float("-inf")


class Conversation:
    def __init__(self, about: ServerInfo, catalogue: Catalogue) -> None:
        self._about = about
        self._catalogue = catalogue
        self._agreed: Terms | None = None
        self._open: dict[Id, _Slot] = {}
        self._subscriptions = Subscriptions(about)
        self._asked: dict[str, Id] = {}
        self._questions = 0

    @property
    def agreed(self) -> Terms | None:
        """What the last handshake settled, if there was one."""
        return self._agreed

    @property
    def idle(self) -> bool:
        return not self._open and not self._subscriptions

    @property
    def watched(self) -> frozenset[str]:
        """The resources of whose changes the client wants to hear."""
        return self._subscriptions.uris

    def receive(self, message: jsonrpc.Message | jsonrpc.Batch) -> list[Event]:
        if isinstance(message, jsonrpc.Batch):
            return self._batch(message)
        return self._one(message, None)

    def done(self, work: Work, result: Object) -> list[Say]:
        """The work's result, in the newest shape. Nothing is said when the request was cancelled meanwhile."""
        if not self.is_open(work):
            return []
        return self._close(work, _result(work.id, self._shaped(result, work.terms)))

    def failed(self, work: Work, error: MimoError) -> list[Say]:
        if isinstance(work.errand, CallTool) and not concerns_the_request(error, work.terms.revision):
            return self.done(work, failed_call(error))
        if not self.is_open(work):
            return []
        return self._close(work, _error(work.id, failure(error, work.terms.revision)))

    def progress(self, work: Work, progress: float, total: float | None, message: str | None) -> list[Say]:
        """How far the work is. What does not grow is not said, nor anything to a client that did not ask."""
        slot = self._open.get(work.id)
        if work.token is None or slot is None or slot.work is not work or progress <= slot.progress:
            return []
        slot.progress = progress
        params: Object = {"progressToken": work.token, "progress": progress}
        params |= {} if total is None else {"total": total}
        params |= {} if message is None else {"message": message}
        return [self._note("notifications/progress", params, work)]

    def log(self, work: Work, level: str, data: Any, logger: str | None) -> list[Say]:
        terms = work.terms if work.terms.revision.modern else self._agreed or work.terms
        if not terms.logs(level) or not self.is_open(work):
            return []
        params: Object = {"level": level, "data": data}
        params |= {} if logger is None else {"logger": logger}
        return [self._note("notifications/message", params, work)]

    def ask(self, work: Work, question: Question) -> tuple[str, Say]:
        """A request of ours, to a legacy client. Its answer comes as `Heard` with this id."""
        self._questions += 1
        key = f"ask-{self._questions}"
        self._asked[key] = work.id
        return key, Say(jsonrpc.request(key, question.method, dict(question.params)), work.id)

    def withdraw(self, key: str) -> list[Say]:
        """The answer to this question is not needed any more."""
        to = self._asked.pop(key, None)
        if to is None:
            return []
        return [Say(jsonrpc.notification("notifications/cancelled", {"requestId": key}), to)]

    def is_open(self, work: Work) -> bool:
        slot = self._open.get(work.id)
        return slot is not None and slot.work is work

    def changed(self, kind: Kind) -> list[Say]:
        """A list is not what it was. Legacy clients are told unasked, modern ones if they listen for it."""
        return self._subscriptions.changed(kind, unasked=self._agreed is not None)

    def updated(self, uri: str) -> list[Say]:
        """A resource is not what it was."""
        return self._subscriptions.updated(uri)

    def cancel(self, identity: Id) -> list[Event]:
        """The client has given up this request: by a notification, or by closing its stream."""
        if self._subscriptions.end(identity):
            return []
        slot = self._open.pop(identity, None)
        if slot is None:
            return []
        return [Stop(slot.work), *self._left(slot.group)]

    def goodbye(self) -> list[Say]:
        """Ends what would stay open: each listen gets its result."""
        return [_result(identity, result) for identity, result in self._subscriptions.end_all()]

    # Receiving.

    def _one(self, message: jsonrpc.Message, group: _Group | None) -> list[Event]:
        match message:
            case jsonrpc.Request():
                return self._request(message, group)
            case jsonrpc.Notification("notifications/cancelled"):
                target = message.params.get("requestId")
                return self.cancel(target) if jsonrpc.is_id(target) else []
            case jsonrpc.Notification():
                return [Noted(message.method, message.params)]
            case jsonrpc.Response():
                known = isinstance(message.id, str) and self._asked.pop(message.id, None) is not None
                return [Heard(message)] if known else []
            case jsonrpc.Malformed():
                return [*self._say(self._refusal(message), group)] if message.answered else []

    def _refusal(self, message: jsonrpc.Malformed) -> Say:
        if (call := message.without) and call.method == "tools/call":
            try:
                terms = self._terms(call)
            except Refused:
                pass  # then that is not all that is wrong
            else:  # what is wrong with a tool's arguments is for the model to read
                told = failed_call(InvalidArguments(message.failure.message))
                return _result(call.id, self._shaped(told, terms))
        return _error(message.id, message.failure)

    def _batch(self, batch: jsonrpc.Batch) -> list[Event]:
        if self._agreed is None or not self._agreed.revision.batches:
            wrong = Failure(INVALID_REQUEST, "batches are not part of this revision; send one message a time")
            return [_error(None, wrong)]
        group = _Group()
        events = [event for message in batch.messages for event in self._one(message, group)]
        group.whole = True
        return [*events, *self._leave(group)]

    def _request(self, request: jsonrpc.Request, group: _Group | None) -> list[Event]:
        identity = request.id
        if identity in self._open or identity in self._subscriptions:
            # Under its own id the answer would be taken for the first one's.
            taken = Failure(INVALID_REQUEST, "this id is in use by a request in flight", {"id": identity})
            return [*self._say(_error(None, taken), group)]
        try:
            if _is_handshake(request):
                return self._handshake(identity, initialize(request.params), group)
            terms = self._terms(request)
            read = operation(request.method, request.params, terms.revision)
            if isinstance(read, _ERRANDS):
                return self._accept(request, read, terms, group)
            return [*self._answer(identity, read, terms, group)]
        except Refused as refused:
            return [*self._say(_error(identity, refused.failure), group)]

    def _terms(self, request: jsonrpc.Request) -> Terms:
        if says_terms(request.params) or request.method == "server/discover":
            return said_terms(request.params)
        if self._agreed is not None:
            return self._agreed
        if request.method == "ping":  # allowed before the handshake
            return Terms(NEWEST_LEGACY)
        return said_terms(request.params)  # says what is missing

    def _accept(
        self, request: jsonrpc.Request, errand: Errand, terms: Terms, group: _Group | None
    ) -> list[Event]:
        if len(self._open) >= MAX_IN_FLIGHT:
            full = Busy(f"{MAX_IN_FLIGHT} requests are in flight on this connection; wait for some", after=1)
            return [*self._say(_error(request.id, failure(full, terms.revision)), group)]
        token = progress_token(request.params)
        work = Work(request.id, request.method, request.params, errand, terms, token)
        self._open[request.id] = _Slot(work, group)
        if group is not None:
            group.open += 1
        return [Do(work)]

    # Answering at once.

    def _handshake(self, identity: Id, asked: Initialize, group: _Group | None) -> list[Event]:
        if group is not None:
            raise invalid("initialize must not be part of a batch")
        revision = agree(asked.version)
        self._agreed = Terms(revision, asked.capabilities, asked.client_name, asked.client_version, "info")
        answer = fit(initialized(self._about, revision.name), revision)
        return [Met(self._agreed), _result(identity, answer)]

    def _answer(
        self,
        identity: Id,
        asked: Operation,
        terms: Terms,
        group: _Group | None,
    ) -> list[Say]:
        match asked:
            case List():
                try:
                    result = self._list(asked)
                except MimoError as error:
                    return self._say(_error(identity, failure(error, terms.revision)), group)
            case Discover():
                result = discovered(self._about)
            case Listen():
                return self._subscriptions.listen(identity, asked)
            case SetLevel():
                assert self._agreed is not None
                self._agreed = replace(self._agreed, log_level=asked.level)
                result = results.empty()
            case Subscribe():
                self._subscriptions.watch(asked)
                result = results.empty()
            case Ping():
                result = results.empty()
            case _:
                raise AssertionError(asked)
        return self._say(_result(identity, self._shaped(result, terms)), group)

    def _list(self, asked: List) -> Object:
        offered = self._catalogue
        match asked.kind:
            case "tools":
                tools, more = page(offered.listed(), lambda tool: tool.name, "tools", asked.cursor)
                items = [results.tool(tool, offered.schema(tool)) for tool in tools]
                return results.listed("tools", items, more)
            case "resources":
                shown, more = page(offered.resources(), lambda item: item.uri, "resources", asked.cursor)
                return results.listed("resources", [results.resource(item) for item in shown], more)
            case "templates":
                shown, more = page(offered.templates(), lambda item: item.template, "templates", asked.cursor)
                return results.listed("resourceTemplates", [results.template(item) for item in shown], more)
            case "prompts":
                shown, more = page(offered.prompts(), lambda item: item.name, "prompts", asked.cursor)
                return results.listed("prompts", [results.prompt(item) for item in shown], more)

    # Saying.

    def _shaped(self, result: Object, terms: Terms) -> Object:
        if not terms.revision.modern:
            return fit(result, terms.revision)
        meta: Mapping[str, Any] = result.get("_meta") or {}
        return result | {"_meta": {**meta, SERVER_INFO: self._about.implementation()}}

    def _close(self, work: Work, said: Say) -> list[Say]:
        group = self._open.pop(work.id).group
        return [*self._say(said, group), *self._left(group)]

    def _say(self, said: Say, group: _Group | None) -> list[Say]:
        if group is None:
            return [said]
        group.said.append(said)
        return []

    def _left(self, group: _Group | None) -> list[Say]:
        if group is None:
            return []
        group.open -= 1
        return self._leave(group)

    def _leave(self, group: _Group) -> list[Say]:
        if group.open or not group.whole or not group.said:
            return []
        to = next((said.to for said in group.said if said.to is not None), None)
        return [Say(b"[" + b",".join(said.frame for said in group.said) + b"]", to, last=True)]

    def _note(self, method: str, params: Object, work: Work) -> Say:
        return Say(
            jsonrpc.notification(method, fit_notification(method, params, work.terms.revision)), work.id
        )


def _is_handshake(request: jsonrpc.Request) -> bool:
    """Some clients stamp modern terms on `initialize` too; what it asks for at its top decides."""
    if request.method != "initialize":
        return False
    return not says_terms(request.params) or request.params.get("protocolVersion") in LEGACY


def _result(identity: Id, result: Object) -> Say:
    return Say(jsonrpc.result(identity, result), identity, last=True)


def _error(identity: Id | None, failed: Failure) -> Say:
    return Say(jsonrpc.error(identity, failed), identity, last=True, code=failed.code)
