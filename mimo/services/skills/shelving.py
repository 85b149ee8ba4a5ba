"""What skills offer, put where agents find it: each skill on a shelf of its own, and no name twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from mimo.errors import NotFound
from mimo.services.skills.names import name_of
from mimo.services.skills.offers import Thing, things
from mimo.services.skills.results import Results
from mimo.services.skills.skill import Skill
from mimo.tool import JsonObject, Prompt, Resource, ResourceTemplate, Tool

CHANGED = "its definition has changed since it was approved"


class Shelves(Protocol):
    """Where tools are offered, each owner's on a shelf of its own; "" is the house."""

    def add(self, *things: Thing, owner: str = "") -> None: ...
    def remove(self, *names: str, owner: str = "") -> None: ...
    def replace(self, owner: str, things: Iterable[Thing]) -> None: ...
    def find(self, name: str) -> Tool: ...
    def schema(self, tool: Tool) -> JsonObject: ...
    def find_resource(self, uri: str) -> Resource | ResourceTemplate: ...
    def tools(self) -> Sequence[Tool]: ...
    def resources(self) -> Sequence[Resource]: ...
    def templates(self) -> Sequence[ResourceTemplate]: ...
    def prompts(self) -> Sequence[Prompt]: ...


class Shelving:
    """`hints` says of a tool, by its name, what a person should know before it is trusted."""

    def __init__(self, shelves: Shelves, results: Results) -> None:
        self.hints: dict[str, str] = {}
        self._shelves = shelves
        self._results = results
        self._offered: dict[str, set[tuple[type, str]]] = {}
        self._results_offered = False

    def offer(self, skill: Skill) -> None:
        """All that the skill has, but for names that are taken: those who were first keep them."""
        mine = self._offered.get(skill.name, set[tuple[type, str]]())
        free, taken = list[Thing](), list[str]()
        for thing in things(
            skill.declared, skill.kept, skill.patience.call, skill.ask, skill.pass_on, self._results
        ):
            if (type(thing), _name(thing)) in mine or not self._is_taken(thing):
                free.append(thing)
            else:
                taken.append(_name(thing))
        if taken:
            skill.words.add(f"--- not offered, because these names are taken: {', '.join(taken[:20])}")
        self._offered[skill.name] = {(type(thing), _name(thing)) for thing in free}
        self._shelves.replace(_owner(skill.name), free)
        changed = set(skill.kept.changed)
        for tool in skill.kept.tools:
            original = str(tool.get("name"))
            name = name_of(skill.declared.prefix, original)
            if original in changed:
                self.hints[name] = CHANGED
            else:
                self.hints.pop(name, None)

    def has(self, name: str, uri: str) -> bool:
        """Is it this skill that answers for the address?"""
        try:
            found = self._shelves.find_resource(uri)
        except NotFound:
            return False
        return (type(found), _name(found)) in self._offered.get(name, ())

    def withdraw(self, name: str) -> None:
        """The skill of this name offers nothing any more."""
        for _, thing in self._offered.pop(name, set()):
            self.hints.pop(thing, None)
        self._shelves.replace(_owner(name), [])

    def offer_results(self, wanted: bool) -> None:
        """Have the rests of long answers be readable, or not."""
        template = self._results.template()
        if wanted and not self._results_offered:
            self._shelves.add(template)
        elif self._results_offered and not wanted:
            self._shelves.remove(template.template)
        self._results_offered = wanted

    def _is_taken(self, thing: Thing) -> bool:
        match thing:
            case Tool():
                return any(each.name == thing.name for each in self._shelves.tools())
            case Resource():
                return any(each.uri == thing.uri for each in self._shelves.resources())
            case ResourceTemplate():
                return any(each.template == thing.template for each in self._shelves.templates())
            case Prompt():
                return any(each.name == thing.name for each in self._shelves.prompts())


def _owner(name: str) -> str:
    return f"skill:{name}"


def _name(thing: Thing) -> str:
    match thing:
        case Resource():
            return thing.uri
        case ResourceTemplate():
            return thing.template
        case _:
            return thing.name
