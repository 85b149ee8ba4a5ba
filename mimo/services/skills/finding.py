"""gateway_find_tools and gateway_call: all tools of all skills, for the price of two in an agent's context."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import trio
from pydantic import Field, WithJsonSchema

from mimo.errors import NotFound
from mimo.services.skills.meaning import Meaning, fused
from mimo.tool import Answer, Arguments, Call, Capacity, JsonObject, Tool

log = logging.getLogger(__name__)

NAMES = ("gateway_find_tools", "gateway_call")
# What worked in a project is kept for so many tools of it, and written at most so often.
MOST_USED, MOST_PROJECTS = 200, 500
SAVE_EVERY = 60.0
LONGEST_DESCRIPTION = 300
# Where a word was found says how much it means.
IN_NAME, IN_SKILL, IN_TITLE, IN_TEXT, IN_ARGUMENTS = 4.0, 2.0, 2.0, 1.0, 0.5
_WORD = re.compile(r"[a-z0-9]+|[^\W\d_a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SILENT = frozenset("a an and by for from in into is it my of on or the this to what which with".split())


class Find(Arguments):
    """Use when no tool at hand fits the task: finds tools of connected servers (files, git, web, ...) by what they do.
    Call them with gateway_call; a tool's exact name as query shows its full schema."""

    query: str = Field(max_length=500)
    limit: int = Field(6, ge=1, le=50)


class CallFound(Arguments):
    """Use when gateway_find_tools has named a tool: calls it."""

    name: str = Field(max_length=128)
    arguments: Annotated[dict[str, Any], WithJsonSchema({"type": "object"})] = Field(
        default_factory=dict[str, Any]
    )


class Calling(Protocol):
    async def __call__(self, name: str, arguments: object, call: Call, /) -> Answer: ...


class Offered(Protocol):
    def add(self, *things: Tool, owner: str = "") -> None: ...
    def remove(self, *names: str, owner: str = "") -> None: ...
    def find(self, name: str) -> Tool: ...
    def schema(self, tool: Tool) -> JsonObject: ...
    def tools(self) -> Sequence[Tool]: ...


