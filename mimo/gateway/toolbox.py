"""What agents can use: the tools, resources and prompts of all services, in one order that stays the same.

Our own come first, as they were added; then what others brought, by the name of its owner. A list that keeps
its order keeps the prompt caches of agents warm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from mimo.errors import NotFound, UnknownTool
from mimo.gateway.nearest import nearest
from mimo.gateway.schema import schema_of
from mimo.observability.events import Events
from mimo.observability.news import ToolboxChanged
from mimo.tool import JsonObject, Prompt, Resource, ResourceTemplate, Tool

HOUSE = ""  # the owner of what mimo itself offers
OUR_NAMES = re.compile(r"[a-z][a-z0-9_]{2,40}")
FOREIGN_NAMES = re.compile(r"[A-Za-z0-9_.-]{1,128}")

Thing: TypeAlias = Tool | Resource | ResourceTemplate | Prompt
K = TypeVar("K", bound=Thing)


@dataclass(slots=True)
class _Shelf:
    """Everything of one owner, by the name under which it is asked for."""

    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])
    resources: dict[str, Resource] = field(default_factory=dict[str, Resource])
    templates: dict[str, ResourceTemplate] = field(default_factory=dict[str, ResourceTemplate])
    prompts: dict[str, Prompt] = field(default_factory=dict[str, Prompt])

    def place(self, thing: Thing) -> tuple[dict[str, Any], str, str]:
        match thing:
            case Tool():
                return self.tools, thing.name, "tool"
            case Resource():
                return self.resources, thing.uri, "resource"
            case ResourceTemplate():
                return self.templates, thing.template, "resource template"
            case Prompt():
                return self.prompts, thing.name, "prompt"


class Toolbox:
    """Finds what is asked for by name, and says what is nearest when there is nothing."""

    def __init__(self, events: Events | None = None) -> None:
        self._events = events
        self._shelves: dict[str, _Shelf] = {HOUSE: _Shelf()}
        self._schemas: dict[Tool, JsonObject] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}

    def add(self, *things: Thing, owner: str = HOUSE) -> None:
        """Offer these too. A name that is taken or not allowed is a mistake of the house: nothing is added.

        Raises:
            ValueError: the name breaks the rule or is taken.
            TypeError: the arguments have no flat schema.
        """
        before = self._shelves.get(owner, _Shelf())
        self._put(owner, [*_things(before), *things], _kinds(things))

    def remove(self, *names: str, owner: str = HOUSE) -> None:
        """Offer these no longer: names of tools and prompts, addresses of resources."""
        shelf = self._shelves.get(owner, _Shelf())
        gone = [thing for thing in _things(shelf) if shelf.place(thing)[1] in names]
        left = [thing for thing in _things(shelf) if thing not in gone]
        if missing := set(names) - {shelf.place(thing)[1] for thing in gone}:
            raise ValueError(f"nothing here is called {', '.join(sorted(missing))}")
        self._put(owner, left, _kinds(gone))

    def replace(self, owner: str, things: Iterable[Thing]) -> None:
        """From now on this is all that the owner offers; with nothing, the owner is gone."""
        things = list(things)
        before = _things(self._shelves.get(owner, _Shelf()))
        self._put(owner, things, _kinds([*before, *things]))

    def find(self, name: str) -> Tool:
        """The tool of this name.

        Raises:
            UnknownTool: there is none. The message names the nearest.
        """
        for shelf in self._shelves.values():
            if name in shelf.tools:
                return shelf.tools[name]
        names = [tool.name for tool in self.tools()]
        raise UnknownTool(f"no tool {_shown(name)}; {_hint(name, names)}", name=name[:128])

    def passes(self, name: str) -> bool:
        """Is there a tool of this name that can do without a task?"""
        for shelf in self._shelves.values():
            if name in shelf.tools:
                return shelf.tools[name].passes is not None
        return False

    def with_schema(self, name: str) -> tuple[Tool, JsonObject]:
        """A tool and the schema of its arguments. Raises as `find` does."""
        tool = self.find(name)
        return tool, self.schema(tool)

    def schema(self, tool: Tool) -> JsonObject:
        """The schema of its arguments: flat if it is ours, word for word if it is somebody else's."""
        if tool.schema is not None:
            return tool.schema
        if tool not in self._schemas:
            self._schemas[tool] = schema_of(tool.arguments)
        return self._schemas[tool]

    def tools(self) -> Sequence[Tool]:
        """All of them, also those that are found only by who looks for them."""
        return [tool for shelf in self._in_order() for tool in shelf.tools.values()]

    def listed(self) -> Sequence[Tool]:
        """Those in the list that agents see."""
        return [tool for tool in self.tools() if tool.listed]

    def resources(self) -> Sequence[Resource]:
        return [each for shelf in self._in_order() for each in shelf.resources.values()]

    def templates(self) -> Sequence[ResourceTemplate]:
        return [each for shelf in self._in_order() for each in shelf.templates.values()]

    def prompts(self) -> Sequence[Prompt]:
        return [each for shelf in self._in_order() for each in shelf.prompts.values()]

    def find_resource(self, uri: str) -> Resource | ResourceTemplate:
        """What answers for this address: a resource of exactly it, else the first template that fits.

        Raises:
            NotFound: nothing does.
        """
        for resource in self.resources():
            if resource.uri == uri:
                return resource
        for template in self.templates():
            if self._patterns[template.template].fullmatch(uri):
                return template
        known = [each.uri for each in self.resources()] + [each.template for each in self.templates()]
        raise NotFound(f"no resource {_shown(uri)}; {_hint(uri, known)}", uri=uri[:256])

    def find_prompt(self, name: str) -> Prompt:
        """The prompt of this name.

        Raises:
            NotFound: there is none.
        """
        for prompt in self.prompts():
            if prompt.name == name:
                return prompt
        names = [each.name for each in self.prompts()]
        raise NotFound(f"no prompt {_shown(name)}; {_hint(name, names)}", name=name[:128])

    def _in_order(self) -> Iterable[_Shelf]:
        return (self._shelves[owner] for owner in sorted(self._shelves))  # "", the house, sorts first

    def _put(self, owner: str, things: Sequence[Thing], changed: Mapping[str, bool]) -> None:
        """Check everything first, then change at once."""
        shelf = _Shelf()
        others = [each for name, each in self._shelves.items() if name != owner]
        for thing in things:
            mine, name, what = shelf.place(thing)
            _check_name(what, name, owner)
            if name in mine or any(name in each.place(thing)[0] for each in others):
                raise ValueError(f"there is a {what} {name!r} already")
            mine[name] = thing
        schemas = {tool: self.schema(tool) for tool in shelf.tools.values()}
        patterns = {name: _pattern(name) for name in shelf.templates}
        if things or owner == HOUSE:
            self._shelves[owner] = shelf
        else:
            self._shelves.pop(owner, None)
        self._schemas = {tool: self.schema(tool) for tool in self.tools() if tool not in schemas} | schemas
        self._patterns = {
            each.template: self._patterns.get(each.template) or patterns[each.template]
            for each in self.templates()
        }
        if self._events is not None and any(changed.values()):
            self._events.publish(ToolboxChanged(**changed))


