"""Vectors beside their engrams, and the queue of those that wait for one.

A vector is stored, and its engram taken out of the queue, in one transaction. So whatever dies in
between, the queue says exactly what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import apsw

from mimo.storage.connection import CACHE_KIB
from mimo.storage.sql import rows, run, run_many, value

# Where rows come in portions, CROSS JOIN keeps the vectors first: told that one model has all of a million, SQLite
# would rather begin with the engrams, and sort all that are left for every portion.

# So often a text is refused, over half an hour, before a model takes over without it.
HOPELESS = 5

# So many rows stay in the processor's cache while they are taken in, and so many portions have one snapshot.
PORTION, PORTIONS = 512, 16
PASSING_KIB = 256


class Waiting(NamedTuple):
    """A text without a vector."""

    id: int
    content: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Model:
    id: int
    name: str
    dim: int


class Stored(NamedTuple):
    """A vector as it lies in its table, and the number of its namespace."""

    id: int
    blob: bytes
    namespace: int


class StoredVectors(NamedTuple):
    """Many of them: at a start there are as many as there are memories, too many for an object each."""

    ids: Sequence[int]
    blobs: Sequence[bytes]
    namespaces: Sequence[int]


def waiting(db: apsw.Connection, now: int, limit: int, first: Sequence[int] = ()) -> list[Waiting]:
    """Those of `first` that still wait, then the newest: what was just said is what is asked for next."""
    found: list[tuple[int, str, bytes]] = []
    if first:
        found = rows(
            db,
            "SELECT q.engram_id, e.content, e.content_hash FROM json_each(?) AS wanted"
            " CROSS JOIN embedding_queue q ON q.engram_id = wanted.value JOIN engrams e ON e.id = q.engram_id"
            " WHERE q.not_until <= ? LIMIT ?",
            (json.dumps(list(first)), now, limit),
        )
    found += rows(
        db,
        "SELECT q.engram_id, e.content, e.content_hash FROM embedding_queue q JOIN engrams e ON e.id = q.engram_id"
        " WHERE q.not_until <= ? ORDER BY q.engram_id DESC LIMIT ?",
        (now, limit),
    )
    return [Waiting(*row) for row in dict.fromkeys(found)][:limit]


def count_waiting(db: apsw.Connection) -> int:
    """What is still expected to get a vector soon."""
    return cast("int", value(db, "SELECT count(*) FROM embedding_queue WHERE failures < ?", (HOPELESS,)))


class Queue(NamedTuple):
    """How many wait for their first try, how many were refused, and when the next of these is tried again."""

    waiting: int
    set_aside: int
    next_try: int | None


def queue(db: apsw.Connection, now: int) -> Queue:
    found = rows(
        db,
        "SELECT count(*) FILTER (WHERE failures = 0), count(*) FILTER (WHERE failures > 0),"
        " min(not_until) FILTER (WHERE not_until > ?) FROM embedding_queue",
        (now,),
    )
    return Queue(*found[0])


def set_aside(db: apsw.Connection, refused: Waiting, now: int, first: int, longest: int) -> int:
    """This text cannot be embedded, and must not hold up the others: when it is tried again, later each time.

    Who follows the changes is told, for the last one that a new model waited for may be this one. A text that was
    reworded meanwhile is another, and not to blame.
    """
    found = rows(
        db,
        "UPDATE embedding_queue SET failures = failures + 1, not_until = ? + min(?, ? << min(failures, 20))"
        " WHERE engram_id = (SELECT id FROM engrams WHERE id = ? AND content_hash = ?) RETURNING not_until",
        (now, longest, first, refused.id, refused.content_hash),
    )
    if not found:
        return now
    run(db, "INSERT INTO change (kind, id, op) VALUES ('vector', ?, 'update')", (refused.id,))
    return cast("int", found[0][0])


def try_all_again(db: apsw.Connection) -> None:
    """What was refused need not wait: the embedder may be another one."""
    run(db, "UPDATE embedding_queue SET not_until = 0 WHERE not_until > 0")


def store_vectors(db: apsw.Connection, model: str, dim: int, made: Sequence[tuple[Waiting, bytes]]) -> int:
    """Keeps the vectors of texts that are still the same; how many those are.

    What was reworded meanwhile stays in the queue, what was erased is let go.
    """
    number = model_number(db, model, dim)
    same = {
        id_
        for id_, hash_ in rows(
            db,
            "SELECT id, content_hash FROM engrams WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([each.id for each, _ in made]),),
        )
        if any(each.id == id_ and each.content_hash == hash_ for each, _ in made)
    }
    kept = [(each.id, number, dim, blob) for each, blob in made if each.id in same]
    run_many(
        db,
        "INSERT INTO engram_vectors (engram_id, model, dim, vector) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (model, engram_id) DO UPDATE SET vector = excluded.vector, dim = excluded.dim",
        kept,
    )
    run_many(db, "DELETE FROM embedding_queue WHERE engram_id = ?", [(row[0],) for row in kept])
    return len(kept)


def model_number(db: apsw.Connection, name: str, dim: int) -> int:
    """The number of a model, which from now on is known."""
    run(db, "INSERT INTO embedding_models (name, dim) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, dim))
    return cast("int", value(db, "SELECT id FROM embedding_models WHERE name = ?", (name,)))


def models(db: apsw.Connection) -> list[Model]:
    """Those that have vectors here."""
    return [
        Model(*row)
        for row in rows(
            db,
            "SELECT id, name, dim FROM embedding_models m"
            " WHERE EXISTS (SELECT 1 FROM engram_vectors v WHERE v.model = m.id) ORDER BY id",
        )
    ]


def vectors_after(
    db: apsw.Connection, model: int, after: int, take: Callable[[StoredVectors], object]
) -> int | None:
    """Gives `take` some portions of all that can be found, in the order of ids. Up to where; None behind the last."""
    # Nobody reads these pages again. To keep thousands and give them back at the end takes a quarter of all the time.
    run(db, f"PRAGMA cache_size = -{PASSING_KIB}")
    try:
        for _ in range(PORTIONS):
            found = rows(
                db,
                "SELECT v.engram_id, v.vector, n.id FROM engram_vectors v CROSS JOIN engrams e ON e.id = v.engram_id"
                " CROSS JOIN namespaces n ON n.name = e.namespace"
                " WHERE v.model = ? AND v.engram_id > ? AND e.state IN ('live', 'working')"
                " ORDER BY v.engram_id LIMIT ?",
                (model, after, PORTION),
            )
            if not found:
                return None
            stored = StoredVectors(*zip(*found, strict=True))
            take(stored)
            after = stored.ids[-1]
        return after
    finally:
        run(db, f"PRAGMA cache_size = -{CACHE_KIB}")


def vectors_of(db: apsw.Connection, model: int, ids: Sequence[int]) -> list[Stored]:
    """Those of the ids that can be found and have a vector."""
    found = rows(
        db,
        "SELECT v.engram_id, v.vector, n.id FROM json_each(?) AS wanted"
        " JOIN engram_vectors v ON v.model = ? AND v.engram_id = wanted.value"
        " JOIN engrams e ON e.id = v.engram_id JOIN namespaces n ON n.name = e.namespace"
        " WHERE e.state IN ('live', 'working')",
        (json.dumps(list(ids)), model),
    )
    return [Stored(*row) for row in found]


def blobs_of(db: apsw.Connection, model: str, ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """The vectors of this model that these ids have."""
    return rows(
        db,
        "SELECT v.engram_id, v.vector FROM embedding_models m CROSS JOIN json_each(?) AS wanted"
        " CROSS JOIN engram_vectors v ON v.model = m.id AND v.engram_id = wanted.value WHERE m.name = ?",
        (json.dumps(list(ids)), model),
    )


def samples(db: apsw.Connection, model: int, limit: int) -> list[tuple[str, bytes]]:
    """The newest texts that have vectors of this model, with these."""
    found = rows(
        db,
        "SELECT e.content, v.vector FROM engram_vectors v CROSS JOIN engrams e ON e.id = v.engram_id"
        " WHERE v.model = ? ORDER BY v.engram_id DESC LIMIT ?",
        (model, limit),
    )
    return [(text, blob) for text, blob in found]


def queue_what_lacks(db: apsw.Connection, model: str) -> int:
    """Every engram without a vector of this model waits for one from now on; how many had not waited before."""
    run(
        db,
        "INSERT INTO embedding_queue (engram_id) SELECT e.id FROM engrams e WHERE e.state IN ('live', 'working')"
        " AND NOT EXISTS (SELECT 1 FROM engram_vectors v WHERE v.engram_id = e.id"
        " AND v.model = (SELECT id FROM embedding_models WHERE name = ?)) ON CONFLICT DO NOTHING",
        (model,),
    )
    return db.changes()


def drop_vectors(db: apsw.Connection, keep: str, limit: int) -> int:
    """Removes up to `limit` vectors of other models than this one; how many it were."""
    run(
        db,
        "DELETE FROM engram_vectors WHERE (model, engram_id) IN (SELECT v.model, v.engram_id FROM embedding_models m"
        " JOIN engram_vectors v ON v.model = m.id WHERE m.name <> ? LIMIT ?)",
        (keep, limit),
    )
    return db.changes()


class Comparable(NamedTuple):
    """A live engram with its vector, as it is compared with older ones."""

    id: int
    content: str
    blob: bytes
    namespace_number: int


def vector_of(db: apsw.Connection, model: str, id_: int) -> bytes | None:
    return cast(
        "bytes | None",
        value(
            db,
            "SELECT vector FROM engram_vectors WHERE engram_id = ?"
            " AND model = (SELECT id FROM embedding_models WHERE name = ?)",
            (id_, model),
        ),
    )


def comparable(db: apsw.Connection, model: str, after: int, limit: int) -> list[Comparable]:
    """A portion of what has a vector of this model, in the order of ids."""
    found = rows(
        db,
        "SELECT e.id, e.content, v.vector, n.id FROM engram_vectors v CROSS JOIN engrams e ON e.id = v.engram_id"
        " CROSS JOIN namespaces n ON n.name = e.namespace"
        " WHERE v.model = (SELECT id FROM embedding_models WHERE name = ?) AND v.engram_id > ?"
        " AND e.state = 'live' AND e.superseded_by IS NULL ORDER BY v.engram_id LIMIT ?",
        (model, after, limit),
    )
    return [Comparable(*row) for row in found]


def texts_of(db: apsw.Connection, ids: Sequence[int]) -> list[tuple[int, str]]:
    """The texts of those that are live, the oldest first."""
    found = rows(
        db,
        "SELECT id, content FROM engrams WHERE id IN (SELECT value FROM json_each(?)) AND state = 'live'"
        " AND superseded_by IS NULL ORDER BY id",
        (json.dumps(list(ids)),),
    )
    return [(id_, text) for id_, text in found]


def newest_id(db: apsw.Connection) -> int:
    return cast("int", value(db, "SELECT coalesce(max(id), 0) FROM engrams"))
