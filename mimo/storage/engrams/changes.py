"""Engrams changed: each change says in the engram's history what was before, and so can be taken back.

One call is one `action`; it is undone as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast

import apsw

from mimo.errors import NotFound
from mimo.storage.engrams.engram import State, active_day, link, missing_of, record, supersede, tags_of
from mimo.storage.engrams.traits import keep_traits
from mimo.storage.sql import rows, run, run_many, value

# What the index knows of an engram besides its text: made of its text and its tags.
Retell: TypeAlias = Callable[[str, Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class By:
    """Who changes, when, and in which call."""

    now: int
    action: str
    actor: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different. None is as before."""

    content: str | None = None
    content_hash: bytes | None = None
    kind: str | None = None
    importance: float | None = None
    decay_rate: float | None = None
    protected: bool | None = None
    valid_from: int | None = None
    valid_to: int | None = None
    state: State | None = None
    tags: frozenset[str] | None = None  # instead of those there are
    more_tags: frozenset[str] = frozenset()
    fewer_tags: frozenset[str] = frozenset()


_PLAIN = ("kind", "importance", "decay_rate", "protected", "valid_from", "valid_to", "state")
# What a history keeps, and `undo` puts back, in the order of the statement below.
_COLUMNS = (*_PLAIN, "state_since", "expires_at", "superseded_by")
_CURRENT = (
    "SELECT kind, importance, decay_rate, protected, valid_from, valid_to, state, state_since, expires_at,"
    " superseded_by, content, extra, content_hash FROM engrams WHERE id = ?"
)
_UPDATE = (
    "UPDATE engrams SET kind = ?, importance = ?, decay_rate = ?, protected = ?, valid_from = ?, valid_to = ?,"
    " state = ?, state_since = ?, expires_at = ?, superseded_by = ?, changed_at = ? WHERE id = ?"
)
_REWORD = "UPDATE engrams SET content = ?, extra = ?, content_hash = ?, changed_at = ? WHERE id = ?"


def require(db: apsw.Connection, ids: Sequence[int]) -> None:
    """Raises: NotFound: some are not there (`details["ids"]`)."""
    if missing := missing_of(db, ids):
        raise NotFound(f"there is no engram {', '.join(map(str, missing))}", ids=missing)


def change(
    db: apsw.Connection, ids: Sequence[int], changes: Changes, op: str, by: By, retell: Retell
) -> list[int]:
    """Those of the ids for which this changed something.

    Raises:
        NotFound: one is not there; nothing is changed.
    """
    require(db, ids)
    return [id_ for id_ in ids if _change(db, id_, changes, op, by, retell)]


def archive(db: apsw.Connection, ids: Sequence[int], by: By, retell: Retell) -> list[int]:
    """Those of the ids that are live still, and out of search from now on."""
    live = rows(
        db,
        "SELECT id FROM engrams WHERE id IN (SELECT value FROM json_each(?)) AND state = 'live'",
        (json.dumps(list(ids)),),
    )
    changes = Changes(state="archived")
    return [row[0] for row in live if _change(db, row[0], changes, "archived", by, retell)]


def promote(db: apsw.Connection, id_: int, by: By, retell: Retell) -> bool:
    """Whether it was working memory, and stays from now on."""
    if value(db, "SELECT state FROM engrams WHERE id = ?", (id_,)) != "working":
        return False
    return _change(db, id_, Changes(state="live"), "promoted", by, retell)


def connect(db: apsw.Connection, ids: Sequence[int], relation: str, target: int, by: By) -> list[int]:
    """Links each to the target; those whose link is new. "supersedes" turns around: the target takes their place.

    Raises:
        NotFound: one is not there; nothing is changed.
    """
    require(db, [*ids, target])
    done: list[int] = []
    for id_ in ids:
        if id_ == target:
            continue
        if relation == "supersedes":
            if supersede(db, target, id_, by.now, by.action, by.actor):
                done.append(id_)
        elif link(db, id_, relation, target, by.now):
            record(db, id_, by.action, "linked", by.now, by.actor, {"linked": [[id_, relation, target]]})
            done.append(id_)
    return done


