"""What may happen to a run, and what is to be done about it. Values only; engine.py says which follows from which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from mimo.record import record
from mimo.services.procedures.runs import Run, Trouble


@record
class Began:
    """The run is new."""


@record
class Granted:
    """There is a place for it."""


@record
class Finished:
    step: int
    attempt: int
    result: Any = None


@record
class Failed:
    step: int
    attempt: int
    trouble: Trouble


@record
class TimePassed:
    """Something may be due."""


@record
class Signalled:
    """An event from outside. Sent again under the same key it is the same one, and befalls nothing."""

    event: str
    data: Any = None
    key: str = ""


@record
class Pause:
    """Begin nothing more; what is under way goes on. `held`: its parent was paused, and goes on with it."""

    held: bool = False


@record
class Resume:
    pass


@record
class Interrupt:
    """Stop at once. `rollback`: and take back what was done."""

    rollback: bool = False


@record
class Again:
    """Try once more: what is stuck, or from this state on."""

    state: str | None = None


@record
class Recovered:
    """mimo has begun again; what was in flight has no one who waits for it."""


@record
class Overgrown:
    """What happened would have made it larger than it may be."""

    message: str


Happening: TypeAlias = (
    Began | Granted | Finished | Failed | TimePassed | Signalled | Pause | Resume | Interrupt | Again | Recovered
    | Overgrown
)  # fmt: skip


@record
class Act:
    """Call this tool, under this key."""

    step: int
    attempt: int
    key: str
    tool: str
    arguments: Mapping[str, Any]


@record
class Bear:
    """See that this child runs, if it does not yet, and tell when it has ended."""

    step: int
    attempt: int
    procedure: str
    version: str | None
    input: Mapping[str, Any]


@record
class Stop:
    """Nobody waits for this step's call, or its child, any more. `rollback`: nor ever will."""

    step: int
    attempt: int
    rollback: bool = False


@record
class Hold:
    """This step's child is to begin nothing more until its parent goes on."""

    step: int
    attempt: int


Intent: TypeAlias = Act | Bear | Stop | Hold


@record
class Entry:
    """A line of the run's history."""

    number: int
    kind: str
    state: str = ""
    step: int = 0
    attempt: int = 0
    detail: Any = None


@record
class Advanced:
    """The next run, what its history says of how it came to be, and what is to be done once that is saved."""

    run: Run
    entries: tuple[Entry, ...]
    intents: tuple[Intent, ...]
    said: str = ""  # to whoever made it happen
    context: str | None = None  # as it is to be written, where it has changed
    text: str = ""  # of everything else in the run
