"""Engrams written: many in one transaction, and what is said again is not written twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import apsw

from mimo.errors import NotFound
from mimo.storage.engrams.engram import active_day, missing_of, record, require_namespace, supersede, tags_of
from mimo.storage.engrams.traits import keep_traits
from mimo.storage.engrams.working import make_room
from mimo.storage.sql import insert_rows, rows, run, run_many, value

# "promoted": it was working memory, and was said again without an end.
Done: TypeAlias = Literal["added", "merged", "promoted"]


class Draft(NamedTuple):
    """An engram that is to be written."""

    content: str
    content_hash: bytes
    extra: str = ""
    kind: str = "fact"
    importance: float = 0.5
    decay_rate: float = 0.0
    protected: bool = False
    tags: tuple[str, ...] = ()
    reference: str | None = None
    session: str | None = None
    position: int | None = None  # None: the next in its session
    client: str = ""
    tool: str = ""
    trust: str = "agent"
    created_at: int | None = None  # None: now
    valid_from: int | None = None
    valid_to: int | None = None
    expires_at: int | None = None  # given: working memory
    supersedes: tuple[int, ...] = ()


def add(
    db: apsw.Connection, namespace: str, drafts: Sequence[Draft], now: int, action: str
) -> list[tuple[int, Done]]:
    """Writes them all, and says what became of each: its id, and whether it is new.

    What stands there already in the same words is not written again: the new origin, tags and importance
    are its, too.

    Raises:
        NotFound: one supersedes what is not there (`details["ids"]`).
    """
    _require(db, [old for draft in drafts for old in draft.supersedes])
    require_namespace(db, namespace, now)
    day = active_day(db, now)
    known = _known(db, namespace, drafts)
    next_id = cast(
        "int", value(db, "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'engrams'")
    )
    placed = _positions(db, namespace, drafts)
    fresh: list[tuple[int, Draft]] = []
    merged: list[tuple[int, Draft]] = []
    answers: list[tuple[int, Done]] = []
    for draft in drafts:
        there = known.get(_sameness(draft))
        if there is None:
            fresh.append((next_id, draft))
            known[_sameness(draft)] = (next_id, draft.expires_at is not None)
            answers.append((next_id, "added"))
            next_id += 1
        else:
            id_, is_working = there
            merged.append((id_, draft))
            stays = is_working and draft.expires_at is None
            answers.append((id_, "promoted" if stays else "merged"))
            if stays:
                known[_sameness(draft)] = (id_, False)
    _insert(db, namespace, fresh, placed, day, now)
    _originate(db, [*fresh, *merged], placed, now)
    if merged:
        _merge(db, merged, [answer[1] for answer in answers if answer[1] != "added"], day, now, action)
    if fresh:
        run_many(
            db,
            "INSERT INTO engram_events (engram_id, action, op, at, actor) VALUES (?, ?, 'added', ?, ?)",
            [(id_, action, now, draft.client) for id_, draft in fresh],
        )
    for session in {draft.session for _, draft in fresh if draft.expires_at is not None}:
        make_room(db, namespace, session)
    for id_, draft in [*fresh, *merged]:
        for old in draft.supersedes:
            supersede(db, id_, old, now, action, draft.client)
    return answers


def _require(db: apsw.Connection, ids: Sequence[int]) -> None:
    if missing := missing_of(db, ids):
        raise NotFound(f"there is no engram {', '.join(map(str, missing))}", ids=missing)


def _known(
    db: apsw.Connection, namespace: str, drafts: Sequence[Draft]
) -> dict[tuple[bytes, int | None, int | None], tuple[int, bool]]:
    """What stands there in the same words: its id, and whether it is only working memory."""
    if len(drafts) == 1:  # as most come; a table of one takes five times as long
        found = rows(
            db,
            "SELECT content_hash, valid_from, valid_to, id, state FROM engrams WHERE content_hash = ? AND namespace = ?"
            " AND state IN ('live', 'working', 'archived') AND superseded_by IS NULL ORDER BY id DESC",
            (drafts[0].content_hash, namespace),
        )
    else:
        found = rows(
            db,
            "SELECT e.content_hash, e.valid_from, e.valid_to, e.id, e.state FROM json_each(?) AS wanted"
            " CROSS JOIN engrams AS e ON e.content_hash = unhex(wanted.value) AND e.namespace = ?"
            " WHERE e.state IN ('live', 'working', 'archived') AND e.superseded_by IS NULL ORDER BY e.id DESC",
            (json.dumps([draft.content_hash.hex() for draft in drafts]), namespace),
        )
    known: dict[tuple[bytes, int | None, int | None], tuple[int, bool]] = {}
    for hash_, valid_from, valid_to, id_, state in found:
        known[hash_, valid_from, valid_to] = (id_, state == "working")
    return known


def _sameness(draft: Draft) -> tuple[bytes, int | None, int | None]:
    """The same words that hold for another time are another memory."""
    return draft.content_hash, draft.valid_from, draft.valid_to


def _positions(db: apsw.Connection, namespace: str, drafts: Sequence[Draft]) -> dict[int, int | None]:
    """Of each draft, by its `id()`, the position in its session."""
    following: dict[str, int] = {}
    placed: dict[int, int | None] = {}
    for draft in drafts:
        if draft.session is None:
            placed[id(draft)] = None
            continue
        if draft.session not in following:
            following[draft.session] = cast(
                "int",
                value(
                    db,
                    "SELECT coalesce(max(position), -1) + 1 FROM engrams WHERE namespace = ? AND session = ?",
                    (namespace, draft.session),
                ),
            )
        position = following[draft.session] if draft.position is None else draft.position
        following[draft.session] = max(following[draft.session], position + 1)
        placed[id(draft)] = position
    return placed


def _insert(
    db: apsw.Connection,
    namespace: str,
    fresh: Sequence[tuple[int, Draft]],
    placed: dict[int, int | None],
    day: int,
    now: int,
) -> None:
    insert_rows(
        db,
        "INSERT INTO engrams (id, namespace, state, state_since, content, extra, content_hash, kind, importance,"
        " protected, session, position, client, tool, trust, created_at, stored_at, changed_at, valid_from, valid_to,"
        " expires_at, accessed_at, accessed_day, decay_rate)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                id_,
                namespace,
                "live" if draft.expires_at is None else "working",
                now,
                draft.content,
                draft.extra,
                draft.content_hash,
                draft.kind,
                draft.importance,
                draft.protected,
                draft.session,
                placed[id(draft)],
                draft.client,
                draft.tool,
                draft.trust,
                now if draft.created_at is None else draft.created_at,
                now,
                now,
                draft.valid_from,
                draft.valid_to,
                draft.expires_at,
                now,
                day,
                draft.decay_rate,
            )
            for id_, draft in fresh
        ],
    )
    keep_traits(db, [(id_, draft.content, draft.extra) for id_, draft in fresh])
    tags = [(tag, id_) for id_, draft in fresh for tag in draft.tags]
    if tags:
        run_many(db, "INSERT INTO engram_tags (tag, engram_id) VALUES (?, ?) ON CONFLICT DO NOTHING", tags)


def _originate(
    db: apsw.Connection, said: Sequence[tuple[int, Draft]], placed: dict[int, int | None], now: int
) -> None:
    run_many(
        db,
        "INSERT INTO engram_origins (engram_id, reference, client, tool, trust, session, position, created_at,"
        " stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                id_,
                draft.reference,
                draft.client,
                draft.tool,
                draft.trust,
                draft.session,
                placed[id(draft)],
                now if draft.created_at is None else draft.created_at,
                now,
            )
            for id_, draft in said
        ],
    )


def _merge(
    db: apsw.Connection,
    merged: Sequence[tuple[int, Draft]],
    ops: Sequence[str],
    day: int,
    now: int,
    action: str,
) -> None:
    """What is said again is worth as much as the more important saying, is fresh, and is back if it had faded."""
    for (id_, draft), op in zip(merged, ops, strict=True):
        state, state_since, importance, expires_at, rate = rows(
            db,
            "SELECT state, state_since, importance, expires_at, decay_rate FROM engrams WHERE id = ?",
            (id_,),
        )[0]
        before: dict[str, Any] = {}
        stays = draft.expires_at is None
        if state == "archived" or (state == "working" and stays):
            before = {"state": state, "state_since": state_since, "expires_at": expires_at}
            state, state_since, expires_at = "live", now, None
        elif state == "working" and draft.expires_at is not None and draft.expires_at > (expires_at or 0):
            before["expires_at"], expires_at = expires_at, draft.expires_at
        if draft.importance > importance:
            before |= {"importance": importance, "decay_rate": rate}
            importance, rate = draft.importance, draft.decay_rate
        run(
            db,
            "UPDATE engrams SET state = ?, state_since = ?, expires_at = ?, importance = ?, decay_rate = ?,"
            " accessed_at = ?, accessed_day = ?, access_count = access_count + 1 WHERE id = ?",
            (state, state_since, expires_at, importance, rate, now, day, id_),
        )
        new_tags = sorted(set(draft.tags) - set(tags_of(db, [id_]).get(id_, ())))
        if new_tags:
            before["tags"] = list(tags_of(db, [id_]).get(id_, ()))
            run_many(
                db, "INSERT INTO engram_tags (tag, engram_id) VALUES (?, ?)", [(tag, id_) for tag in new_tags]
            )
        record(db, id_, action, op, now, draft.client, before)