def absorb(db: apsw.Connection, duplicate: int, into: int, by: By) -> bool:
    """What `duplicate` knows of its origins goes over; it leaves search, and stays readable by its id.

    False if one of them is no longer what it was taken for.
    """
    states = dict(
        rows(
            db,
            "SELECT id, state FROM engrams WHERE id IN (?, ?) AND state IN ('live', 'working')"
            " AND superseded_by IS NULL",
            (duplicate, into),
        )
    )
    if states.get(duplicate) != "live" or states.get(into) != "live":
        return False
    run(
        db,
        "INSERT INTO engram_origins (engram_id, reference, client, tool, trust, session, position, created_at,"
        " stored_at) SELECT ?, reference, client, tool, trust, session, position, created_at, stored_at"
        " FROM engram_origins WHERE engram_id = ? ORDER BY id",
        (into, duplicate),
    )
    run(
        db,
        "UPDATE engrams SET importance = max(engrams.importance, d.importance),"
        " decay_rate = min(engrams.decay_rate, d.decay_rate), access_count = engrams.access_count + d.access_count"
        " FROM (SELECT importance, decay_rate, access_count FROM engrams WHERE id = ?) AS d WHERE id = ?",
        (duplicate, into),
    )
    link(db, duplicate, "merged_into", into, by.now)
    run(
        db,
        "UPDATE engrams SET state = 'forgotten', state_since = ?, superseded_by = ?, changed_at = ? WHERE id = ?",
        (by.now, into, by.now, duplicate),
    )
    record(db, duplicate, by.action, "absorbed", by.now, by.actor, {"state": "live", "superseded_by": None})
    record(db, into, by.action, "merged", by.now, by.actor)
    return True


def purge(db: apsw.Connection, ids: Sequence[int]) -> list[int]:
    """Erases them with all that hangs on them, and what was merged into them. The ids that are gone.

    Raises:
        NotFound: one is not there; nothing is changed.
    """
    require(db, ids)
    listed = json.dumps(list(ids))
    merged = rows(
        db,
        "SELECT from_id FROM engram_links WHERE to_id IN (SELECT value FROM json_each(?))"
        " AND relation = 'merged_into'",
        (listed,),
    )
    gone = list(dict.fromkeys([*ids, *(row[0] for row in merged)]))
    run_many(db, "DELETE FROM engrams WHERE id = ?", [(id_,) for id_ in gone])
    return gone


def last_action(db: apsw.Connection, namespaces: Sequence[str] | None) -> str | None:
    """The newest thing that somebody did there, and nobody has taken back."""
    listed = None if namespaces is None else json.dumps(list(namespaces))
    return cast(
        "str | None",
        value(
            db,
            "SELECT h.action FROM engram_events h CROSS JOIN engrams e ON e.id = h.engram_id"
            " WHERE h.undone = 0 AND h.actor <> '' AND h.op <> 'undone'"
            " AND (?1 IS NULL OR e.namespace IN (SELECT value FROM json_each(?1))) ORDER BY h.id DESC LIMIT 1",
            (listed,),
        ),
    )


def undo(db: apsw.Connection, namespaces: Sequence[str] | None, by: By) -> list[list[Any]]:
    """Takes back the newest action there: of each engram its id and what was taken back. Plain JSON."""
    action = last_action(db, namespaces)
    if action is None:
        return []
    events = rows(
        db,
        "SELECT id, engram_id, op, at, before FROM engram_events WHERE action = ? AND undone = 0 ORDER BY id DESC",
        (action,),
    )
    done: list[list[Any]] = []
    for event, engram, op, at, before in events:
        _put_back(db, engram, op, at, json.loads(before) if before else {}, by)
        run(db, "UPDATE engram_events SET undone = 1 WHERE id = ?", (event,))
        record(db, engram, by.action, "undone", by.now, by.actor)
        done.append([engram, op])
    return done


