"""memory_edit: memories corrected, forgotten and restored; what was done can be taken back, but for a purge."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from mimo.errors import InvalidArguments
from mimo.observability.events import Events
from mimo.services.memory import decay, news
from mimo.services.memory.arguments import Action, Edit
from mimo.services.memory.drafts import checked_validity, content_hash
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of, naming, number_of, numbers_of
from mimo.services.memory.secrets import redact
from mimo.services.memory.spaces import USER
from mimo.services.memory.words import extra_of
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, Changes, change, connect, purge, undo
from mimo.tool import Answer, Call

# Readers leave within a moment; then what was erased is gone from the log, too.
LOG_TRIES, LOG_PAUSE = 20, 0.1
DONE: Mapping[Action, str] = {
    "update": "updated",
    "forget": "forgot",
    "restore": "restored",
    "protect": "protected",
    "unprotect": "unprotected",
    "tag": "tagged",
    "untag": "untagged",
    "link": "linked",
    "supersede": "superseded",
    "purge": "purged",
}
UNDONE = {
    "added": "forgot",
    "merged": "unmerged",
    "promoted": "unmerged",
    "forgotten": "restored",
    "restored": "forgot again",
    "archived": "restored",
    "superseded": "put back",
}


class Editing:
    def __init__(self, database: Database, events: Events, *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._events = events
        self._clock = clock

    async def edit(self, asked: Edit, call: Call) -> Answer:
        """One action on all of the ids, or on none.

        Raises:
            InvalidArguments, NotFound: nothing was changed.
        """
        by = By(self._clock(), secrets.token_hex(8), call.client.name)
        key = asked.key or call.key
        kept = None if key is None else f"edit {asked.action} {key}"
        if asked.action == "undo":
            return await self._undo(asked, call, by, kept)
        if not asked.ids:
            raise InvalidArguments(f"{asked.action} needs ids, as memory_search shows them", fields=["ids"])
        ids = numbers_of(asked.ids)
        with naming("nothing was changed"):
            changed, redacted = await self._done(asked, ids, by, kept)
        names = [name_of(id_) for id_ in changed]
        same = [name_of(id_) for id_ in ids if id_ not in changed]
        if names:
            self._events.publish(news.Edited(asked.action, tuple(names), call.client.name))
        return _answer(asked, DONE[asked.action], names, same, redacted)

    async def _done(
        self, asked: Edit, ids: Sequence[int], by: By, key: str | None
    ) -> tuple[Sequence[int], tuple[str, ...]]:
        write = self._database.write
        if asked.action == "purge":
            return await self._purge(ids, key), ()
        if asked.action in {"link", "supersede"}:
            if asked.target is None:
                raise InvalidArguments(
                    f"{asked.action} needs a target, the id of a memory", fields=["target"]
                )
            relation = "supersedes" if asked.action == "supersede" else asked.relation
            target = number_of(asked.target)
            return await write(connect, ids, relation, target, by, key=key, frees=True), ()
        changes, op, redacted = _changes(asked)
        return await write(change, ids, changes, op, by, extra_of, key=key, frees=True), redacted

    async def _purge(self, ids: Sequence[int], key: str | None) -> list[int]:
        gone = await self._database.write(purge, ids, key=key, frees=True)
        for _ in range(LOG_TRIES):
            if await self._database.checkpoint():
                break
            await trio.sleep(LOG_PAUSE)
        return gone

    async def _undo(self, asked: Edit, call: Call, by: By, key: str | None) -> Answer:
        if asked.ids:
            raise InvalidArguments(
                "undo takes back the last change as a whole; for single ones there is restore"
            )
        spaces = [call.client.namespace, USER]
        done = await self._database.write(undo, spaces, by, key=key, frees=True)
        if not done:
            return _said(asked, "nothing to undo", {"undone": []})
        names = [name_of(id_) for id_, _ in done]
        self._events.publish(news.Edited("undo", tuple(dict.fromkeys(names)), call.client.name))
        lines = [
            f"{UNDONE.get(op, 'as before')} {name} (it was {op})"
            for name, (_, op) in zip(names, done, strict=True)
        ]
        return _said(
            asked, "\n".join(lines), {"undone": [{"id": name_of(id_), "was": op} for id_, op in done]}
        )


def _changes(asked: Edit) -> tuple[Changes, str, tuple[str, ...]]:
    """What is to be different, what the history calls it, and the secrets that were taken out."""
    match asked.action:
        case "forget":
            return Changes(state="forgotten"), "forgotten", ()
        case "restore":
            return Changes(state="live"), "restored", ()
        case "protect" | "unprotect":
            return Changes(protected=asked.action == "protect"), f"{asked.action}ed", ()
        case "tag" | "untag":
            if not asked.tags:
                raise InvalidArguments(f"{asked.action} needs tags", fields=["tags"])
            tags = frozenset(asked.tags)
            return (
                (Changes(more_tags=tags) if asked.action == "tag" else Changes(fewer_tags=tags)),
                "tagged",
                (),
            )
        case _:
            return _update(asked)


def _update(asked: Edit) -> tuple[Changes, str, tuple[str, ...]]:
    valid_from, valid_to = checked_validity(asked.valid_from, asked.valid_to)
    clean = None if asked.content is None else redact(asked.content)
    changes = Changes(
        content=None if clean is None else clean.text,
        content_hash=None if clean is None else content_hash(clean.text),
        kind=asked.kind,
        importance=None if asked.importance is None else float(asked.importance),
        decay_rate=None if asked.importance is None else decay.rate(asked.importance),
        protected=asked.protected,
        valid_from=valid_from,
        valid_to=valid_to,
        tags=None if asked.tags is None else frozenset(asked.tags),
    )
    if changes == Changes():
        raise InvalidArguments(
            "nothing to change: give content, kind, importance, tags, protected or valid_from/_to"
        )
    return changes, "updated", clean.found if clean is not None else ()


def _answer(
    asked: Edit, done: str, changed: Sequence[str], same: Sequence[str], redacted: Sequence[str]
) -> Answer:
    lines: list[str] = []
    if changed:
        lines.append(f"{done} {', '.join(changed)}")
    if same:
        lines.append(f"{', '.join(same)} {'was' if len(same) == 1 else 'were'} so already")
    if asked.action == "forget" and changed:
        lines.append('It can be taken back: action="undo".')
    if asked.action == "purge":
        lines.append("Nothing of it is left in the database; backups keep it until they are replaced.")
    if redacted:
        lines.append(f"(redacted: {', '.join(dict.fromkeys(redacted))})")
    return _said(
        asked, "\n".join(lines), {"action": asked.action, "changed": list(changed), "unchanged": list(same)}
    )


def _said(asked: Edit, text: str, data: dict[str, Any]) -> Answer:
    if asked.format == "json":
        return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
    return Answer.text(text)
