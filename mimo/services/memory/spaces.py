"""Which namespaces a call is about: what it says, else the client's project and what is about the person."""

from __future__ import annotations

import difflib

from mimo.errors import InvalidArguments, NotFound
from mimo.services.memory.drafts import refuse_secret
from mimo.storage.database import Database
from mimo.storage.engrams.engram import namespaces
from mimo.tool import Client

USER = "user"
EVERYWHERE = "*"


def readable(said: str | None, client: Client) -> tuple[str, ...] | None:
    """Where to look; None is everywhere."""
    if said is None:
        return tuple(dict.fromkeys([client.namespace, USER]))
    return None if said == EVERYWHERE else (said,)


async def require_said(database: Database, said: str | None, client: Client) -> None:
    """Raises `NotFound` where a caller names a namespace in which nothing was ever stored."""
    if said is not None and said not in {EVERYWHERE, USER, client.namespace}:
        await require(database, said)


async def require(database: Database, name: str) -> None:
    """Raises `NotFound` unless something was stored there before."""
    known = await database.read(namespaces)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known[:8]) or 'none yet'}"
    raise NotFound(f"no namespace {name[:60]!r}; {hint}", namespace=name[:200])


def writable(said: str | None, client: Client) -> str:
    """Where to write. A namespace begins with what is stored in it.

    Raises:
        InvalidArguments: it is no place that a thing can be in, or its name holds a secret.
    """
    if said is None:
        return client.namespace
    if said == EVERYWHERE:
        raise InvalidArguments(
            f'namespace "*" is every one, and a memory is in one; leave it out for {client.namespace!r},'
            f" or say {USER!r} for what is about the person",
            fields=["namespace"],
        )
    refuse_secret(said, "namespace")
    return said
