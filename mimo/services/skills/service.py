"""All skills: read from the file, offered from what is known of them, started when they are called, replaced when the file changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

import trio

from mimo.embedding.embedder import Embedder
from mimo.errors import Busy, MimoError, Unavailable
from mimo.observability.events import Event, Events
from mimo.observability.news import BreakerChanged as BreakerNews
from mimo.observability.news import ResourceChanged
from mimo.resilience import BreakerChanged
from mimo.services.skills import configuration, news
from mimo.services.skills.configuration import Declared, Faulty
from mimo.services.skills.controls import Controls
from mimo.services.skills.finding import Calling, Finding
from mimo.services.skills.kept import Kept, Shelf
from mimo.services.skills.leftovers import Leftovers
from mimo.services.skills.meaning import Meaning
from mimo.services.skills.names import name_of
from mimo.services.skills.process import LastWords
from mimo.services.skills.results import Results
from mimo.services.skills.shelving import Shelves, Shelving
from mimo.services.skills.skill import Connecting, Patience, Skill
from mimo.services.skills.subprocesses import Subprocesses
from mimo.supervision import Child, Restart, Supervisor, TooManyRestarts
from mimo.tool import Call, Json, JsonObject

log = logging.getLogger(__name__)

LOOK = 2.0
# How many are started at once to learn what they offer; a start is a core for a second.
INTRODUCED_AT_ONCE = 2
# From here on it is told that the places for running skills are nearly taken.
NEARLY_FULL = 0.8
# A crash loop: this many falls in so many seconds.
FALLS, WITHIN = 3, 60.0


class Skills:
    """`run` keeps them; `control` is for our own programs. `call` runs any tool, with all that stands before it."""

    def __init__(
        self,
        home: str,
        supervisor: Supervisor,
        shelves: Shelves,
        events: Events,
        call: Calling,
        *,
        patience: Patience,
        result_cap: int,
        updated: Callable[[str], None],
        supervised: Callable[[Any], None],
        watched: Callable[[], Set[str]] = frozenset,
        embedder: Embedder | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        folder = Path(home) / "skills"
        self.path = configuration.path_in(home)
        self.skills: dict[str, Skill] = {}
        self.problem: str = ""
        self._supervisor = supervisor
        self._events = events
        self._patience = patience
        self._updated = updated
        self._watched = watched
        self._supervised = supervised
        self._leftovers = Leftovers(folder / "running")
        self._kept = Shelf(folder / "kept")
        self._environ = environ
        self._subprocesses = Subprocesses(environ, self._leftovers)
        self._shelving = Shelving(shelves, Results(result_cap))
        meaning = None if embedder is None else Meaning(embedder)
        self._finding = Finding(shelves, call, folder / "used.json", self._shelving.hints, meaning)
        self._controls = Controls(self)
        self._words: dict[str, LastWords] = {}
        self._up: set[str] = set()  # names in the tree
        self._bringing: set[Skill] = set()
        self._generation = 0
        self._nearly_full = False
        self._nursery: trio.Nursery | None = None
        self._reloading = trio.Lock()
        self._seen: object = None
        self._ready = trio.Event()
        self._look = trio.Event()

    async def run(self) -> None:
        """Until cancelled. All skills stop with the supervisor that they were handed to."""
        if left := await self._leftovers.sweep():
            log.warning("%d processes of skills had outlived the last daemon, and were ended", left)
        try:
            async with trio.open_nursery() as self._nursery:
                await self.reload()
                self._ready.set()
                while True:
                    with trio.move_on_after(LOOK):
                        await self._look.wait()
                    forced, self._look = self._look.is_set(), trio.Event()
                    if await trio.to_thread.run_sync(_identity, self.path) != self._seen or forced:
                        await self.reload()
                    await self._finding.save()
        finally:
            self._nursery = None
            self._ready = trio.Event()
            for name, skill in self.skills.items():
                skill.started(Unavailable("mimo is stopping its skills"))
                self._shelving.withdraw(name)
            self.skills.clear()
            self._finding.offer(False)
            self._shelving.offer_results(False)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                await self._finding.save(now=True)

    def reload_soon(self) -> None:
        self._look.set()

    async def control(self, method: str, params: JsonObject) -> Json:
        await self._ready.wait()
        return await self._controls.answer(method, params)

    # The file.

    async def reload(self) -> news.SkillsReloaded:
        """Do what the file says: start what is new, drain what changed, stop what is gone. Two at once are one after the other."""
        async with self._reloading:
            self._seen = await trio.to_thread.run_sync(_identity, self.path)
            try:
                declared = await trio.to_thread.run_sync(configuration.read, self.path)
            except Faulty as error:
                if self.problem != error.message:
                    log.error("skills are as before: %s", error.message)
                self.problem = error.message
                return self._events.publish(news.SkillsReloaded((), (), (), error.message))
            self.problem = ""
            wanted = {name: each for name, each in declared.items() if each.enabled}
            told = self._replace(wanted)
            self._finding.offer(bool(self.skills))
            self._shelving.offer_results(bool(self.skills))
        if told.started or told.changed or told.gone:
            log.info("skills: new %s; changed %s; gone %s", told.started, told.changed, told.gone)
            self._events.publish(told)
        return told

    def _replace(self, wanted: Mapping[str, Declared]) -> news.SkillsReloaded:
        gone = [name for name in self.skills if name not in wanted]
        changed = [
            name for name, each in self.skills.items() if wanted.get(name, each.declared) != each.declared
        ]
        fresh = [name for name in wanted if name not in self.skills]
        for name in (*gone, *changed):
            self._start_soon(self._dismiss, self.skills.pop(name))
            self._shelving.withdraw(name)
        for name in gone:
            self._words.pop(name, None)
        for name, declared in wanted.items():
            if name not in self.skills:
                self.skills[name] = self._made(declared)
        # In the file's order, whatever came when.
        self.skills = {name: self.skills[name] for name in wanted}
        for name in (*changed, *fresh):
            self.offer(self.skills[name])
        self._start_soon(self._introduce, [self.skills[n] for n in (*changed, *fresh)])
        return news.SkillsReloaded(tuple(fresh), tuple(changed), tuple(gone))

    def _made(self, declared: Declared) -> Skill:
        self._generation += 1
        free = not any(declared.name == name.partition("~")[0] for name in self._up)
        return Skill(
            declared,
            self._kept.load(declared.name, declared.digest),
            self._words.setdefault(declared.name, LastWords()),
            self._patience,
            self._connecting(declared),
            self,
            declared.name if free else f"{declared.name}~{self._generation}",
        )

    def _connecting(self, declared: Declared) -> Connecting:
        if not declared.url:
            return self._subprocesses.connect
        from mimo.services.skills.remote import Remotes  # HTTP is imported by who needs it

        return Remotes(self._environ).connect

    async def _introduce(self, skills: Sequence[Skill]) -> None:
        """Start those of which nothing is known, or that are watched, a few at a time. Their tools are offered when they have told."""
        limiter = trio.CapacityLimiter(INTRODUCED_AT_ONCE)

        async def meet(skill: Skill) -> None:
            async with limiter:
                try:
                    await skill.connected()
                except MimoError as error:
                    log.warning("skill %s: %s", skill.name, error.message)

        async with trio.open_nursery() as nursery:
            for skill in skills:
                if not skill.kept.listed or skill.watched.wanted:
                    nursery.start_soon(meet, skill)

    async def _dismiss(self, skill: Skill) -> None:
        await skill.drained()
        skill.retiring = True
        await self._take_down(skill)

    # For skills, and for who shows them.

    def offer(self, skill: Skill) -> None:
        self._shelving.offer(skill)
        self.watch_again()

    def watch_again(self) -> None:
        """Clients watch other resources than before, or these are of other skills. Who is watched does not sleep."""
        uris = self._watched()
        for skill in self.skills.values():
            mine = frozenset(uri for uri in uris if self._shelving.has(skill.name, uri))
            if mine and not skill.watched.wanted and skill.state == "asleep":
                self._start_soon(self._introduce, [skill])
            skill.watched.want(mine)

    def approve(self, skill: Skill, *tools: str) -> None:
        before, skill.kept = skill.kept, skill.kept.approved(*tools)
        self.learned(skill, before)

    def worked(self, skill: Skill, tool: str, call: Call) -> None:
        self._finding.worked(call.client.namespace, name_of(skill.declared.prefix, tool))

    def tell(self, event: Event) -> None:
        self._events.publish(event)

    def updated(self, uri: str) -> None:
        self._updated(uri)

    def breaker_changed(self, change: BreakerChanged) -> None:
        self._events.publish(BreakerNews(change.breaker, change.before.value, change.after.value))

    def learned(self, skill: Skill, before: Kept) -> None:
        """It has told what it offers. What is the same as before is not told on."""
        if self.skills.get(skill.name) is not skill:
            return
        try:
            self._kept.save(skill.name, skill.kept)
        except OSError as error:
            log.warning("what skill %s offers could not be kept: %s", skill.name, error)
        if changed := skill.kept.changed:
            self._events.publish(news.SkillChanged(skill.name, tuple(changed)))
        if not before.same_lists(skill.kept):
            self.offer(skill)

    # Up and down.

    def bring_up(self, skill: Skill) -> None:
        self._bringing.add(skill)
        self._start_soon(self._bring_up, skill)

    def retire(self, skill: Skill) -> None:
        skill.retiring = True
        self._start_soon(self._take_down, skill)

    def _start_soon(self, work: Callable[..., Any], *arguments: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(work, *arguments)
        else:
            for each in arguments:
                if isinstance(each, Skill):
                    each.started(Unavailable("mimo is stopping its skills"))

    async def _bring_up(self, skill: Skill) -> None:
        own = Supervisor(skill.child, max_restarts=FALLS, within=WITHIN, on_event=self._supervised)
        error: MimoError | None = Unavailable("it could not be started")
        try:
            async with skill.lock:
                if skill.child in self._up:
                    if not skill.retiring:  # its supervisor is about to start it again
                        error = None
                        return
                    await self._remove(skill)
                keep = partial(self._keep, skill, own)
                await self._supervisor.add(
                    Child(skill.child, keep, Restart.TEMPORARY, grace=30, supervisor=own)
                )
                self._watch_places()
                try:
                    await own.add(Child(f"{skill.child} process", skill.run, Restart.TRANSIENT, grace=15))
                except BaseException:
                    with trio.CancelScope(shield=True):  # each child has its grace
                        await self._supervisor.remove(skill.child)
                    raise
                error = None
        except Busy as busy:
            limit = self._supervisor.limit
            error = Busy(
                f"{limit} skills run, and at most {limit} may (skills.most); try again when one has gone to sleep",
                **busy.details,
            )
        except MimoError as raised:
            error = raised
        finally:
            self._bringing.discard(skill)
            if error is not None:
                skill.started(error)

    async def _keep(
        self, skill: Skill, own: Supervisor, *, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """One skill with its restarts. Giving up is told once; the next call begins anew, when its breaker lets it."""
        self._up.add(skill.child)
        try:
            await own.run(task_status=task_status)
        except TooManyRestarts as error:
            skill.failed(f"it ended {FALLS + 1} times within {WITHIN:g} s: {error.__cause__}")
        finally:
            self._up.discard(skill.child)
            if skill not in self._bringing:  # else it is told by who does
                skill.started(Unavailable(skill.last_error or "it was stopped"))
            self._watch_places()

    async def _take_down(self, skill: Skill) -> None:
        async with skill.lock:
            if skill.retiring and skill.child in self._up:
                await self._remove(skill)

    async def _remove(self, skill: Skill) -> None:
        skill.retiring = False
        await self._supervisor.remove(skill.child)

    def _watch_places(self) -> None:
        limit = self._supervisor.limit
        if limit is None:
            return
        running = len(self._supervisor.tree().children)
        nearly = running >= NEARLY_FULL * limit
        if nearly != self._nearly_full:
            self._nearly_full = nearly
            level = "warning" if nearly else "ok"
            self._events.publish(ResourceChanged("skills", level, running, NEARLY_FULL * limit))


def _identity(path: str) -> object:
    """What changes when somebody writes the file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