class Finding:
    def __init__(
        self, offered: Offered, call: Calling, path: Path, hints: Mapping[str, str], meaning: Meaning | None
    ) -> None:
        """`hints` says of a tool, by its name, what a person should know before it is trusted."""
        self._meaning = meaning
        self._offered = offered
        self._call = call
        self._path = path
        self._hints = hints
        self._used: dict[str, Counter[str]] = _read(path)
        self._dirty = False
        self._saved_at = -math.inf
        self._shown = False

    def offer(self, wanted: bool) -> None:
        """Have these two in the list, or not."""
        if wanted and not self._shown:
            self._offered.add(*self.tools())
        elif self._shown and not wanted:
            self._offered.remove(*NAMES)
        self._shown = wanted

    def worked(self, namespace: str, tool: str) -> None:
        """This tool was of use in this project."""
        counts = self._used.get(namespace)
        if counts is None:
            counts = self._used[namespace] = Counter()
        counts[tool] += 1
        if len(counts) > MOST_USED:
            self._used[namespace] = Counter(dict(counts.most_common(MOST_USED // 2)))
        if len(self._used) > MOST_PROJECTS:
            del self._used[next(iter(self._used))]
        self._dirty = True

    async def save(self, *, now: bool = False) -> None:
        """Write down what worked, if that is due."""
        if not self._dirty or (not now and trio.current_time() < self._saved_at + SAVE_EVERY):
            return
        self._dirty, self._saved_at = False, trio.current_time()
        text = json.dumps(self._used)
        try:
            await trio.to_thread.run_sync(_write, self._path, text)
        except OSError as error:
            log.warning("which tools worked could not be kept: %s", error)

    async def find(self, asked: Find, call: Call) -> Answer:
        await trio.lowlevel.checkpoint()
        tools = [tool for tool in self._offered.tools() if "mimo/skill" in tool.meta]
        exact = next((tool for tool in tools if tool.name == asked.query.strip()), None)
        if exact is not None:
            return Answer.text(self._whole(exact))
        used = self._used.get(call.client.namespace, Counter[str]())
        ranked = rank(asked.query, tools, used)
        if self._meaning is not None and tools and asked.query.strip():
            ranked = fused(ranked, await self._meaning.nearest(asked.query, tools))
        if not ranked:
            return Answer.text(_overview(asked.query, tools))
        lines = [self._line(tool) for tool in ranked[: asked.limit]]
        if len(ranked) > asked.limit:
            lines.append(f"({len(ranked)} fit; narrow the query, or raise limit)")
        return Answer.text("\n".join(lines))

    async def call(self, asked: CallFound, call: Call) -> Answer:
        if asked.name in NAMES or "mimo/skill" not in self._offered.find(asked.name).meta:
            raise NotFound(f"{asked.name} is no tool of a skill; call it directly")
        return await self._call(asked.name, asked.arguments, call)

    def _line(self, tool: Tool) -> str:
        text = " ".join(tool.description.split())
        if len(text) > LONGEST_DESCRIPTION:
            text = text[: LONGEST_DESCRIPTION - 1] + "…"
        hint = f" ({self._hints[tool.name]})" if tool.name in self._hints else ""
        return f"- **{tool.name}**: {text}{hint}\n  {_arguments(self._offered.schema(tool))}"

    def _whole(self, tool: Tool) -> str:
        hint = f"\n({self._hints[tool.name]})" if tool.name in self._hints else ""
        schema = json.dumps(self._offered.schema(tool), ensure_ascii=False)
        return f"**{tool.name}** (of the skill {tool.meta['mimo/skill']})\n{tool.description}{hint}\n\narguments: {schema}"

    def tools(self) -> list[Tool]:
        return [
            Tool(NAMES[0], Find, self.find, idempotent=True, capacity=Capacity.LIGHT),
            Tool(
                NAMES[1],
                CallFound,
                self.call,
                writes=True,
                destructive=True,
                open_world=True,
                # The tool itself waits for its own place, with its own deadline.
                capacity=Capacity.LIGHT,
                seconds=86_400,
            ),
        ]


def rank(query: str, tools: Sequence[Tool], used: Mapping[str, int]) -> list[Tool]:
    """The tools that have words of the query, those that say most of it first; what worked here before weighs more."""
    wanted = set(words(query))
    if not wanted:
        return sorted((tool for tool in tools if used.get(tool.name)), key=lambda tool: -used[tool.name])
    pages = [_weights(tool) for tool in tools]
    counts = Counter(word for page in pages for word in page)
    scores = list[tuple[float, Tool]]()
    for tool, page in zip(tools, pages, strict=True):
        score = sum(
            weight * math.log(1 + len(tools) / counts[word])
            for word in wanted
            if (weight := page.get(word, 0.0))
        )
        if score:
            scores.append((score * (1 + 0.5 * math.log1p(used.get(tool.name, 0))), tool))
    return [tool for _, tool in sorted(scores, key=lambda each: (-each[0], each[1].name))]


def words(text: str) -> Iterable[str]:
    """Small words, without those that say nothing; of several forms of a word the beginning."""
    for word in _WORD.findall(_CAMEL.sub(" ", text).lower()):
        if word not in _SILENT:
            yield _stem(word)


def _stem(word: str) -> str:
    for end in ("ies", "ing", "ed", "es", "s", "e", "y"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word


def _weights(tool: Tool) -> dict[str, float]:
    properties: Any = (tool.schema or {}).get("properties")
    arguments = " ".join(cast("dict[str, Any]", properties)) if isinstance(properties, dict) else ""
    found: dict[str, float] = {}
    for text, weight in (
        (arguments, IN_ARGUMENTS),
        (tool.description, IN_TEXT),
        (tool.title, IN_TITLE),
        (str(tool.meta.get("mimo/skill", "")), IN_SKILL),
        (str(tool.meta.get("mimo/name", tool.name)), IN_NAME),
    ):
        for word in words(text):
            found[word] = max(weight, found.get(word, 0.0))
    return found


def _arguments(schema: JsonObject) -> str:
    """One line: names, types, and which are needed."""
    properties: Any = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return "no arguments"
    needed: Any = schema.get("required") or ()
    shown = list[str]()
    for name, said in cast("dict[str, Any]", properties).items():
        kind: Any = cast("dict[str, Any]", said).get("type", "any") if isinstance(said, dict) else "any"
        optional = "" if name in needed else "?"
        shown.append(f"{name}{optional}: {kind if isinstance(kind, str) else 'any'}")
    return "arguments: " + ", ".join(shown)


def _overview(query: str, tools: Sequence[Tool]) -> str:
    """Nothing fits: what there is at all."""
    skills = Counter(str(tool.meta["mimo/skill"]) for tool in tools)
    there = ", ".join(f"{name} ({count} tools)" for name, count in skills.items()) or "none yet"
    said = f"No tool fits {query[:80]!r}. " if query.strip() else ""
    return f"{said}Skills: {there}. Ask with other words, or with the name of a skill."


def _read(path: Path) -> dict[str, Counter[str]]:
    try:
        said: Any = json.loads(path.read_bytes())
        return {
            str(space): Counter({str(k): int(v) for k, v in counts.items()}) for space, counts in said.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    os.replace(fresh, path)
