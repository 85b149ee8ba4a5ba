"""JSON with comments, edited in place: what is not touched keeps its bytes.

Editors let people write comments and trailing commas into their settings. Reading and writing such
a file as JSON would lose them, so a change is made to the text, at the place where the parser saw it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DEEPEST = 100
_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\n]*|/\*[\s\S]*?\*/)*")
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\n]*?\*/)*(?://[^\r\n]*)?")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_WORD = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")


class NotJsonc(ValueError):
    """The text is no JSON, also with comments and trailing commas allowed; says where."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value, and the span of text it was read from."""

    start: int
    end: int
    value: Any  # of an object or array: None, its parts are below
    members: "tuple[Member, ...] | None" = None
    items: "tuple[Node, ...] | None" = None

    def plain(self) -> Any:
        """The value as `json.loads` would give it."""
        if self.members is not None:
            return {member.key: member.node.plain() for member in self.members}
        if self.items is not None:
            return [item.plain() for item in self.items]
        return self.value

    def member(self, key: str) -> "Member | None":
        """The member of that name; of several the last, as all readers do."""
        return next((m for m in reversed(self.members or ()) if m.key == key), None)


@dataclass(frozen=True, slots=True)
class Member:
    key: str
    start: int
    node: Node


def parse(text: str) -> Node:
    """The whole text as one value.

    Raises:
        NotJsonc: it is none.
    """
    reader = _Reader(text)
    node = reader.value(_BLANK.match(text, text.startswith("\ufeff")).end(), 0)  # pyright: ignore[reportOptionalMemberAccess]
    if (end := reader.skip(node.end)) != len(text):
        raise reader.wrong(end, "something after the end")
    return node


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with `value` at `path`; objects on the way are made where they are missing.

    Raises:
        NotJsonc: the text is no JSON, or something on the way is no object.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    if not text.strip("\ufeff \t\r\n"):
        text = text.rstrip() + "{}" + newline
    root = node = parse(text)
    # A file on one line stays on one line.
    unit = "" if root.members and "\n" not in text[root.start : root.end] else _unit(text, root)
    for depth, key in enumerate(path):
        if node.members is None:
            raise NotJsonc(f"{'.'.join(path[:depth]) or 'the whole'} is no object")
        found = node.member(key)
        if found is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _with_member(text, node, key, value, unit, newline)
        node = found.node
    written = _written(value, unit, _indent_at(text, node.start), newline)
    return text[: node.start] + written + text[node.end :]


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the member at `path`; unchanged if there is none."""
    node, member, before = parse(text), None, None
    for key in path:
        member = node.member(key)
        if member is None:
            return text
        position = (node.members or ()).index(member)
        before = (node.members or ())[position - 1] if position else None
        node = member.node
    if member is None:
        return text
    start, end = member.start, member.node.end
    comma = _BLANK.match(text, end).end()  # pyright: ignore[reportOptionalMemberAccess]
    while start and text[start - 1] in " \t\r\n":
        start -= 1
    if text[comma : comma + 1] == ",":
        return text[:start] + text[comma + 1 :]
    if before is None:
        return text[:start] + text[end:]
    # The last of several: the comma before it goes too, wherever comments have pushed it.
    earlier = _BLANK.match(text, before.node.end).end()  # pyright: ignore[reportOptionalMemberAccess]
    return text[:earlier] + text[earlier + 1 : start] + text[end:]


def _with_member(text: str, node: Node, key: str, value: Any, unit: str, newline: str) -> str:
    name = json.dumps(key, ensure_ascii=False) + ": "
    outer = _indent_at(text, node.start)
    if not node.members and not unit:
        return f"{text[: node.start + 1]}{name}{_written(value, '', '', newline)}{text[node.start + 1 :]}"
    if not node.members:
        inside = text[node.start + 1 : node.end - 1]
        member = f"{newline}{outer}{unit}{name}{_written(value, unit, outer + unit, newline)}"
        if not inside.strip():
            return f"{text[: node.start + 1]}{member}{newline}{outer}{text[node.end - 1 :]}"
        return text[: node.start + 1] + member + text[node.start + 1 :]
    last = node.members[-1]
    after = last.node.end
    comma = _BLANK.match(text, after).end()  # pyright: ignore[reportOptionalMemberAccess]
    trails = text[comma : comma + 1] == ","
    if "\n" not in text[node.start : node.end]:
        place = comma + 1 if trails else after
        member = f" {name}{_written(value, '', '', newline)}"
        return f"{text[:place]}{'' if trails else ','}{member}{',' if trails else ''}{text[place:]}"
    inner = _indent_at(text, last.start)
    member = f"{newline}{inner}{name}{_written(value, unit, inner, newline)}"
    # A comment that ends the last member's line is about that member, and stays with it.
    place = _REST_OF_LINE.match(text, comma + 1 if trails else after).end()  # pyright: ignore[reportOptionalMemberAccess]
    if trails:
        return f"{text[:place]}{member},{text[place:]}"
    if place > node.end - 1:  # never beyond the object's own brace
        place = after
    return f"{text[:after]},{text[after:place]}{member}{text[place:]}"


def _written(value: Any, unit: str, indent: str, newline: str) -> str:
    """The value as people write it: objects over several lines (on one without `unit`), lists on one."""
    if not isinstance(value, dict) or not value or not unit:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + unit
    pairs: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    lines = [
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_written(part, unit, inner, newline)}"
        for key, part in pairs.items()
    ]
    return "{" + newline + ("," + newline).join(lines) + newline + indent + "}"


def _unit(text: str, root: Node) -> str:
    """One step of indentation, as this file has it."""
    for member in root.members or ():
        if "\n" in text[root.start : member.start] and (indent := _indent_at(text, member.start)):
            return indent
    return "  "


def _indent_at(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def wrong(self, position: int, what: str) -> NotJsonc:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return NotJsonc(f"line {line}, column {column}: {what}")

    def skip(self, position: int) -> int:
        return _BLANK.match(self._text, position).end()  # pyright: ignore[reportOptionalMemberAccess]

    def value(self, start: int, depth: int) -> Node:
        if depth > DEEPEST:
            raise self.wrong(start, f"more than {DEEPEST} levels deep")
        match self._text[start : start + 1]:
            case "{":
                return self._object(start, depth)
            case "[":
                return self._array(start, depth)
            case '"':
                text, end = self._string(start)
                return Node(start, end, text)
            case _:
                word = _WORD.match(self._text, start)
                try:
                    if word is None:
                        raise ValueError
                    return Node(start, word.end(), json.loads(word[0]))
                except ValueError:
                    raise self.wrong(start, "a value is missing or wrong") from None

    def _string(self, start: int) -> tuple[str, int]:
        found = _STRING.match(self._text, start)
        try:
            if found is None:
                raise ValueError
            return json.loads(found[0]), found.end()
        except ValueError:
            raise self.wrong(start, "a string that is wrong or does not end") from None

    def _object(self, start: int, depth: int) -> Node:
        members: list[Member] = []
        position = self.skip(start + 1)
        while self._text[position : position + 1] != "}":
            if self._text[position : position + 1] != '"':
                raise self.wrong(position, 'a name in quotes, or "}", is missing')
            key, end = self._string(position)
            colon = self.skip(end)
            if self._text[colon : colon + 1] != ":":
                raise self.wrong(colon, '":" is missing')
            node = self.value(self.skip(colon + 1), depth + 1)
            members.append(Member(key, position, node))
            position = self._next(node.end, "}")
        return Node(start, position + 1, None, members=tuple(members))

    def _array(self, start: int, depth: int) -> Node:
        items: list[Node] = []
        position = self.skip(start + 1)
        while self._text[position : position + 1] != "]":
            items.append(self.value(position, depth + 1))
            position = self._next(items[-1].end, "]")
        return Node(start, position + 1, None, items=tuple(items))

    def _next(self, end: int, closing: str) -> int:
        """Where the next part begins, or the closing bracket stands; a comma before it is allowed."""
        position = self.skip(end)
        if self._text[position : position + 1] == ",":
            return self.skip(position + 1)
        if self._text[position : position + 1] != closing:
            raise self.wrong(position, f'"," or "{closing}" is missing')
        return position
