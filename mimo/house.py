"""The daemon's handles on the house that app.py builds: the tree to run, and how it is drained, reloaded and shown."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from mimo import __version__
from mimo.choices import Settings
from mimo.errors import Unusable
from mimo.gateway.sessions import Sessions
from mimo.home import Home
from mimo.observability import logs
from mimo.observability.events import Events
from mimo.observability.loop import LoopWatch
from mimo.observability.metrics import Metrics
from mimo.observability.resources import ResourceWatch
from mimo.services.skills.doorstep import Doorstep as SkillsDoorstep
from mimo.storage.database import Database
from mimo.supervision import Supervisor
from mimo.transports.stdio import StdioDoor
from mimo.transports.unix import UnixDoor

if TYPE_CHECKING:
    from mimo.transports.http.door import HttpDoor
    from mimo.transports.websocket.door import SynapseDoor


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
    skills: SkillsDoorstep
    embedding: Callable[[], Mapping[str, Any]]
    refused_procedures: Callable[[], Mapping[str, str]]  # files that define none, and why
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
            "embedding": dict(self.embedding()),
            "procedures": {"refused": dict(self.refused_procedures())},
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
