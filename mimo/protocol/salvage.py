"""What can still be said of a message that is not to be read: whose it is, and where it is wrong.

Whoever asked waits for an answer under its own id. So the id is looked for in what a stricter reader
has refused, and in the beginning and the end of what was too long to keep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias, cast

Path: TypeAlias = "tuple[str | int, ...]"

# Of a line that is too long. Clients write the id first or last; one between two long members is not found.
HEAD = 16 * 1024
TAIL = 1024

_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")
_MARKS = (*_OPENING, *_CLOSING, b",", b":")
_TOKEN = re.compile(rb'[ \t\r]*+("(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]++)', re.DOTALL)
# A quote that follows a comma is not escaped, so none of this is within a text; and the last bracket of a
# line closes its message, so these are the message's own members.
_LAST_MEMBERS = re.compile(
    rb',(\s*+"(?:id|jsonrpc|method)"\s*+:\s*+(?:"(?:[^"\\]|\\.){0,512}+"|-?[0-9]{1,20})\s*+'
    rb'(?:,\s*+"(?:id|jsonrpc|method)"\s*+:\s*+(?:"(?:[^"\\]|\\.){0,512}+"|-?[0-9]{1,20})\s*+){0,2})\}\s*+\Z'
)


def loosely(data: bytes | bytearray) -> Any:
    """The value, with what JSON has not: NaN, halves of characters, bytes that are no text. None if there is none."""
    try:
        return json.loads(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None


def half_character(value: Any) -> Path | None:
    """Where the first text is that is not Unicode; None if all are."""
    for path, item in _items(value):
        if isinstance(item, str) and _SURROGATE.search(item):
            return path
    return None


def named(path: Path) -> str:
    """`arguments.items[2].content`, of which only the end is said if it is long."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    text = _SURROGATE.sub("\ufffd", text)
    return text if len(text) <= 120 else f"...{text[-117:]}"


def own_members(head: bytes | bytearray, tail: bytes | bytearray = b"") -> dict[str, Any]:
    """The id of a message and the names of its other members, as far as its beginning and its end tell."""
    found = dict(_first_members(head))
    if last := _LAST_MEMBERS.search(tail):
        with suppress(ValueError):
            found |= cast("dict[str, Any]", json.loads(b"{" + last[1] + b"}"))
    return found


def _first_members(head: bytes | bytearray) -> Iterator[tuple[str, Any]]:
    """The members before the text breaks off. Of those that are no plain values only the name is told."""
    at, depth, name, before = 0, 0, "", b""
    while token := _TOKEN.match(head, at):
        at, word = token.end(), token[1]
        if not depth and word != b"{":
            return  # several messages, or none
        if depth == 1 and word == b":":
            name = str(_plain(before))
            yield name, None
        elif depth == 1 and before == b":" and word not in _MARKS and at < len(head):
            yield name, _plain(word)
        depth += (word in _OPENING) - (word in _CLOSING)
        if not depth:
            return
        before = word


def _plain(word: bytes) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return None


def _items(value: Any) -> Iterator[tuple[Path, Any]]:
    """Everything within a value, names included, with where it is."""
    open_: list[tuple[Path, Any]] = [((), value)]
    while open_:
        path, item = open_.pop()
        yield path, item
        if isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            for name in members:
                yield path, name
            open_ += [((*path, name), member) for name, member in reversed(members.items())]
        elif isinstance(item, list):
            open_ += [
                ((*path, index), each) for index, each in reversed([*enumerate(cast("list[Any]", item))])
            ]
