"""One skill: asleep until it is called, started once for all who wait, watched, and asleep again when nobody needs it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import trio

from mimo.errors import Busy, InvalidArguments, MimoError, NotFound, Unavailable
from mimo.protocol.jsonrpc import Object
from mimo.protocol.mcp.asking import Told
from mimo.resilience import Breaker, BreakerChanged, is_failure
from mimo.services.skills import news
from mimo.services.skills.configuration import Declared
from mimo.services.skills.exchange import Refused, unsent
from mimo.services.skills.forwarding import forward
from mimo.services.skills.kept import LISTS, Kept
from mimo.services.skills.link import Greeting, Link
from mimo.services.skills.passing import Outcome, Passing, Passings
from mimo.services.skills.process import LastWords
from mimo.services.skills.watched import Watched
from mimo.tool import Call, JsonObject

# Several changes of lists come at once, and are one.
SETTLE = 0.1
_METHODS = {
    "tools": ("tools/list", "tools", "tools"),
    "resources": ("resources/list", "resources", "resources"),
    "templates": ("resources/templates/list", "resourceTemplates", "resources"),
    "prompts": ("prompts/list", "prompts", "prompts"),
}


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds."""

    call: float = 60.0
    start: float = 30.0
    idle: float = 600.0
    drain: float = 30.0


class Keeper(Protocol):
    """Who starts and stops skills, and is told what they learn."""

    def bring_up(self, skill: Skill) -> None: ...
    def retire(self, skill: Skill) -> None: ...
    def learned(self, skill: Skill, before: Kept) -> None: ...
    def updated(self, uri: str) -> None: ...
    def tell(self, event: news.Event) -> None: ...
    def breaker_changed(self, change: BreakerChanged) -> None: ...
    def worked(self, skill: Skill, tool: str, call: Call) -> None: ...


class Connecting(Protocol):
    """A way to reach a skill, for one life of it.

    Connects, calls `greeted` with a link that is ready, and goes on until cancelled or the other side has
    gone, which it raises as `Unavailable`.
    """

    async def __call__(self, skill: Skill, greeted: Callable[[Link, Greeting], None], /) -> None: ...


class Starting:
    """A start that somebody waits for."""

    def __init__(self) -> None:
        self._over = trio.Event()
        self._error: MimoError | None = None

    def over(self, error: MimoError | None = None) -> None:
        self._error = error
        self._over.set()

    async def wait(self) -> None:
        """Raises: MimoError: it did not start. A fresh one for each who waits."""
        await self._over.wait()
        if self._error is not None:
            raise unsent(self._error)


