"""Keys of the network doors, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw

from mimo.storage.sql import rows, run, value

_COLUMNS = "id, name, digest, scopes, created_at, revoked_at"


@dataclass(frozen=True, slots=True)
class StoredKey:
    id: str
    name: str
    digest: bytes
    scopes: frozenset[str]
    created_at: int  # milliseconds since 1970
    revoked_at: int | None = None


def add_key(db: apsw.Connection, key: StoredKey) -> bool:
    """False when a key of this name is in use."""
    if value(db, "SELECT 1 FROM api_key WHERE name = ? AND revoked_at IS NULL", (key.name,)):
        return False
    run(
        db,
        "INSERT INTO api_key (id, name, digest, scopes, created_at) VALUES (?, ?, ?, ?, ?)",
        (key.id, key.name, key.digest, " ".join(sorted(key.scopes)), key.created_at),
    )
    return True


def all_keys(db: apsw.Connection) -> list[StoredKey]:
    """The revoked ones too, in the order in which they were made."""
    return [_key(row) for row in rows(db, f"SELECT {_COLUMNS} FROM api_key ORDER BY created_at, id")]  # noqa: S608 (our own words)


def revoke_key(db: apsw.Connection, name_or_id: str, at: int) -> StoredKey | None:
    """The key that opens nothing any more; None when there is none of this name or id in use."""
    found = rows(
        db,
        f"SELECT {_COLUMNS} FROM api_key WHERE revoked_at IS NULL AND (name = ?1 OR id = ?1)"  # noqa: S608
        " ORDER BY id = ?1 DESC LIMIT 1",
        (name_or_id,),
    )
    if not found:
        return None
    run(db, "UPDATE api_key SET revoked_at = ? WHERE id = ?", (at, found[0][0]))
    return _key((*found[0][:5], at))


def _key(row: tuple[Any, ...]) -> StoredKey:
    id_, name, digest, scopes, created_at, revoked_at = row
    return StoredKey(id_, name, bytes(digest), frozenset(scopes.split()), created_at, revoked_at)
