"""Is mimo well? From what its parts say of themselves; nothing is tried out, so it may be asked often."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mimo import __version__
from mimo.embedding.embedder import State as EmbedderState
from mimo.storage.database import Stats
from mimo.supervision.tree import Branch, State
from mimo.tool import Call, Contents, Resource

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
JSON = "application/json"


def health(database: Stats, embedder: EmbedderState, tree: Branch) -> dict[str, Any]:
    """Unhealthy: nothing can be remembered or found. Degraded: something is missing, and the rest works."""
    down = [path for path, branch in tree.walk() if not _is_well(branch)]
    checks = {
        "writer": "down" if not database.open else "full" if database.full else "ok",
        "readers": "ok" if database.open else "down",
        "embedder": "down" if embedder is EmbedderState.DOWN else "ok",
        "tree": "ok" if not down else f"not running: {', '.join(sorted(down))}",
    }
    if not database.open:
        status = UNHEALTHY
    else:
        status = HEALTHY if all(each == "ok" for each in checks.values()) else DEGRADED
    return {"status": status, "version": __version__, "checks": checks}


def status_resource(healthy: Callable[[], Mapping[str, Any]]) -> Resource:
    """How the daemon is, for agents that look before they trust."""

    async def read(uri: str, call: Call) -> Sequence[Contents]:
        return [Contents(uri, json.dumps(healthy(), indent=1), JSON)]

    return Resource("mimo://status", "status", read, "Status", "How mimo is, part by part", JSON)


def _is_well(branch: Branch) -> bool:
    """One that has ended without an error was not meant to stay."""
    return branch.state is State.RUNNING or (branch.state is State.ENDED and branch.last_error is None)