def _things(shelf: _Shelf) -> list[Thing]:
    return [
        *shelf.tools.values(),
        *shelf.resources.values(),
        *shelf.templates.values(),
        *shelf.prompts.values(),
    ]


def _kinds(things: Iterable[Thing]) -> dict[str, bool]:
    """Which lists these stand in."""
    things = list(things)
    return {
        "tools": any(isinstance(each, Tool) for each in things),
        "resources": any(isinstance(each, Resource | ResourceTemplate) for each in things),
        "prompts": any(isinstance(each, Prompt) for each in things),
    }


def _check_name(what: str, name: str, owner: str) -> None:
    if what.startswith("resource"):
        if ":" not in name:
            raise ValueError(f"{name!r} is not the address of a {what}: it has no scheme")
        return
    rule = OUR_NAMES if owner == HOUSE else FOREIGN_NAMES
    if not rule.fullmatch(name):
        raise ValueError(f"a {what} cannot be called {name!r}: names match ^{rule.pattern}$")


def _pattern(template: str) -> re.Pattern[str]:
    """`{name}` stands for anything without a slash, `{+name}` for anything."""
    parts = re.split(r"(\{\+?\w+\})", template)
    return re.compile(
        "".join(
            (".+" if part.startswith("{+") else "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def _hint(name: str, known: Sequence[str]) -> str:
    if near := nearest(name, known):
        return f"did you mean '{near}'?"
    if not known:
        return "there is none at the moment"
    return f"there are: {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}"