def _change(db: apsw.Connection, id_: int, changes: Changes, op: str, by: By, retell: Retell) -> bool:
    *plain, content, extra, hash_ = rows(db, _CURRENT, (id_,))[0]
    old = dict(zip(_COLUMNS, plain, strict=True))
    new = old | {
        field.name: getattr(changes, field.name)
        for field in fields(Changes)
        if field.name in _PLAIN and getattr(changes, field.name) is not None
    }
    if new["state"] != old["state"]:
        new |= {"state_since": by.now}
        if new["state"] == "live":
            # Back again, and not to fade or to run out at once.
            new |= {"expires_at": None}
            if _unmerge(db, id_):
                new |= {"superseded_by": None}
            day = active_day(db, by.now)
            run(db, "UPDATE engrams SET accessed_at = ?, accessed_day = ? WHERE id = ?", (by.now, day, id_))
    before: dict[str, Any] = {name: old[name] for name in _COLUMNS if new[name] != old[name]}
    if before:
        run(db, _UPDATE, (*(new[name] for name in _COLUMNS), by.now, id_))
    tags = set(tags_of(db, [id_]).get(id_, ()))
    wanted = (tags if changes.tags is None else set(changes.tags)) | changes.more_tags
    wanted -= changes.fewer_tags
    if wanted != tags:
        before["tags"] = sorted(tags)
        _set_tags(db, id_, wanted)
    reworded = content if changes.content is None else changes.content
    retold = retell(reworded, sorted(wanted))
    if reworded != content or (wanted != tags and retold != extra):
        before |= {"content": content, "extra": extra, "content_hash": hash_.hex()}
        _reword(db, id_, reworded, retold, changes.content_hash or hash_, by.now)
    if before:
        record(db, id_, by.action, op, by.now, by.actor, before)
    return bool(before)


def _unmerge(db: apsw.Connection, id_: int) -> bool:
    """Whether it had been merged into another, which it is no longer."""
    run(db, "DELETE FROM engram_links WHERE from_id = ? AND relation = 'merged_into'", (id_,))
    return bool(db.changes())


def _reword(db: apsw.Connection, id_: int, content: str, extra: str, hash_: bytes, now: int) -> None:
    run(db, _REWORD, (content, extra, hash_, now, id_))
    keep_traits(db, [(id_, content, extra)])


def _set_tags(db: apsw.Connection, id_: int, tags: Iterable[str]) -> None:
    run(db, "DELETE FROM engram_tags WHERE engram_id = ?", (id_,))
    run_many(
        db, "INSERT INTO engram_tags (tag, engram_id) VALUES (?, ?)", [(tag, id_) for tag in sorted(tags)]
    )


def _put_back(db: apsw.Connection, id_: int, op: str, at: int, before: dict[str, Any], by: By) -> None:
    *plain, _content, _extra, _hash = rows(db, _CURRENT, (id_,))[0]
    old = dict(zip(_COLUMNS, plain, strict=True))
    new = old | {name: before[name] for name in _COLUMNS if name in before}
    if op == "added":
        new |= {"state": "forgotten"}
    if new["state"] != old["state"] and "state_since" not in before:
        new |= {"state_since": by.now}
    if new != old:
        run(db, _UPDATE, (*(new[name] for name in _COLUMNS), by.now, id_))
    if "tags" in before:
        _set_tags(db, id_, before["tags"])
    if "content" in before:
        _reword(db, id_, before["content"], before["extra"], bytes.fromhex(before["content_hash"]), by.now)
    for from_id, relation, to_id in before.get("linked", ()):
        run(
            db,
            "DELETE FROM engram_links WHERE from_id = ? AND relation = ? AND to_id = ?",
            (from_id, relation, to_id),
        )
    if op in {"merged", "promoted"}:  # the saying that it was merged with
        run(
            db,
            "DELETE FROM engram_origins WHERE id ="
            " (SELECT max(id) FROM engram_origins WHERE engram_id = ? AND stored_at = ?)"
            " AND (SELECT count(*) FROM engram_origins WHERE engram_id = ?) > 1",
            (id_, at, id_),
        )
