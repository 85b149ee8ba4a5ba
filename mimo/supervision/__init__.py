"""The nursery tree: long-lived tasks that are started in order, restarted when they fall, stopped in reverse.

- `child`: what is supervised (`Child`), what its ending means (`Restart`), who shares its fate
  (`Strategy`), how long to wait before trying again (`Backoff`)
- `supervisor`: `Supervisor`, which is such a task itself, so that supervisors nest
- `tree`: the live view (`Branch`) for status, metrics and tests
- `events`: what a supervisor tells whoever listens
- `endings`: `TooManyRestarts`, and how an ending is told
- `place`: where one child stands at the moment (the supervisor's own book-keeping)

Semantics from OTP, mechanism from Trio. What is not here: threads, processes, a registry of
names, and any knowledge of what the children do.
"""

from mimo.supervision.child import Backoff, Child, Restart, Strategy
from mimo.supervision.endings import TooManyRestarts
from mimo.supervision.events import (
    Ended,
    GaveUp,
    Refused,
    Restarting,
    Started,
    Stuck,
    SupervisionEvent,
)
from mimo.supervision.supervisor import Supervisor
from mimo.supervision.tree import Branch, State

__all__ = [
    "Backoff",
    "Branch",
    "Child",
    "Ended",
    "GaveUp",
    "Refused",
    "Restart",
    "Restarting",
    "Started",
    "State",
    "Strategy",
    "Stuck",
    "SupervisionEvent",
    "Supervisor",
    "TooManyRestarts",
]
