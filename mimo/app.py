"""The composition root: every object of the house, built in order by calling constructors, and the tree that keeps them.

Whoever wants to know how mimo hangs together reads this page.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import trio

from mimo import __version__
from mimo.choices import Limits, Settings
from mimo.control import Control, Tell
from mimo.gateway.capacity import LIMITS, Limit
from mimo.gateway.dispatch import Dispatch
from mimo.gateway.gate import gate_before
from mimo.gateway.keys import Keyring
from mimo.gateway.rates import Rate
from mimo.gateway.sessions import Sessions
from mimo.gateway.toolbox import Toolbox
from mimo.health import health, status_resource
from mimo.home import Home
from mimo.house import House
from mimo.keys import Keys
from mimo.observability import logs
from mimo.observability.events import Events
from mimo.observability.loop import LoopWatch
from mimo.observability.metrics import Metrics
from mimo.observability.resources import ResourceWatch, thresholds_with
from mimo.protocol.mcp.about import MIMO
from mimo.protocol.origin import is_loopback
from mimo.reports import Reports
from mimo.rooms import rooms_of
from mimo.services.memory.watching import Watching
from mimo.services.skills.doorstep import Doorstep
from mimo.storage.database import Database
from mimo.storage.upkeep import Upkeep
from mimo.supervision import Child, Restart, Strategy, Supervisor
from mimo.tool import Capacity, Client, Json, JsonObject
from mimo.transports.desk import Desk
from mimo.transports.stdio import StdioDoor
from mimo.transports.unix import UnixDoor
from mimo.vector import kernels

if TYPE_CHECKING:
    from mimo.network import Answers
    from mimo.services.skills.service import Skills as SkillsService


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
    metrics.info.labels(__version__, kernels()).set(1)
    metrics.started_at.set_to_current_time()
    reports = Reports(events, metrics)

    database = Database(
        home,
        readers=settings.storage.readers,
        on_progress=lambda told: on_long_work(60, told),
        on_commit=reports.committed,
        on_checkpoint=reports.checkpointed,
        on_read=reports.read,
    )
    metrics.before_render(lambda: reports.measure(database.stats(), logs.lines_lost()))

    toolbox = Toolbox(events)
    dispatch = Dispatch(toolbox, events, metrics, limits_of(settings.limits))
    sessions = Sessions(events, metrics)
    gate = gate_before(
        dispatch,
        Rate(settings.http.rate_per_minute, settings.http.rate_burst),
        limit_owner=settings.http.limit_owner or reached_from_outside(settings),
        overload_seconds=settings.http.overload_seconds,
    )
    desk = Desk(MIMO, toolbox, gate, sessions=sessions)

    rooms = rooms_of(home, settings, database, events, metrics, reports, toolbox, dispatch)
    embedder, memory, procedures, graph = rooms.embedder, rooms.memory, rooms.procedures, rooms.graph

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

    @cache
    def answers() -> Answers:
        from mimo.network import answers  # as below

        return answers(settings, gate, database, graph.names_in, reports.broken)

    if settings.http.enabled == "on" or (settings.http.enabled == "auto" and network):
        from mimo.network import http_door  # a web server is not worth its import to who opens no port

        http, mcp = http_door(
            settings,
            keyring,
            gate,
            desk,
            events,
            metrics,
            database,
            memory.controls,
            embedder,
            answers(),
            healthy,
        )
        web = [Child("mcp", mcp.run), Child("http", http.run, grace=5)]

    synapse = None
    if settings.synapse.enabled == "on" or (settings.synapse.enabled == "auto" and network):
        from mimo.network import synapse_door  # as above

        synapse = synapse_door(settings, keyring, gate, desk, events, metrics, answers().asking)
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
            home,
            settings.skills,
            keeper,
            dispatch,
            events,
            embedder,
            desk.updated,
            desk.watched,
            reports.supervised,
        )

    skills = Doorstep(
        os.path.join(home, "skills.json"),
        Supervisor("skills", limit=settings.skills.most, on_event=reports.supervised),
        "mimo.skills",
        skills_of,
    )

    desk.on_watch = skills.watch_again

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
        memory.progress.as_json,
        procedures.refused,
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
                "embedding",
                Child("vectors", memory.read_vectors),
                Child("questions", memory.questions.run),
                Child("queue", memory.embedding.run),
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


def require_safe_ports(settings: Settings) -> None:
    """For who was started by hand and can be told. Raises: Unusable: a door could never be opened so."""
    if settings.http.enabled == settings.synapse.enabled == "off":
        return
    from mimo.network import http_address, synapse_address  # as above

    for section, address in ((settings.http, http_address), (settings.synapse, synapse_address)):
        if section.enabled != "off":
            address(settings).check()


def reached_from_outside(settings: Settings) -> bool:
    """Whether the owner's key, too, may come from another machine, and is limited like every other."""
    hosts = [each.host for each in (settings.http, settings.synapse) if each.enabled != "off"]
    return settings.http.behind_proxy or not all(is_loopback(host) for host in hosts)


def supervised(supervisor: Supervisor) -> Child:
    """A supervisor as a child of another."""
    return Child(supervisor.name, supervisor.run, supervisor=supervisor, grace=30)


def limits_of(limits: Limits) -> dict[Capacity, Limit]:
    """The places of each class of work, as the settings have them."""
    running = limits.model_dump()
    waiting = running.pop("waiting")
    return {each: Limit(running.get(each.value, LIMITS[each].running), waiting) for each in Capacity}
