"""The composition root: every object of the house, built in order by calling constructors, and the tree that keeps them.

Whoever wants to know how mimo hangs together reads this page.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from mimo import __version__
from mimo.choices import Limits, Settings
from mimo.control import Control, Tell
from mimo.embedding.box import Box
from mimo.embedding.choice import chosen
from mimo.errors import Unusable
from mimo.gateway.capacity import LIMITS, Limit
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.gate import gate_before
from mimo.gateway.keys import Keyring
from mimo.gateway.rates import Rate
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.health import health
from mimo.home import Home
from mimo.keys import Keys
from mimo.observability import logs
from mimo.observability.events import Events
from mimo.observability.loop import LoopWatch
from mimo.observability.metrics import Metrics
from mimo.observability.resources import ResourceWatch, thresholds_with
from mimo.protocol.mcp.about import MIMO
from mimo.reports import Reports
from mimo.services.graph.doorstep import Doorstep as GraphDoorstep
from mimo.services.memory.moments import now_ms
from mimo.services.memory.watching import Watching
from mimo.services.memory.wiring import wired
from mimo.services.procedures.doorstep import Doorstep as ProceduresDoorstep
from mimo.services.skills.doorstep import Doorstep
from mimo.storage.database import Database
from mimo.storage.upkeep import Upkeep
from mimo.supervision import Child, Restart, Strategy, Supervisor
from mimo.tool import Call, Capacity, Client, Contents, Json, JsonObject, Resource
from mimo.transports.desk import Desk
from mimo.transports.stdio import StdioDoor
from mimo.transports.unix import UnixDoor

if TYPE_CHECKING:
    from mimo.services.skills.service import Skills as SkillsService
    from mimo.transports.http.door import HttpDoor
    from mimo.transports.websocket.door import SynapseDoor

JSON = "application/json"


@dataclass(eq=False, slots=True)
class House:
    """What the daemon needs of all this: the tree to run, and the handles by which it is stopped."""

    home: Home
    settings: Settings
    read_settings: Callable[[], Settings]
    database: Database
    events: Events
    metrics: Metrics
    unix: UnixDoor
    stdio: StdioDoor | None
    http: HttpDoor | None
    synapse: SynapseDoor | None
    sessions: Sessions
    loop_watch: LoopWatch
    resources: ResourceWatch
    skills: Doorstep
    root: Supervisor = field(init=False)
    began: float = field(default_factory=time.time)
    stop_wanted: trio.Event = field(default_factory=trio.Event)
    unusable: Unusable | None = None

    async def keep_database(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The database as a child of the tree. A file that cannot serve is no fall: trying again changes nothing."""
        try:
            await self.database.run(task_status=task_status)
        except Unusable as error:
            self.unusable = error
            self.stop_wanted.set()
            await trio.sleep_forever()

    async def keep_socket(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The door of our own programs. That it closes when we drain is no fall."""
        await self.unix.run(task_status=task_status)
        if self.sessions.draining:
            await trio.sleep_forever()

    async def keep_stdio(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The one client of a standalone daemon; it lives as long as this client."""
        assert self.stdio is not None
        await self.stdio.run(task_status=task_status)
        self.stop_wanted.set()

    async def drain(self) -> None:
        """Let nobody in, answer what is in flight, say goodbye."""
        async with trio.open_nursery() as nursery:
            if self.http is not None:
                nursery.start_soon(self.http.drain)
            if self.synapse is not None:
                nursery.start_soon(self.synapse.drain)
            await self.sessions.drain()
            nursery.start_soon(self.unix.drain)
            if self.stdio is not None:
                nursery.start_soon(self.stdio.drain)

    def idle_since(self) -> float | None:
        """When the last client of any door left, on Trio's clock; None while one is here."""
        ports = [each for each in (self.http, self.synapse) if each is not None]
        doors = [self.unix.idle_since, *(each.idle_since for each in ports)]
        here = [since for since in doors if since is not None]
        return max(here) if len(here) == len(doors) else None

    def reload(self) -> None:
        """Read the settings again. What can change while running changes; the rest counts from the next start on.

        Raises:
            Unusable: they do not fit; the old ones stay.
        """
        self.settings = self.read_settings()
        logs.configure(self.settings.log.level, self.settings.log.format)
        self.skills.reload()

    def status(self) -> dict[str, Any]:
        """The facts that `mimo status` shows."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "home": str(self.home),
            "socket": self.home.socket,
            "began": self.began,
            "doors": self.doors(),
            "tree": self.root.tree().as_json(),
            "clients": [asdict(each) for each in self.sessions.connected()],
            "database": asdict(self.database.stats()),
            "resources": self.resources.look().values(),
            "worries": dict(self.resources.worries),
            "stalls": self.loop_watch.count,
        }

    def doors(self) -> list[dict[str, Any]]:
        """Where clients come in."""
        doors: list[dict[str, Any]] = [
            {"name": "socket", "address": self.home.socket, "connections": self.unix.connections}
        ]
        if self.stdio is not None:
            doors.append({"name": "stdio", "address": "-", "connections": 1})
        for name, door in (("http", self.http), ("synapse", self.synapse)):
            if door is not None:
                doors.append(
                    {
                        "name": name,
                        "address": door.url,
                        "connections": door.connections,
                        "state": door.state,
                    }
                )
        return doors


def build(
    home: Home,
    read_settings: Callable[[], Settings],
    *,
    listening: Sequence[socket.socket],
    standalone: bool = False,
    network: bool = True,
    on_long_work: Callable[[float, str], None] = lambda seconds, doing: None,
) -> House:
    """Everything, wired and at rest. Nothing is opened before `root` runs.

    `network`: whether ports are opened where the settings leave that to how the daemon was started.
    """
    settings = read_settings()
    events, metrics = Events(on_missed=lambda count: metrics.events_missed.inc(count)), Metrics()
    metrics.info.labels(__version__, "").set(1)
    metrics.started_at.set_to_current_time()
    reports = Reports(events, metrics)

    database = Database(
        home,
        readers=settings.storage.readers,
        on_progress=lambda told: on_long_work(60, told),
        on_commit=reports.committed,
    )
    metrics.before_render(lambda: reports.measure(database.stats()))

    toolbox = Toolbox(events)
    dispatch = Dispatch(toolbox, events, metrics, limits_of(settings.limits))
    sessions = Sessions(events, metrics)
    gate = gate_before(
        dispatch,
        Rate(settings.http.rate_per_minute, settings.http.rate_burst),
        limit_owner=settings.http.limit_owner,
        overload_seconds=settings.http.overload_seconds,
    )
    desk = Desk(MIMO, toolbox, gate, sessions=sessions)

    embedding = settings.embedding
    embedder = chosen(
        embedding.provider,
        model=embedding.model,
        url=embedding.url,
        key=embedding.key.get_secret_value(),
        dim=embedding.dimension,
        batch=embedding.batch,
        on_change=reports.broken,
    )
    if embedding.provider != "box":
        metrics.breaker_state.labels(embedding.provider).set(0)
    # While a service takes over from the model in the box, that still answers for the vectors it made.
    before = () if embedding.provider == "box" else (Box(),)
    memory = wired(
        database,
        events,
        metrics,
        embedder,
        *before,
        weights=settings.search.model_dump(exclude={"threshold"}, exclude_none=True),
        threshold=settings.search.threshold,
    )
    toolbox.add(*memory.service.tools(), *memory.offers.things())
    procedures = ProceduresDoorstep(
        database, events, dispatch.call, toolbox.with_schema, os.path.join(home, "procedures")
    )
    toolbox.add(*procedures.tools())
    metrics.before_render(lambda: procedures.measure(metrics.procedure_runs))
    graph = GraphDoorstep(database, events, memory.meaning, memory.search, clock=now_ms)
    toolbox.add(*graph.tools())
    memory.search.also = graph.also
    memory.context.facts = graph.suggested

    keyring = Keyring()
    keys = Keys(database, keyring)

    def supervisor(name: str, *children: Child, strategy: Strategy = Strategy.ONE_FOR_ONE) -> Supervisor:
        return Supervisor(name, children, strategy=strategy, on_event=reports.supervised)

    person = os.path.expanduser("~")

    async def controlled(method: str, params: JsonObject, client: Client, tell: Tell) -> Json:
        return await control.answer(method, params, client, tell)  # made last: it speaks for all the others

    def healthy() -> dict[str, Any]:
        return health(database.stats(), embedder.state, house.root.tree())

    toolbox.add(status_resource(healthy))
    unix = UnixDoor(listening, desk, controlled, person)
    stdio = StdioDoor(desk, os.environ, os.getcwd(), person) if standalone else None
    http, web = None, list[Child]()
    if settings.http.enabled == "on" or (settings.http.enabled == "auto" and network):
        from mimo.network import http_door  # a web server is not worth its import to who opens no port

        http, mcp = http_door(
            settings.http,
            keyring,
            gate,
            desk,
            events,
            metrics,
            database,
            memory.controls,
            embedder,
            healthy,
        )
        web = [Child("mcp", mcp.run), Child("http", http.run, grace=5)]

    synapse = None
    if settings.synapse.enabled == "on" or (settings.synapse.enabled == "auto" and network):
        from mimo.network import synapse_door  # as above

        synapse = synapse_door(settings, keyring, gate, desk, events, metrics)
        web.append(Child("synapse", synapse.run, grace=5))

    upkeep = Upkeep(
        database,
        backup_hours=settings.storage.backup_hours,
        backups_kept=settings.storage.backups_kept,
        on_backup=reports.backed_up,
    )
    watch = ResourceWatch(
        events,
        metrics,
        {"wal_bytes": lambda: database.stats().wal_bytes, **memory.sizes},
        thresholds=thresholds_with(
            settings.skills.most, 0 if synapse is None else settings.synapse.connections
        ),
    )

    def skills_of(keeper: Supervisor) -> SkillsService:
        from mimo.skills import skills_service  # so is nothing of this to who has none

        return skills_service(
            home, settings.skills, keeper, dispatch, events, embedder, desk.updated, reports.supervised
        )

    skills = Doorstep(
        os.path.join(home, "skills.json"),
        Supervisor("skills", limit=settings.skills.most, on_event=reports.supervised),
        "mimo.skills",
        skills_of,
    )

    house = House(
        home,
        settings,
        read_settings,
        database,
        events,
        metrics,
        unix,
        stdio,
        http,
        synapse,
        sessions,
        LoopWatch(reports.stalled),
        watch,
        skills,
    )
    control = Control(
        dispatch,
        database,
        metrics,
        status=house.status,
        stop=house.stop_wanted.set,
        reload=house.reload,
        settings=lambda: house.settings,
        more={**keys.methods(), **skills.methods(), **memory.controls.methods()},
        streams={**memory.controls.streams(), **procedures.streams()},
    )

    async def tell_of_changes(*, task_status: trio.TaskStatus[None]) -> None:
        await desk.follow(events, task_status=task_status)

    doors = [Child("news", tell_of_changes), Child("socket", house.keep_socket)]
    if stdio is not None:
        doors.append(Child("stdio", house.keep_stdio, Restart.TEMPORARY))
    house.root = supervisor(
        "mimo",
        Child("database", house.keep_database, grace=15),
        supervised(
            supervisor(
                "embedding", Child("vectors", memory.meaning.run), Child("queue", memory.embedding.run)
            )
        ),
        supervised(
            supervisor(
                "workers",
                Child("use", memory.use.run),
                Child("consolidation", memory.consolidation.run),
                Child("decay", memory.fade.run),
                Child("inference", graph.run),
                Child("census", memory.census.run),
                Child("watching", Watching(database, events, desk.updated).run),
                Child("upkeep", upkeep.run),
                Child("resources", watch.run),
            )
        ),
        Child("keys", keys.run),
        Child("skills", skills.run, supervisor=skills.supervisor, grace=20),
        Child("procedures", procedures.run),
        supervised(supervisor("doors", *doors, *web)),
        strategy=Strategy.REST_FOR_ONE,
    )
    return house


def status_resource(healthy: Callable[[], Mapping[str, Any]]) -> Resource:
    """How the daemon is, for agents that look before they trust."""

    async def read(uri: str, call: Call) -> Sequence[Contents]:
        return [Contents(uri, json.dumps(healthy(), indent=1), JSON)]

    return Resource("mimo://status", "status", read, "Status", "How mimo is, part by part", JSON)


def supervised(supervisor: Supervisor) -> Child:
    """A supervisor as a child of another."""
    return Child(supervisor.name, supervisor.run, supervisor=supervisor, grace=30)


def limits_of(limits: Limits) -> dict[Capacity, Limit]:
    """The places of each class of work, as the settings have them."""
    running = limits.model_dump()
    waiting = running.pop("waiting")
    return {each: Limit(running.get(each.value, LIMITS[each].running), waiting) for each in Capacity}
