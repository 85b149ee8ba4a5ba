"""Other MCP servers, wired into the house. Imported when there are any."""

from __future__ import annotations

from collections.abc import Callable, Set

from mimo.choices import Skills as Choices
from mimo.embedding.embedder import Embedder
from mimo.gateway.dispatch import Dispatch
from mimo.home import Home
from mimo.observability.events import Events
from mimo.services.skills.service import Skills
from mimo.services.skills.skill import Patience
from mimo.supervision import SupervisionEvent, Supervisor


def skills_service(
    home: Home,
    choices: Choices,
    supervisor: Supervisor,
    dispatch: Dispatch,
    events: Events,
    embedder: Embedder,
    updated: Callable[[str], None],
    watched: Callable[[], Set[str]],
    supervised: Callable[[SupervisionEvent], None],
) -> Skills:
    """At rest. Its tools go into the dispatch's toolbox; `updated` is told of resources that changed, `watched` gives those that matter to a client."""
    return Skills(
        home,
        supervisor,
        dispatch.toolbox,
        events,
        dispatch.call,
        patience=Patience(choices.timeout_seconds, choices.start_seconds, choices.idle_minutes * 60),
        result_cap=choices.result_chars,
        updated=updated,
        watched=watched,
        supervised=supervised,
        embedder=embedder,
    )
