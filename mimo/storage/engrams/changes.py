"""Engrams changed: each change says in the engram's history what was before, and so can be taken back.

One call is one `action`; it is undone as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, cast

import apsw

from mimo.errors import Conflict, NotFound
from mimo.storage.engrams.engram import State, active_day, link, missing_of, record, supersede, tags_of
from mimo.storage.engrams.traits import keep_traits
from mimo.storage.sql import rows, run, run_many, value

# What the index knows of an engram besides its text: made of its text and its tags.
Retell: TypeAlias = Callable[[str, Sequence[str]], str]


# What became of an engram. "stays": it was working memory, and is no longer. "again": what it had come to be replaced
# by is replaced by it. "over": it was not brought back, for its time as working memory is over.
Outcome: TypeAlias = Literal["changed", "same", "stays", "again", "over"]


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
    back: bool = False  # what was archived or forgotten is there again, as what it was
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
) -> list[tuple[int, Outcome]]:
    """What became of each. What is protected is working memory no longer.

    Raises:
        NotFound: one is not there; nothing is changed.
    """
    require(db, ids)
    return [(id_, _change(db, id_, changes, op, by, retell)) for id_ in ids]


def archive(db: apsw.Connection, ids: Sequence[int], by: By, retell: Retell) -> list[int]:
    """Those of the ids that are live still, and out of search from now on."""
    live = rows(
        db,
        "SELECT id FROM engrams WHERE id IN (SELECT value FROM json_each(?)) AND state = 'live'",
        (json.dumps(list(ids)),),
    )
    changes = Changes(state="archived")
    return [row[0] for row in live if _change(db, row[0], changes, "archived", by, retell) != "same"]


def promote(db: apsw.Connection, id_: int, by: By, retell: Retell) -> bool:
    """Whether it was working memory, and stays from now on."""
    if value(db, "SELECT state FROM engrams WHERE id = ?", (id_,)) != "working":
        return False
    return _change(db, id_, Changes(state="live"), "promoted", by, retell) != "same"


def connect(
    db: apsw.Connection, ids: Sequence[int], relation: str, target: int, by: By
) -> list[tuple[int, Outcome]]:
    """Links each to the target; what became of each. "supersedes" turns around: the target takes their place, and is
    "again" told of if it had come to be replaced by one of them.

    Raises:
        NotFound: one is not there; nothing is changed.
    """
    require(db, [*ids, target])
    done: list[tuple[int, Outcome]] = []
    for id_ in ids:
        is_new = False
        if relation == "supersedes":
            is_new = supersede(db, target, id_, by.now, by.action, by.actor)
        elif id_ != target and link(db, id_, relation, target, by.now):
            record(db, id_, by.action, "linked", by.now, by.actor, {"linked": [[id_, relation, target]]})
            is_new = True
        done.append((id_, "changed" if is_new else "same"))
    if value(db, "SELECT 1 FROM engram_events WHERE action = ? AND op = 'reinstated' LIMIT 1", (by.action,)):
        done.append((target, "again"))
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


def last_action(db: apsw.Connection, caller: str, namespaces: Sequence[str] | None) -> str | None:
    """The last of the actions whose names begin with `caller` that changed something there, and was not taken back."""
    listed = None if namespaces is None else json.dumps(list(namespaces))
    return cast(
        "str | None",
        value(
            db,
            "SELECT h.action FROM engram_events h CROSS JOIN engrams e ON e.id = h.engram_id"
            " WHERE h.action >= ?1 AND h.action < ?1 || 'g' AND h.undone = 0 AND h.op <> 'undone'"
            " AND (?2 IS NULL OR e.namespace IN (SELECT value FROM json_each(?2))) ORDER BY h.action DESC LIMIT 1",
            (caller, listed),
        ),
    )


def undo(
    db: apsw.Connection, caller: str, namespaces: Sequence[str] | None, by: By
) -> list[tuple[int, str, Outcome]]:
    """Takes back the last action of `caller` there: of each engram its id, what was taken back, and what became of it.

    Raises:
        Conflict: somebody has changed one of them since (`details`: id, actor and op); nothing is changed.
    """
    action = last_action(db, caller, namespaces)
    if action is None:
        return []
    events = rows(
        db,
        "SELECT id, engram_id, op, at, before FROM engram_events WHERE action = ? AND undone = 0 ORDER BY id DESC",
        (action,),
    )
    done: list[tuple[int, str, Outcome]] = []
    for event, engram, op, at, before in events:
        _require_unchanged(db, engram, event, action)
        outcome = _put_back(db, engram, op, at, json.loads(before) if before else {}, by)
        run(db, "UPDATE engram_events SET undone = 1 WHERE id = ?", (event,))
        record(db, engram, by.action, "undone", by.now, by.actor)
        done.append((engram, op, outcome))
    return done


def _require_unchanged(db: apsw.Connection, id_: int, event: int, action: str) -> None:
    """What mimo did by itself since is nobody's word."""
    since = rows(
        db,
        "SELECT actor, op FROM engram_events WHERE engram_id = ? AND id > ? AND action <> ? AND undone = 0"
        " AND actor <> '' AND op <> 'undone' ORDER BY id DESC LIMIT 1",
        (id_, event, action),
    )
    for actor, op in since:
        raise Conflict(f"engram {id_} was changed since by {actor} ({op})", id=id_, actor=actor, op=op)


def _change(db: apsw.Connection, id_: int, changes: Changes, op: str, by: By, retell: Retell) -> Outcome:
    *plain, content, extra, hash_ = rows(db, _CURRENT, (id_,))[0]
    old = dict(zip(_COLUMNS, plain, strict=True))
    new = old | {
        field.name: getattr(changes, field.name)
        for field in fields(Changes)
        if field.name in _PLAIN and getattr(changes, field.name) is not None
    }
    if changes.back and old["state"] not in {"live", "working"}:
        new["state"] = "live"
        if old["expires_at"] is not None and not old["protected"]:
            if old["expires_at"] <= by.now:
                return "over"
            new["state"] = "working"
    stays = bool(changes.protected) and old["state"] == "working"
    if stays:
        new["state"] = "live"
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
    return "same" if not before else "stays" if stays else "changed"


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


def _put_back(db: apsw.Connection, id_: int, op: str, at: int, before: dict[str, Any], by: By) -> Outcome:
    *plain, _content, _extra, _hash = rows(db, _CURRENT, (id_,))[0]
    old = dict(zip(_COLUMNS, plain, strict=True))
    new = old | {name: before[name] for name in _COLUMNS if name in before}
    if new["superseded_by"] is not None and missing_of(db, [new["superseded_by"]]):
        new |= {"superseded_by": None}  # it was purged since
    if op == "added":
        new |= {"state": "forgotten"}
    # The next round would erase it: so it can still be had, by who protects it.
    over = "state" in before and new["state"] == "working" and (new["expires_at"] or 0) <= by.now
    if over:
        new |= {"state": "forgotten", "state_since": old["state_since"]}
    if new["state"] != old["state"] and (over or "state_since" not in before):
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
    for from_id, relation, to_id in before.get("unlinked", ()):
        if not missing_of(db, [from_id]):
            link(db, from_id, relation, to_id, by.now)
    if op in {"merged", "promoted"}:  # the saying that it was merged with
        run(
            db,
            "DELETE FROM engram_origins WHERE id ="
            " (SELECT max(id) FROM engram_origins WHERE engram_id = ? AND stored_at = ?)"
            " AND (SELECT count(*) FROM engram_origins WHERE engram_id = ?) > 1",
            (id_, at, id_),
        )
    return "over" if over else "changed"
