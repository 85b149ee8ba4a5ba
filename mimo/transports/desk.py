"""Where the errands of all MCP peers are run: tools by dispatch, and resources, prompts and completion."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Sequence, Set
from contextlib import contextmanager
from typing import Protocol, TypeVar

import trio

from mimo.errors import MimoError, NotFound, TooSlow
from mimo.gateway.bugs import broken
from mimo.gateway.sessions import Session, Sessions
from mimo.observability.events import Events
from mimo.observability.news import ToolboxChanged
from mimo.protocol.jsonrpc import Object
from mimo.protocol.mcp import results
from mimo.protocol.mcp.about import ServerInfo
from mimo.protocol.mcp.conversation import Catalogue
from mimo.protocol.mcp.events import Work
from mimo.protocol.mcp.operations import CallTool, Complete, GetPrompt, Kind, ReadResource
from mimo.protocol.mcp.seal import Seal
from mimo.tool import Answer, Call, Client, Prompt, Report, Resource, ResourceTemplate

T = TypeVar("T")
log = logging.getLogger(__name__)

# Reading and completing is done while a person or an agent waits; tools bring their own deadline.
PATIENCE = 30.0
# A skill that starts brings its tools one after the other.
SETTLE = 0.05
LISTS: tuple[Kind, ...] = ("tools", "resources", "prompts")


class Offered(Catalogue, Protocol):
    """What can be listed, and found again by its name."""

    def find_resource(self, uri: str) -> Resource | ResourceTemplate: ...
    def find_prompt(self, name: str) -> Prompt: ...
    def passes(self, tool: str, /) -> bool: ...


class Dispatch(Protocol):
    async def call(self, name: str, arguments: object, call: Call, *, seconds: float | None = None) -> Answer:
        """Run a tool. Raises only MimoError."""
        ...

    def pass_on(self, name: str, arguments: object, call: Call, report: Report) -> Callable[[], None] | None:
        """Run it without a task, and give what calls it off. None: nothing was done, and `call` is to run it."""
        ...


class Listener(Protocol):
    """A peer that wants to hear of changes."""

    @property
    def watched(self) -> Set[str]: ...
    def changed(self, kind: Kind) -> None: ...
    def updated(self, uri: str) -> None: ...
    def gone(self) -> None: ...


class Desk:
    """What all peers of one daemon share, whatever door they came through."""

    def __init__(
        self,
        about: ServerInfo,
        offered: Offered,
        dispatch: Dispatch,
        *,
        sessions: Sessions | None = None,
        key: bytes | None = None,
    ) -> None:
        self.about = about
        self.offered = offered
        self.sessions = sessions
        self.seal = Seal(key or secrets.token_bytes(32))
        self._dispatch = dispatch
        self._listeners: set[Listener] = set()
        self.on_watch: Callable[[], None] = lambda: None  # what is watched may be other than before

    async def follow(
        self, events: Events, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Tell all peers when the lists change, as long as this runs. Changes of one moment are told as one."""
        due: set[Kind] = set()
        news = trio.Event()

        async def tell() -> None:
            nonlocal news
            while True:
                await news.wait()
                await trio.sleep(SETTLE)
                news = trio.Event()
                for kind in sorted(due):
                    self.changed(kind)
                due.clear()

        async with events.subscribe(ToolboxChanged) as changes, trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            task_status.started()
            async for change in changes:
                # When some were missed, nobody knows which lists they were about.
                due.update(kind for kind in LISTS if getattr(change, kind, True))
                news.set()
            nursery.cancel_scope.cancel()

    @contextmanager
    def present(self, listener: Listener) -> Generator[None]:
        """As long as this lasts, the listener hears of changes."""
        self._listeners.add(listener)
        if listener.watched:
            self.on_watch()
        try:
            yield
        finally:
            self._listeners.discard(listener)
            listener.gone()
            if listener.watched:
                self.on_watch()

    @contextmanager
    def session(self, client: Client, door: str, goodbye: Callable[[], None]) -> Generator[Session | None]:
        """As long as this lasts, the daemon knows that this client is there.

        Raises:
            Unavailable: we are going down.
        """
        if self.sessions is None:
            yield None
        else:
            with self.sessions.open(client, door, goodbye=goodbye) as session:
                yield session

    def changed(self, kind: Kind) -> None:
        """A list is not what it was: tell those who listen."""
        for listener in tuple(self._listeners):
            listener.changed(kind)

    def updated(self, uri: str) -> None:
        """A resource is not what it was: tell those who watch it."""
        for listener in tuple(self._listeners):
            listener.updated(uri)

    def watched(self) -> Set[str]:
        """The resources of whose changes somebody wants to hear."""
        return set[str]().union(*(listener.watched for listener in self._listeners))

    def now(self) -> float:
        """Wall time, because sealed states outlive a process when the key does."""
        return time.time()

    async def run(self, work: Work, call: Call) -> Object:
        """The result of one errand, in the newest shape. Raises: MimoError."""
        match work.errand:
            case CallTool(name, arguments):
                return results.called(await self._dispatch.call(name, arguments, call))
            case ReadResource(uri):
                found = self.offered.find_resource(uri)
                return results.read(await _bounded(lambda: found.read(uri, call)))
            case GetPrompt(name, arguments):
                prompt = self.offered.find_prompt(name)
                return results.prompted(prompt, await _bounded(lambda: prompt.get(arguments, call)))
            case Complete():
                return results.completed(await self._complete(work.errand))

    def pass_on(self, errand: CallTool, call: Call, report: Report) -> Callable[[], None] | None:
        """As dispatch does it: a call without a task. None: it is to be run."""
        return self._dispatch.pass_on(errand.name, errand.arguments, call, report)

    async def _complete(self, asked: Complete) -> Sequence[str]:
        if asked.of == "prompt":
            complete = self.offered.find_prompt(asked.name).complete
        else:
            known = {template.template: template for template in self.offered.templates()}
            if asked.name not in known:
                raise NotFound(f"no resource template {asked.name[:100]!r}", uri=asked.name[:256])
            complete = known[asked.name].complete
        if complete is None:
            return ()
        return await _bounded(lambda: complete(asked.argument, asked.begun, asked.others))


async def _bounded(work: Callable[[], Awaitable[T]]) -> T:
    """The same promise that dispatch gives for tools: within a deadline, and only our own errors."""
    try:
        with trio.fail_after(PATIENCE):
            return await work()
    except MimoError:
        raise
    except trio.TooSlowError as error:
        raise TooSlow(f"not done within {PATIENCE:g} s") from error
    except Exception as error:
        raise broken("an errand", error) from error
