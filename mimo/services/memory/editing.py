"""memory_edit: memories corrected, forgotten and restored; what was done can be taken back, but for a purge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import trio

from mimo.errors import Conflict, InvalidArguments
from mimo.observability.events import Events
from mimo.services.memory import decay, news
from mimo.services.memory.actions import PERSON, action_of, mark_of
from mimo.services.memory.arguments import Action, Edit
from mimo.services.memory.drafts import checked_validity, content_hash
from mimo.services.memory.moments import now_ms
from mimo.services.memory.names import name_of, naming, number_of, numbers_of
from mimo.services.memory.secrets import redact
from mimo.services.memory.spaces import EVERYWHERE, USER
from mimo.services.memory.words import extra_of
from mimo.storage.answers import Key
from mimo.storage.database import Database
from mimo.storage.engrams.changes import By, Changes, Outcome, change, connect, purge, undo
from mimo.storage.engrams.engram import spaces_of
from mimo.tool import Answer, Call, Client

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
    "reinstated": "replaced again",
}
OVER = "its time as working memory is over; to have it all the same, protect it, then restore it"
NOTHING = (
    "nothing to undo: you have changed nothing here, or have taken it back."
    " What was forgotten comes back by its id"
)

_Done: TypeAlias = Sequence[tuple[int, Outcome]]


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
        by = By(self._clock(), action_of(call.client), call.client.name)
        key = asked.key or call.key
        kept = None if key is None else _kept(asked, call.client, key)
        if asked.action == "undo":
            return await self._undo(asked, call, by, kept)
        if asked.namespace is not None:
            raise InvalidArguments(
                "namespace goes with undo; ids name memories wherever they are", fields=["namespace"]
            )
        if not asked.ids:
            raise InvalidArguments(f"{asked.action} needs ids, as memory_search shows them", fields=["ids"])
        ids = numbers_of(asked.ids)
        with naming("nothing was changed"):
            done, redacted = await self._done(asked, ids, by, kept)
        changed = [id_ for id_, outcome in done if outcome in {"changed", "stays"}]
        if changed:
            self._events.publish(news.Edited(asked.action, tuple(map(name_of, changed)), call.client.name))
        way_back = await self._way_back(changed, call.client) if asked.action == "forget" and changed else ""
        return _answer(asked, done, way_back, redacted)

    async def _done(
        self, asked: Edit, ids: Sequence[int], by: By, key: Key | None
    ) -> tuple[_Done, tuple[str, ...]]:
        write = self._database.write
        if asked.action == "purge":
            return [(id_, "changed") for id_ in await self._purge(ids, key)], ()
        if asked.action in {"link", "supersede"}:
            if asked.target is None:
                raise InvalidArguments(
                    f"{asked.action} needs a target, the id of a memory", fields=["target"]
                )
            relation = "supersedes" if asked.action == "supersede" else asked.relation
            target = number_of(asked.target)
            if target in ids:
                cannot = "replace itself" if relation == "supersedes" else "be linked to itself"
                raise InvalidArguments(f"{name_of(target)} cannot {cannot}", fields=["ids", "target"])
            return await write(connect, ids, relation, target, by, key=key, frees=True), ()
        changes, op, redacted = _changes(asked)
        return await write(change, ids, changes, op, by, extra_of, key=key, frees=True), redacted

    async def _purge(self, ids: Sequence[int], key: Key | None) -> list[int]:
        gone = await self._database.write(purge, ids, key=key, frees=True)
        for _ in range(LOG_TRIES):
            if await self._database.checkpoint():
                break
            await trio.sleep(LOG_PAUSE)
        return gone

    async def _way_back(self, ids: Sequence[int], client: Client) -> str:
        """What to call so that this is taken back, whatever is done elsewhere in the meantime."""
        if client.name == PERSON:
            return "mimo undo"
        spaces = await self._database.read(spaces_of, ids)
        if not spaces or {client.namespace, USER}.intersection(spaces):
            return 'action="undo".'
        return f'action="undo" namespace="{spaces[0]}".'

    async def _undo(self, asked: Edit, call: Call, by: By, key: Key | None) -> Answer:
        if asked.ids:
            raise InvalidArguments(
                "undo takes back the last change as a whole; for single ones there is restore"
            )
        space = asked.namespace
        spaces = None if space is None or space == EVERYWHERE else [space]
        try:
            done = await self._database.write(undo, mark_of(call.client), spaces, by, key=key, frees=True)
        except Conflict as error:
            if "op" in error.details:
                raise _changed_since(error) from error
            raise
        if not done:
            by_id = "mimo undo ID" if call.client.name == PERSON else 'action="restore"'
            return _said(asked, f"{NOTHING}: {by_id}.", {"undone": []})
        names = tuple(dict.fromkeys(name_of(id_) for id_, _, _ in done))
        self._events.publish(news.Edited("undo", names, call.client.name))
        return _said(
            asked,
            "\n".join(_undone(*each) for each in done),
            {
                "undone": [
                    {"id": name_of(id_), "was": op, **({"over": True} if outcome == "over" else {})}
                    for id_, op, outcome in done
                ]
            },
        )


def _kept(asked: Edit, client: Client, key: str) -> Key:
    whose = mark_of(client) if asked.action == "undo" else ""
    told = asked.model_dump(mode="json", exclude_defaults=True, exclude={"key", "format"})
    return Key.of(f"edit {key}", whose, told, shown=key)


def _changed_since(error: Conflict) -> Conflict:
    said: Any = error.details
    name = name_of(said["id"])
    return Conflict(
        f"{name} was changed since by {said['actor']} ({said['op']}), which undo would take back, too; nothing was"
        " changed. Change it by its id: update, forget or restore",
        id=name,
    )


def _undone(id_: int, op: str, outcome: Outcome) -> str:
    if outcome == "over":
        return f"{name_of(id_)} is forgotten now (it was {op}): {OVER}"
    return f"{UNDONE.get(op, 'as before')} {name_of(id_)} (it was {op})"


def _changes(asked: Edit) -> tuple[Changes, str, tuple[str, ...]]:
    """What is to be different, what the history calls it, and the secrets that were taken out."""
    match asked.action:
        case "forget":
            return Changes(state="forgotten"), "forgotten", ()
        case "restore":
            return Changes(back=True), "restored", ()
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


def _answer(asked: Edit, done: _Done, way_back: str, redacted: Sequence[str]) -> Answer:
    named = {name_of(id_): outcome for id_, outcome in done}
    changed = [name for name, outcome in named.items() if outcome in {"changed", "stays"}]
    same = [name for name, outcome in named.items() if outcome == "same"]
    lines: list[str] = []
    if changed:
        lines.append(f"{DONE[asked.action]} {', '.join(changed)}")
    if same:
        lines.append(f"{', '.join(same)} {'was' if len(same) == 1 else 'were'} so already")
    for name, outcome in named.items():
        if outcome == "stays":
            lines.append(f"{name} was working memory, and stays from now on.")
        elif outcome == "again":
            lines.append(f"{name} stands again: what had replaced it came to be replaced by it.")
        elif outcome == "over":
            lines.append(f"{name} was not brought back: {OVER}")
    if way_back:
        lines.append(f"It can be taken back: {way_back}")
    if asked.action == "purge":
        lines.append("Nothing of it is left in the database; backups keep it until they are replaced.")
    if redacted:
        lines.append(f"(redacted: {', '.join(dict.fromkeys(redacted))})")
    data: dict[str, Any] = {"action": asked.action, "changed": changed, "unchanged": same}
    if over := [name for name, outcome in named.items() if outcome == "over"]:
        data["over"] = over
    return _said(asked, "\n".join(lines), data)


def _said(asked: Edit, text: str, data: dict[str, Any]) -> Answer:
    if asked.format == "json":
        return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
    return Answer.text(text)