class Skill:
    def __init__(
        self,
        declared: Declared,
        kept: Kept,
        words: LastWords,
        patience: Patience,
        connecting: Connecting,
        keeper: Keeper,
        child: str,
    ) -> None:
        self.declared = declared
        self.kept = kept
        self.words = words
        self.child = child  # its name in the tree
        self.lock = trio.Lock()  # one start or stop at a time
        self.patience = replace(
            patience,
            call=declared.timeout or patience.call,
            idle=declared.idle or patience.idle,
        )
        self.watched = Watched()
        self.last_error = ""
        self.calls = 0
        self._connecting = connecting
        self._keeper = keeper
        self._link: Link | None = None
        self._starting: Starting | None = None
        self.retiring = False  # asked to be taken down
        self._leaving = False
        self._told_failed = False
        self._used = 0.0
        self._learning = False
        self._on_change: Callable[[], None] = lambda: None
        self.breaker = Breaker(
            f"skill {declared.name}",
            failures=5,
            rest=15.0,
            trials=2,
            counts=_counts,
            on_change=keeper.breaker_changed,
        )
        self._passing = Passings(self.breaker, self._passed)

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def state(self) -> str:
        if self._link is not None and not self._link.lost:
            return "running"
        if self._starting is not None:
            return "starting"
        return "failed" if self.last_error else "asleep"

    @property
    def busy(self) -> int:
        return self._link.busy if self._link is not None else 0

    # Calling.

    async def ask(self, method: str, params: JsonObject, call: Call | None) -> Object:
        """A request, forwarded. The skill is started if it sleeps.

        Raises:
            Unavailable: it cannot be started, has gone, or failed so often that it is left alone.
            Busy: too many skills run.
            TooSlow: it did not answer in time.
            Refused, InvalidArguments, NotFound: it says no.
            InputRequired: the client has to answer something first.
        """
        if call is not None and method == "tools/call":  # whose event and deadline are dispatch's
            passing = self._passing.take_up(call)
            with self.breaker.attempt(None if passing is None else passing.epoch):
                result = await self._forwarded(method, params, call, passing)
            self._note_use(params, call, result)
            return result
        began, outcome = time.perf_counter(), "cancelled"
        try:
            with self.breaker.attempt():
                result = await self._forwarded(method, params, call)
            outcome = "ok"
            return result
        except MimoError as error:
            outcome = error.kind
            raise
        finally:
            took = time.perf_counter() - began
            self._keeper.tell(news.SkillCalled(self.name, method, outcome, took))

    async def _forwarded(
        self, method: str, params: JsonObject, call: Call | None, passing: Passing | None = None
    ) -> Object:
        link = await self.connected() if passing is None else passing.link
        self.calls += 1
        try:
            if call is None:
                return await link.request(method, params)
            return await forward(link, method, params, call, passing and passing.exchange)
        finally:
            self._used = trio.current_time()

    def pass_on(self, params: JsonObject, call: Call, outcome: Outcome) -> Callable[[], None] | None:
        """A tool's call, forwarded without a task if nothing speaks against it. Gives what calls it off.

        When more than the answer comes, the outcome hears so, and `ask` goes on with the call.
        """
        if self._link is None or self._link.lost:
            return None
        return self._passing.begin(self._link, params, call, outcome)

    def _passed(self, params: JsonObject, call: Call, came: Object | MimoError) -> None:
        self.calls += 1
        self._used = trio.current_time()
        if not isinstance(came, MimoError):
            self._note_use(params, call, came)

    def _note_use(self, params: JsonObject, call: Call, result: Object) -> None:
        if result.get("isError") is not True:
            self._keeper.worked(self, params["name"], call)

    async def connected(self) -> Link:
        """A link that is ready. All who come while it starts wait for the one start.

        Raises:
            Unavailable, Busy: it cannot be started.
        """
        if self._link is None or self._link.lost:
            if self._leaving:
                raise Unavailable(f"the skill {self.name} was changed or removed; try again", done=False)
            if self._starting is None:
                self._starting = Starting()
                self._keeper.bring_up(self)
            await self._starting.wait()
        if self._link is None or self._link.lost:
            raise Unavailable(f"{self.name} has just ended; {self.words.last}", done=False)
        return self._link

    def started(self, error: MimoError | None = None) -> None:
        """What came of bringing it up, for all who wait."""
        starting, self._starting = self._starting, None
        if starting is None:
            return
        if error is not None:
            self.failed(error.message)
            if isinstance(error, Unavailable) and not isinstance(error, Busy):
                said = f"; it said: {self.words.last}" if self.words.last else ""
                error = Unavailable(f"the skill {self.name} cannot be used: {error.message}{said}")
        starting.over(error)

    def failed(self, error: str) -> None:
        """It cannot be kept running. Told once."""
        self.last_error = error
        if not self._told_failed:
            self._told_failed = True
            self._keeper.tell(news.SkillFailed(self.name, error[:500]))

    async def drained(self) -> None:
        """Take no more calls; until those in flight are over, or patience ends."""
        self._leaving = True
        with trio.move_on_after(self.patience.drain):
            while self.busy:  # noqa: ASYNC110
                await trio.sleep(0.05)

    # Living.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One life of it, as a supervised child.

        Raises:
            Unavailable: it ended by itself, or could not be started.
        """
        began = time.perf_counter()
        reason, error = "stopped", None
        try:
            async with trio.open_nursery() as nursery:

                def greeted(link: Link, greeting: Greeting) -> None:
                    nursery.start_soon(self._serve, link, greeting, began, task_status)

                await self._connecting(self, greeted)
                nursery.cancel_scope.cancel()
        except* MimoError as group:
            error = first(group)
            reason = self.last_error = error.message
        finally:
            if self._link is not None:
                self._link.lose(Unavailable(f"{self.name} has ended ({reason}); try again"))
                self._link = None
                self._keeper.tell(news.SkillStopped(self.name, reason))
        if error is not None:
            self.words.add(f"--- {reason}")
            raise error

    async def _serve(
        self, link: Link, greeting: Greeting, began: float, task_status: trio.TaskStatus[None]
    ) -> None:
        era = "modern" if link.modern else "legacy"
        self.kept = replace(self.kept, era=era, server=greeting.server, capabilities=greeting.capabilities)
        if link.modern:
            self._listen(link, greeting)
        with trio.move_on_after(self.patience.start) as deadline:
            await self._learn(link, greeting)
        if deadline.cancelled_caught:
            raise Unavailable(f"it did not list what it offers within {self.patience.start:g} s")
        self._link, self._used = link, trio.current_time()
        self.last_error, self._told_failed = "", False
        self._keeper.tell(news.SkillStarted(self.name, era, time.perf_counter() - began))
        self.started()
        task_status.started()
        async with trio.open_nursery() as nursery:

            def learn_again() -> None:
                if not self._learning:
                    self._learning = True
                    nursery.start_soon(self._learn_again, link, greeting)

            self._on_change = learn_again
            nursery.start_soon(self.watched.keep, link, greeting, self.strange)
            try:
                await self._watch(link)
            finally:
                self._on_change = lambda: None
                self._learning = False

    async def _watch(self, link: Link) -> None:
        """End requests that take too long, and ask to be taken down when nobody has needed it for long.

        One look at the oldest request, instead of a deadline for each, which would cost as much as forwarding it.
        """
        while True:
            now = trio.current_time()
            due = link.end_overdue(now, self.patience.call, self.name)
            idle = self._used + self.patience.idle
            if link.busy or self.watched.wanted:
                idle = now + self.patience.idle
            elif idle <= now:
                break
            await trio.sleep_until(min(due, idle))
        self._link = None  # who comes from here on has it started again
        self._keeper.tell(news.SkillStopped(self.name, "idle"))
        self._keeper.retire(self)
        await trio.sleep_forever()

    # Learning.

    def told(self, told: Told) -> None:
        """A notification that belongs to no request."""
        if told.method.endswith("/list_changed"):
            self._on_change()
        elif told.method == "notifications/resources/updated":
            uri = told.params.get("uri")
            if isinstance(uri, str):
                self._keeper.updated(uri)

    def strange(self, reason: str) -> None:
        self.words.add(f"--- not understood: {reason[:300]}")

    def _listen(self, link: Link, greeting: Greeting) -> None:
        """Modern servers tell of changes only to who listens for them."""
        wanted: dict[str, bool] = {}
        for kind in ("tools", "resources", "prompts"):
            said: Any = greeting.capabilities.get(kind)
            if isinstance(said, dict) and cast("Object", said).get("listChanged") is True:
                wanted[f"{kind}ListChanged"] = True
        if wanted:
            link.begin("subscriptions/listen", {"notifications": wanted})

    async def _learn_again(self, link: Link, greeting: Greeting) -> None:
        """Its lists have changed; changes of one moment are one."""
        await trio.sleep(SETTLE)
        self._learning = False
        with suppress(MimoError), trio.move_on_after(self.patience.start):
            await self._learn(link, greeting)  # if not, what it had listed before still stands

    async def _learn(self, link: Link, greeting: Greeting) -> None:
        """Ask for all its lists, and tell the keeper when they are not what was known."""
        lists: dict[str, list[Object]] = {}
        for kind in LISTS:
            method, key, capability = _METHODS[kind]
            lists[kind] = []
            if isinstance(greeting.capabilities.get(capability), dict):
                try:
                    lists[kind] = await link.everything(method, key)
                except (Refused, InvalidArguments, NotFound) as error:
                    self.strange(f"{method}: {error.message}")
        before, self.kept = self.kept, self.kept.learned(**lists)
        self._keeper.learned(self, before)


def _counts(error: Exception) -> bool:
    """That it says no does not mean that it is ill; nor does our own limit."""
    return is_failure(error) and not isinstance(error, Refused | Busy)


def first(group: BaseExceptionGroup[MimoError]) -> MimoError:
    """What went wrong first."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MimoError)
    return error


def mark() -> str:
    """What a process and its children carry so that they can be found."""
    return secrets.token_hex(8)
