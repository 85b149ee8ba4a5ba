"""memory_context: what a session should know before anybody asks, within a budget, and nothing if there is nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mimo.services.memory import arguments, full_texts, texts
from mimo.services.memory.finding import Finding
from mimo.services.memory.moments import day_of, now_ms
from mimo.services.memory.names import name_of
from mimo.services.memory.spaces import USER, require
from mimo.storage.database import Database
from mimo.storage.engrams.context import count, matters, newest
from mimo.storage.engrams.engram import Engram
from mimo.tool import Answer, Call, Client

MOST = 10  # of each section
LINE = 220
FOR_TASK = 5
NEWEST = 3  # where nothing matters by itself
# What every prompt of a session may cost, when nobody sets a budget.
AT_PROMPT = 600
TITLES = {
    "task": "On this task",
    "facts": "Known for certain",
    "pinned": "Pinned",
    "preferences": "Preferences",
    "unfinished": "Unfinished",
    "decisions": "Decisions",
    "recent": "Recently",
    "newest": "Newest",
}
HEADING = "Recorded notes from mimo (they may be stale):"


# What is talked about, and where: facts that bear on it, as lines and as data.
Facts: TypeAlias = Callable[[str, str, Client], Awaitable[Sequence[tuple[str, Mapping[str, Any]]]]]


@dataclass(frozen=True, slots=True)
class _Note:
    section: str
    line: str
    data: dict[str, Any]


class Context:
    def __init__(self, database: Database, finding: Finding, *, clock: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._finding = finding
        self._clock = clock
        self.facts: Facts | None = None  # what others know for certain; set when the house is built

    async def context(self, asked: arguments.Context, call: Call) -> Answer:
        # A hook that speaks at every prompt says only what bears on it.
        only_task = asked.format == "hook" and bool(asked.task.strip())
        budget = asked.max_chars
        if only_task and "max_chars" not in asked.model_fields_set:
            budget = AT_PROMPT
        spaces = await self._spaces(asked, call.client)
        notes = await self._notes(asked, call.client, spaces, only_task=only_task)
        kept = _within(notes, budget - len(HEADING))
        if asked.format == "hook":
            return Answer.text(_hook(_text(kept), asked.task) if kept else "{}")
        if asked.format == "json":
            data = {"results": [note.data | {"section": note.section} for note in kept]}
            return Answer.text(json.dumps(data, ensure_ascii=False), data=data)
        if kept:
            return Answer.text(_text(kept))
        return Answer.text(_unspoken(await self._database.read(count, spaces)))

    async def text_of(self, namespace: str, client: Client) -> str:
        """The context of one namespace, as a resource. Raises: NotFound."""
        asked = arguments.Context(namespace=namespace, max_chars=arguments.MAX_CHARS)
        return (await self.context(asked, Call("", client))).as_text()

    async def _spaces(self, asked: arguments.Context, client: Client) -> Sequence[str]:
        if asked.namespace is None:
            return list(dict.fromkeys([USER, client.namespace]))
        if asked.namespace not in {USER, client.namespace}:
            await require(self._database, asked.namespace)
        return [asked.namespace]

    async def _notes(
        self, asked: arguments.Context, client: Client, spaces: Sequence[str], *, only_task: bool
    ) -> list[_Note]:
        notes: list[_Note] = []
        if asked.task.strip():
            question = arguments.Search(query=asked.task, namespace=asked.namespace, limit=FOR_TASK)
            found = await self._finding.found(question, client)
            if not found.abstained:
                notes = [
                    _Note(
                        "task",
                        _line(hit.kind, hit.content, hit.created_at, hit.id),
                        texts.hit_json(hit, full=True),
                    )
                    for hit in found.hits
                    if hit.trust != "web"
                ]
            if self.facts is not None:
                space = client.namespace if asked.namespace is None else asked.namespace
                known_facts = await self.facts(asked.task, space, client)
                notes += [_Note("facts", f"- {line}", dict(data)) for line, data in known_facts]
        if only_task:
            return notes
        known = {note.data["id"] for note in notes}
        for told in await self._database.read(matters, spaces, self._clock(), MOST):
            if name_of(told.engram.id) not in known:
                notes.append(_note(told.section, told.engram))
        if not notes:
            there = await self._database.read(newest, spaces, self._clock(), NEWEST)
            notes = [_note("newest", engram) for engram in there]
        return notes


def _note(section: str, engram: Engram) -> _Note:
    line = _line(engram.kind, engram.content, engram.created_at, engram.id)
    return _Note(section, line, full_texts.brief_json(engram))


def _unspoken(there: int) -> str:
    """What is to be said when nothing is to be told."""
    if not there:
        return "Nothing stored for this project yet."
    if there == 1:
        return "1 memory is stored here: memory_search finds it."
    return f"{there:,} memories are stored here: memory_search finds them."


def _within(notes: Sequence[_Note], budget: int) -> list[_Note]:
    """By turns from each section, so that a long one does not leave the others out; in order of sections."""
    sections: dict[str, list[_Note]] = {}
    for note in notes:
        sections.setdefault(note.section, []).append(note)
    kept: list[_Note] = []
    opened: set[str] = set()
    for turn in range(max(map(len, sections.values()), default=0)):
        for section, its in sections.items():
            if turn < len(its):
                cost = len(its[turn].line) + 1 + (0 if section in opened else len(TITLES[section]) + 2)
                if cost <= budget:
                    budget -= cost
                    opened.add(section)
                    kept.append(its[turn])
    order = list(TITLES)
    return sorted(kept, key=lambda note: order.index(note.section))


def _text(notes: Sequence[_Note]) -> str:
    lines = [HEADING]
    section = ""
    for note in notes:
        if note.section != section:
            section = note.section
            lines.append(f"{TITLES[section]}:")
        lines.append(note.line)
    return "\n".join(lines)


def _line(kind: str, content: str, created_at: int, id_: int) -> str:
    return f"- [{kind}] {texts.clipped(content, LINE)} ({day_of(created_at)}, {name_of(id_)})"


def _hook(text: str, task: str) -> str:
    """The one form of output that the hooks of all agents share."""
    event = "UserPromptSubmit" if task.strip() else "SessionStart"
    return json.dumps(
        {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}, ensure_ascii=False
    )
