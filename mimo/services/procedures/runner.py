"""The driver: for each thing that happens to a run, one turn of the engine, saved first and acted on then.

A run is in memory only while something of it is in flight; what waits is a row in the database and a time
in the timers. Turns of one run follow each other, those of different runs share commits.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from mimo.errors import (
    Busy,
    Conflict,
    InvalidArguments,
    MimoError,
    NotFound,
    Unavailable,
    Unusable,
)
from mimo.observability.events import Events
from mimo.services.procedures.calling import CallTool, Find, acted, repeatable_by
from mimo.services.procedures.children import Children
from mimo.services.procedures.happenings import (
    Act,
    Advanced,
    Bear,
    Failed,
    Finished,
    Granted,
    Happening,
    Hold,
    Interrupt,
    Overgrown,
    Recovered,
    Signalled,
    Stop,
    TimePassed,
)
from mimo.services.procedures.live import (
    Change,
    Flight,
    Live,
    Reply,
    awaits_child,
    ended_child,
    load,
    news_of,
)
from mimo.services.procedures.places import Places
from mimo.services.procedures.registry import Registry
from mimo.services.procedures.runs import ENDED, Run, Trouble
from mimo.services.procedures.saving import Saving
from mimo.services.procedures.timers import Timers
from mimo.services.procedures.written import size_of
from mimo.storage.database import Database
from mimo.storage.procedures import runs as stored
from mimo.tool import Client

if TYPE_CHECKING:
    from mimo.services.procedures.definition import Definition

log = logging.getLogger(__name__)

PLACES = 100
LARGEST_RUN = 1024 * 1024  # as JSON, its context included; it is written with every turn
# A tool that is about to answer when mimo stops may: what it did is then known.
GRACE = 2.0


class Runner:
    """A supervised child, which drives every run that is not at rest."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        events: Events,
        call: CallTool,
        find: Find,
        *,
        clock: Callable[[], int],
        places: int = PLACES,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._registry = registry
        self._events = events
        self._call = call
        self._repeatable = repeatable_by(find)
        self._clock = clock
        self._chance = chance
        self._most = places
        self._engine: Any = None
        self._nursery: trio.Nursery | None = None
        self.turns = 0
        self._saving = Saving(database)
        self.children = Children(database, self.post, self._saving.when_there)
        self._watched: dict[int, Change] = {}  # who waits goes on waiting when we begin anew
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._stopping = False
        self._quiet = trio.Event()
        self._live: dict[int, Live] = {}
        self._flying: dict[tuple[int, int], trio.CancelScope] = {}
        self.places = Places(self._most, lambda id_: self.post(id_, Granted()))
        self.timers = Timers(self._clock, lambda id_: self.post(id_, TimePassed()))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Every run goes on where it was."""
        self._begin_anew()
        async with trio.open_nursery() as outer:
            try:
                await outer.start(self._serve)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._stopping = True
                self._note_quiet()
                with trio.move_on_after(GRACE, shield=True):
                    await self._quiet.wait()
                if self._nursery is not None:
                    self._nursery.cancel_scope.cancel()
                self._nursery = None

    def post(self, id_: int, happening: Happening, reply: Reply | None = None) -> None:
        """This has happened to this run; turns are made of it in order."""
        live = self._live.get(id_)
        if live is None:
            live = self._live[id_] = Live(id_)
        live.inbox.append((happening, reply))
        self._wake(live)

    async def _go_on(self, id_: int, happening: Happening) -> Flight | None:
        """As `post`, in this task: most of what happens is the end of an action, whose task does the next one, too."""
        live = self._live.get(id_)
        if live is None or live.busy:
            self.post(id_, happening)
            return None
        live.inbox.append((happening, None))
        live.busy = live.free_hand = True
        await self._work(live)
        following, live.in_hand = live.in_hand, None
        return following

    async def ask(self, id_: int, happening: Happening) -> str:
        """The same, and what became of it: durable when answered.

        Raises:
            NotFound, Conflict, InvalidArguments, Busy: nothing came of it.
            Unavailable: procedures are not running.
        """
        self.require_running()
        reply = Reply()
        self.post(id_, happening, reply)
        await reply.done.wait()
        if reply.error is not None:
            raise reply.error
        return reply.said

    def changed(self, id_: int) -> Change:
        """To wait for the next turn of this run."""
        if (change := self._watched.get(id_)) is None:
            change = self._watched[id_] = Change()
        return change

    def adopt(self, live: Live, definition: Definition, advanced: Advanced) -> None:
        """A run that has just been begun and saved."""
        self._live[live.id] = live
        self._settle(live, definition, advanced)
        self._put_away(live)

    async def engine(self) -> Any:
        """The module, imported by the first run: until then nobody pays for it."""
        if self._engine is None:
            name = "mimo.services.procedures.engine"
            self._engine = await trio.to_thread.run_sync(
                partial(import_module, name), limiter=trio.CapacityLimiter(1)
            )
        return self._engine

    def advanced(
        self, engine: Any, definition: Definition, id_: int, run: Run, happening: Happening
    ) -> Advanced:
        """A turn, not saved yet."""
        given = {
            "chance": self._chance(),
            "may_act": not self._stopping and self.places.may_have(id_),
            "repeatable": self._repeatable,
        }
        made: Advanced = engine.advance(definition, run, happening, self._clock(), **given)
        size = size_of(made.context or "") + size_of(made.text)
        if size <= LARGEST_RUN or isinstance(happening, Overgrown):
            return made
        message = f"the run would have {size:,} bytes and may have {LARGEST_RUN:,}: keep less in it"
        match happening:
            case Signalled():
                raise InvalidArguments(message, field="data")
            case Finished(step, attempt):
                # It was done, so it may be taken back, but what it gave is not kept.
                failed = Failed(step, attempt, Trouble("too_large", message, retry=False, unsure=True))
                return self.advanced(engine, definition, id_, run, failed)
            case _ if made.context is not None:
                return self.advanced(engine, definition, id_, run, Overgrown(message))
            case _:  # it has been so before, and this makes it no larger
                return made

    def require_running(self) -> None:
        if self._nursery is None or self._stopping:
            raise Unavailable("procedures are starting or stopping; try again", after=1)

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._recover()
            nursery.start_soon(self.timers.run)
            await trio.lowlevel.checkpoint_if_cancelled()  # until here nobody would end what is shielded
            nursery.cancel_scope.shield = True  # ends after its grace, when `run` says so
            task_status.started()

    async def _recover(self) -> None:
        rows = await self._database.read(stored.unfinished)
        set_back = self._clock() < await self._database.read(stored.last_change)
        for row in rows:
            idle = row.status in {"waiting", "needs_attention"} and not awaits_child(row)
            if idle and not set_back:
                self.timers.set(row.id, row.wake_at)
                continue
            self._live[row.id] = live = Live(row.id)
            load(live, row)
            self.post(row.id, Recovered())
        for id_ in await self.children.unneeded(rows):
            self.post(id_, Interrupt(rollback=True))

    def _wake(self, live: Live) -> None:
        if not live.busy and self._nursery is not None:
            live.busy = True
            self._nursery.start_soon(self._work, live)

    async def _work(self, live: Live) -> None:
        """Turns, until nothing more has happened."""
        while live.inbox:
            if live.in_hand is not None:  # it must not wait for what else happens
                self._start(live, live.in_hand)
                live.in_hand = None
            happening, reply = live.inbox.popleft()
            if isinstance(happening, Granted) and not self.places.held_by(live.id):
                continue  # it stood still meanwhile, or has gone on without
            try:
                said = await self._turn(live, happening, may_refuse=reply is not None)
            except MimoError as error:
                if isinstance(happening, Granted) and not (live.run is not None and live.run.holds_place):
                    self.places.leave(live.id)
                if reply is None:
                    log.info("run %d: %s came to nothing: %s", live.id, type(happening).__name__, error)
                else:
                    reply.error = error
            else:
                if reply is not None:
                    reply.said = said
            finally:
                if reply is not None:
                    reply.done.set()
        live.busy = live.free_hand = False
        self._put_away(live)
        self._note_quiet()

    async def _turn(self, live: Live, happening: Happening, *, may_refuse: bool) -> str:
        engine = await self.engine()
        if live.run is None:
            row = await self._saving.when_there(self._database.read, stored.found, live.id)
            if row is None:
                raise NotFound(f"no run r{live.id}")
            load(live, row)
        before = live.run
        assert before is not None
        try:
            definition = await self._registry.of(live.definition_id)
            advanced = self.advanced(engine, definition, live.id, before, happening)
        except (Conflict, InvalidArguments, NotFound, Busy):
            raise
        except Exception as error:
            await self._set_aside(live, happening, error)
            raise Unusable(f"run r{live.id} cannot go on: {error}") from error
        changed = advanced.entries or advanced.run.wake != before.wake or advanced.run.status != before.status
        if changed:
            if advanced.run.holds_place:
                self.places.take(live.id)  # before anybody else sees it free
            try:
                await self._saving.save(live, before, advanced, may_refuse=may_refuse)
            except MimoError:
                if not before.holds_place:
                    self.places.leave(live.id)
                raise
            self.turns += 1
        self._settle(live, definition, advanced, may_queue=not isinstance(happening, Granted))
        if not changed:
            await trio.lowlevel.checkpoint()  # nothing was saved, which would have been one
        return advanced.said

    async def _set_aside(self, live: Live, happening: Happening, error: Exception) -> None:
        """A definition that is damaged, or a bug of ours, stops one run and no other."""
        log.error("run %d cannot go on after %s", live.id, type(happening).__name__, exc_info=error)
        said = f"{type(error).__name__}: {error}"[:500]
        await self._saving.when_there(self._database.write, stored.set_aside, live.id, said, self._clock())
        live.run = None
        self.places.leave(live.id)
        self.places.forget(live.id)

    def _settle(
        self, live: Live, definition: Definition, advanced: Advanced, *, may_queue: bool = True
    ) -> None:
        """It is durable: now it may be acted on, and told. Who was given a place, and made nothing of it, may not
        queue at once for another: it would be given the same, and so for ever."""
        run = advanced.run
        for intent in advanced.intents:
            if (
                isinstance(intent, Stop)
                and (scope := self._flying.pop((live.id, intent.step), None)) is not None
            ):
                scope.cancel()
        if run.holds_place:
            self.places.take(live.id)
        else:
            self.places.leave(live.id)
        if run.needs_place and may_queue and not self._stopping:
            self.places.queue(live.id)
        else:
            self.places.forget(live.id)
        self.timers.set(live.id, run.wake)
        for intent in advanced.intents:
            self._intend(live, definition, intent)
        if advanced.entries:
            for event in news_of(live, definition, run):
                self._events.publish(event)
        if run.status in ENDED and live.parent is not None:
            self.post(live.parent.id, ended_child(live.parent, run))
        if (watched := self._watched.pop(live.id, None)) is not None:
            watched.run, watched.next = run, Change()
            if run.status not in ENDED:
                self._watched[live.id] = watched.next
            watched.made.set()

    def _intend(self, live: Live, definition: Definition, intent: Any) -> None:
        assert self._nursery is not None
        match intent:
            case Act():
                flight = Flight(intent, trio.CancelScope())
                self._flying[live.id, intent.step] = flight.scope
                if live.free_hand:
                    live.in_hand, live.free_hand = flight, False
                else:
                    self._start(live, flight)
            case Bear():
                self.children.expect(live.id, intent)
                self._nursery.start_soon(self.children.bear, live, definition, intent)
            case Stop():
                self._nursery.start_soon(self.children.stop, live.id, intent)
            case Hold():
                self._nursery.start_soon(self.children.hold, live.id, intent)
            case _:
                raise TypeError(f"nobody knows how to do {intent}")

    def _start(self, live: Live, flight: Flight) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._fly, live.id, flight, live.client)

    async def _fly(self, id_: int, first: Flight, client: Client) -> None:
        """Do an action, make the turn that follows, and do the action that it asks for."""
        flight: Flight | None = first
        while flight is not None:
            happened: Happening | None = None
            with flight.scope:
                try:
                    happened = await acted(self._call, flight.act, client)
                finally:
                    if self._flying.get((id_, flight.act.step)) is flight.scope:
                        del self._flying[id_, flight.act.step]
            flight = None if happened is None else await self._go_on(id_, happened)
        self._note_quiet()

    def _note_quiet(self) -> None:
        if self._stopping and not self._flying and not any(each.busy for each in self._live.values()):
            self._quiet.set()

    def _put_away(self, live: Live) -> None:
        """What waits is in the database, and needs no memory."""
        idle = not live.busy and not live.inbox
        if idle and (live.run is None or not (live.run.holds_place or live.run.needs_place)):
            self._live.pop(live.id, None)
