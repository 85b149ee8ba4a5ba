"""Idempotency: what each key was answered, written in the transaction that it answers for.

Whoever does not know whether a write was done (the reply was lost, the caller was cancelled, COMMIT
failed) asks with the key: the row is there exactly when the effect is.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import apsw

from mimo.errors import Conflict, InvalidArguments
from mimo.storage.sql import rows, run

KEPT_DAYS = 7
LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key, and a digest of what is done under it; without one it is whatever was done."""

    text: str
    asked: str = ""
    shown: str = ""  # as its caller knows it

    @staticmethod
    def of(text: str, *asked: object, shown: str = "") -> Key:
        """`asked` is JSON: what makes one call another."""
        told = json.dumps(asked, sort_keys=True, separators=(",", ":"))
        return Key(text, hashlib.sha256(told.encode()).hexdigest()[:32], shown)


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer that a key was given."""

    result: Any


def check_key(key: str) -> None:
    """Raises `InvalidArguments` for a key that cannot be kept."""
    if not 1 <= len(key) <= LONGEST_KEY:
        raise InvalidArguments(f"an idempotency key has 1..{LONGEST_KEY} characters (got {len(key)})")
    if not key.isprintable():  # a lone surrogate would fail in the middle of a transaction
        raise InvalidArguments("an idempotency key has printable characters only")


def answer_to(db: apsw.Connection, key: Key) -> Answered | None:
    """What `key` was answered, or None if nothing was ever done under it.

    Raises:
        Conflict: something else was.
    """
    for asked, result in rows(db, "SELECT asked, result FROM answer WHERE key = ?", (key.text,)):
        if key.asked and asked and asked != key.asked:
            raise Conflict(
                f"key {(key.shown or key.text)!r} was used for something else: nothing was done; take a new key"
            )
        return Answered(json.loads(result))
    return None


def keep_answer(db: apsw.Connection, key: Key, result: object) -> Any:
    """Keeps `result`, and gives it back as every later call will: tuples have become lists.

    Raises:
        TypeError: `result` is not JSON.
    """
    text = json.dumps(result, ensure_ascii=True, separators=(",", ":"))
    run(
        db,
        "INSERT INTO answer (key, asked, result, at) VALUES (?, ?, ?, ?)",
        (key.text, key.asked, text, time.time_ns() // 1_000_000),
    )
    return json.loads(text)


def sweep_answers(
    db: apsw.Connection, *, days: float = KEPT_DAYS, limit: int = 1_000, now: float | None = None
) -> int:
    """Removes up to `limit` keys older than `days`; how many it were."""
    before = int(((time.time() if now is None else now) - days * 86_400) * 1000)
    run(
        db,
        "DELETE FROM answer WHERE key IN (SELECT key FROM answer WHERE at < ? ORDER BY at LIMIT ?)",
        (before, limit),
    )
    return db.changes()
