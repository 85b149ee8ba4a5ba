"""TOML, edited in place: one table's plain keys are set, or the table goes; the rest keeps its bytes.

What the edit means is judged by the real parser afterwards: a text that does not say what was wanted
is never given back.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast


class NotToml(ValueError):
    """The text is no TOML, or writes the table in a way that cannot be edited safely."""


class Statement(NamedTuple):
    """A header or a key with its value; comments and blank lines lie between statements."""

    start: int
    end: int  # where its last line ends, the newline included
    path: tuple[str, ...]
    is_header: bool


def parse(text: str) -> dict[str, Any]:
    """Raises: NotToml."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotToml(str(error)) from error


def put(text: str, path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """The text with these keys in the table at `path`; other keys of the table stay.

    Raises: NotToml.
    """
    wanted = parse(text)
    table: Any = wanted
    for key in path:
        table = cast("dict[str, Any]", table).setdefault(key, {})
        if not isinstance(table, dict):
            raise NotToml(f"{'.'.join(path)} is no table")
    table = cast("dict[str, Any]", table)
    changes = {key: value for key, value in entry.items() if table.get(key) != value}
    table.update(entry)
    newline = "\r\n" if "\r\n" in text else "\n"
    statements = list(_statements(text))
    header = next((s for s in statements if s.is_header and s.path == tuple(path)), None)
    if header is None:
        lines = [_header(path), *(f"{key} = {_written(value)}" for key, value in entry.items())]
        gap = "" if not text else newline if text.endswith("\n") else newline * 2
        edited = text + gap + newline.join(lines) + newline
    else:
        edited = _set(text, header, _table_of(statements, header), changes, newline)
    return _judged(edited, wanted)


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the table at `path` and what is below it; unchanged if there is none.

    Raises: NotToml.
    """
    wanted = parse(text)
    table: Any = wanted
    for key in path[:-1]:
        table = cast("dict[str, Any]", table).get(key, {})
        if not isinstance(table, dict):
            return text
    if path[-1] not in table:
        return text
    del table[path[-1]]
    statements = list(_statements(text))
    headers = [s for s in statements if s.is_header and s.path[: len(path)] == tuple(path)]
    edited = text
    for header in reversed(headers):
        body = _table_of(statements, header)
        start, end = header.start, (body[-1] if body else header).end
        before = edited[:start]
        if before.endswith(("\n\n", "\n\r\n")):
            before = before[: -2 if before.endswith("\r\n") else -1]
        edited = before + edited[end:]
    return _judged(edited, wanted, path[:-1])


def _judged(edited: str, wanted: dict[str, Any], may_vanish: Sequence[str] = ()) -> str:
    """The edited text, if it says what was wanted. A table that was only there for ours may be gone with it."""
    try:
        said = parse(edited)
    except NotToml:
        said = {}
    place = said
    for key in may_vanish:
        place = place.setdefault(key, {})
    if said != wanted:
        raise NotToml("its table is written in a way that cannot be edited safely; change it by hand")
    return edited


def _set(
    text: str, header: Statement, body: Sequence[Statement], changes: Mapping[str, Any], newline: str
) -> str:
    edits: list[tuple[int, int, str]] = []
    for key, value in changes.items():
        line = f"{key} = {_written(value)}{newline}"
        there = next((s for s in body if s.path == (key,)), None)
        if there is not None:
            comment = _comment_of(text[there.start : there.end])
            edits.append((there.start, there.end, line.rstrip() + comment + newline))
        else:
            end = (body[-1] if body else header).end
            lacks_newline = not text[:end].endswith("\n")
            edits.append((end, end, newline * lacks_newline + line))
    # From the last to the first, and of those at one place the last to be read first.
    for start, end, line in reversed(sorted(edits, key=lambda edit: edit[:2])):  # noqa: C413 (keeps that order)
        text = text[:start] + line + text[end:]
    return text


def _table_of(statements: Sequence[Statement], header: Statement) -> list[Statement]:
    """The keys below a header, up to the next one."""
    body: list[Statement] = []
    for statement in statements[statements.index(header) + 1 :]:
        if statement.is_header:
            break
        body.append(statement)
    return body


_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = re.compile(
    r'"""[\s\S]*?(?<!\\)(?:\\\\)*"{3,5}'
    r"|'''[\s\S]*?'{3,5}"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|[\[{]|[\]}]|\n|[^\"'#\[\]{}\n]+"
)


def _statements(text: str) -> Iterator[Statement]:
    """Every statement of a text that is known to be TOML."""
    position = 0
    while (position := _GAP.match(text, position).end()) < len(text):  # pyright: ignore[reportOptionalMemberAccess]
        start, depth = position, 0
        while position < len(text):
            part = _PART.match(text, position)
            if part is None:
                raise NotToml("it has a string that could not be followed; change it by hand")
            position = part.end()
            depth += (part[0] in "[{") - (part[0] in "]}")
            if part[0] == "\n" and depth == 0:
                break
        yield Statement(start, position, *_named(text[start:position]))


def _comment_of(statement: str) -> str:
    """The comment that ends a statement's last line."""
    position, depth, comment = 0, 0, ""
    while position < len(statement) and (part := _PART.match(statement, position)):
        position = part.end()
        depth += (part[0] in "[{") - (part[0] in "]}")
        if depth == 0 and part[0].startswith("#"):
            comment = "  " + part[0].rstrip()
    return comment


def _named(statement: str) -> tuple[tuple[str, ...], bool]:
    """The path of a header, or of a key; the parser reads it, as it knows quotes and dots best."""
    is_header = statement.startswith("[")
    tree: Any = parse(statement)
    path: list[str] = []
    while isinstance(tree, (dict, list)) and len(tree) == 1 and (is_header or not path or _dotted(statement)):  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(tree, list):
            tree = tree[0]  # pyright: ignore[reportUnknownVariableType]
            continue
        key, tree = next(iter(cast("dict[str, Any]", tree).items()))
        path.append(key)
    return tuple(path), is_header


def _dotted(statement: str) -> bool:
    return "." in statement.partition("=")[0]


def _header(path: Sequence[str]) -> str:
    return "[" + ".".join(k if re.fullmatch(r"[A-Za-z0-9_-]+", k) else json.dumps(k) for k in path) + "]"


def _written(value: Any) -> str:
    """A string, a number, a truth, or a list of them. JSON's way of writing those is TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
