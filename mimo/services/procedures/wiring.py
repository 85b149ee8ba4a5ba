"""How the parts of procedures hang together: built in order, and handed to the house as a tool and children."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from mimo.observability.events import Events
from mimo.services.procedures.calling import CallTool, Find
from mimo.services.procedures.clock import Clock
from mimo.services.procedures.controls import Controls
from mimo.services.procedures.folder import EVERY, Folder
from mimo.services.procedures.queueing import patient
from mimo.services.procedures.registry import Registry
from mimo.services.procedures.runner import PLACES, Runner
from mimo.services.procedures.service import Procedures
from mimo.services.procedures.starting import Starting
from mimo.storage.database import Database


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """`service` is what agents see, `controls` are for our own programs; `runner` and `folder` are children of the tree."""

    service: Procedures
    controls: Controls
    registry: Registry
    runner: Runner
    folder: Folder


def wired(
    database: Database,
    events: Events,
    call: CallTool,
    find: Find,
    folder: str,
    *,
    clock: Callable[[], int] | None = None,
    places: int = PLACES,
    chance: Callable[[], float] = random.random,
    look_every: float = EVERY,
) -> Wired:
    """At rest. `call` runs a tool as the house runs every call; `find` gives a tool and the schema of its arguments.

    `folder` holds definitions as files; it need not be there.
    """
    clock = clock or Clock()
    registry = Registry(database, events, find, clock=clock)
    runner = Runner(
        database, registry, events, patient(call), find, clock=clock, places=places, chance=chance
    )
    starting = Starting(database, registry, runner, clock=clock)
    service = Procedures(database, registry, starting, runner)
    return Wired(
        service=service,
        controls=Controls(database, service, runner),
        registry=registry,
        runner=runner,
        folder=Folder(folder, registry, events, database, clock=clock, every=look_every),
    )
