"""Arguments that fit the tool; or one error that names each that does not, with what is allowed instead.

An agent reads the message and calls again, so it says everything at once: the field, the value, what is
allowed, and the nearest name that there is. Types are never coerced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from mimo.errors import InvalidArguments
from mimo.gateway.nearest import nearest
from mimo.tool import Arguments, JsonObject, Tool

Path: TypeAlias = tuple[str | int, ...]
# Almost always the first, which is found out sooner.
_OBJECTS = (dict, Mapping)

MOST_PROBLEMS = 5  # in words
MOST_PLACES = 20  # for programs
LONGEST_VALUE = 40
# What is in these is nobody's business, not even its first letters'.
SECRET_NAMES = ("password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "credential")
TYPE_NAMES: Mapping[str, str] = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def validated(tool: Tool, arguments: object, schema: JsonObject) -> Arguments:
    """The arguments as the tool's handler wants them.

    Raises:
        InvalidArguments: they do not fit; `details["fields"]` are the places.
    """
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, _OBJECTS):
        raise InvalidArguments(
            f"the arguments of {tool.name} must be an object (got {_kind_of(arguments)})", tool=tool.name
        )
    given = dict(cast("Mapping[str, Any]", arguments))
    try:
        return tool.arguments.model_validate(given)
    except ValidationError as error:
        as_python = error
    # In JSON a date is a string and a tuple a list: what Python's strictness refuses may still be right.
    try:
        return tool.arguments.model_validate_json(to_json(given))
    except ValidationError as error:
        raise _refusal(tool, error, schema) from None
    except (PydanticSerializationError, ValueError):  # not JSON at all: lone surrogates, endless nesting
        raise _refusal(tool, as_python, schema) from None


def _refusal(tool: Tool, error: ValidationError, schema: JsonObject) -> InvalidArguments:
    """Each place once, in the order in which they were found; only so many in words."""
    texts, places = list[str](), dict[Path, None]()
    for each in error.errors(include_url=False):
        path, node = _place(tuple(each["loc"]), schema, each["type"])
        if path not in places:
            places[path] = None
            if len(texts) < MOST_PROBLEMS:
                texts.append(_text(path, node, schema, cast("Mapping[str, Any]", each)))
    if len(places) > MOST_PROBLEMS:
        texts.append(f"and {len(places) - MOST_PROBLEMS} more")
    fields = [_name(path) for path in islice(places, MOST_PLACES)]
    return InvalidArguments("; ".join(texts), tool=tool.name, fields=fields)


def _place(loc: Path, schema: JsonObject, type_: str) -> tuple[Path, JsonObject]:
    """The path as the caller knows it, without the names that pydantic gives to branches, and its schema."""
    node, path = schema, list[str | int]()
    for part in loc:
        properties = cast("JsonObject", node.get("properties", {}))
        if isinstance(part, int) and "items" in node:
            node = cast("JsonObject", node["items"])
        elif part in properties:
            node = cast("JsonObject", properties[str(part)])
        elif isinstance(node.get("additionalProperties"), Mapping):
            node = cast("JsonObject", node["additionalProperties"])
        elif type_ == "extra_forbidden" or node.get("additionalProperties") is True:
            return (*path, part), {}
        elif not path and isinstance(part, str):  # an argument that is taken, but not shown to agents
            return (part,), {}
        else:
            break
        path.append(part)
    return tuple(path), node


def _text(path: Path, node: JsonObject, schema: JsonObject, error: Mapping[str, Any]) -> str:
    type_, value = str(error["type"]), error.get("input")
    name = _name(path)
    if type_ == "missing":
        return f"{name} is required ({_allowed(node)})" if _allowed(node) else f"{name} is required"
    if type_ == "extra_forbidden":
        return _unknown(path, schema)
    if type_ in {"value_error", "assertion_error"}:  # a validator of the tool, in its own words
        reason = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return f"{name}: {reason}" if name else reason
    if type_ == "string_unicode":
        return f"{name} must be valid Unicode"
    if "enum" in node:
        return f"{name} must be one of {_choices(node)} (got {_got(path, value, _near(value, node))})"
    wrong_type = not type_.startswith(("greater", "less"))
    if allowed := _allowed(node, with_type=wrong_type):
        return f"{name} must be {allowed} (got {_got(path, value, _measure(value, type_))})"
    message = str(error["msg"])
    return f"{name}: {message[:1].lower()}{message[1:]} (got {_got(path, value)})" if name else message


def _unknown(path: Path, schema: JsonObject) -> str:
    """A name that is not there, and the nearest one that is."""
    _, parent = _place(path[:-1], schema, "")
    known = sorted(cast("JsonObject", parent.get("properties", {})))
    wrong = str(path[-1])
    where = f" in {_name(path[:-1])}" if len(path) > 1 else ""
    if near := nearest(wrong, known):
        hint = f"did you mean '{near}'?"
    else:
        hint = f"there are: {', '.join(known)}" if known else "it takes none"
    return f"unknown argument {_short(wrong, quote=chr(39))}{where}; {hint}"


def _allowed(node: JsonObject, with_type: bool = True) -> str:
    """What a schema lets in, in words: "a whole number, 1..50", or only "1..50" where a number was given."""
    if "enum" in node:
        return f"one of {_choices(node)}"
    if "anyOf" in node:
        return " or ".join(
            dict.fromkeys(_allowed(each) for each in cast("Sequence[JsonObject]", node["anyOf"]))
        )
    match node.get("type"):
        case "integer" | "number" as type_:
            low, high = node.get("minimum"), node.get("maximum")
            above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
            kind = TYPE_NAMES[type_]
            if low is not None and high is not None:
                return f"{kind}, {low}..{high}" if with_type else f"{low}..{high}"
            limits = [
                f"{word} {limit}"
                for word, limit in (("at least", low), ("over", above), ("at most", high), ("under", below))
                if limit is not None
            ]
            if not with_type and limits:
                return " and ".join(limits)
            return f"{kind}, {' and '.join(limits)}" if limits else kind
        case "string":
            size = _range(node.get("minLength"), node.get("maxLength"), "characters")
            if node.get("format"):
                return f"a {node['format']} as a string"
            if "pattern" in node:
                return f"a string that matches {node['pattern']}"
            return f"a string of {size}" if size else "a string"
        case "array":
            size = _range(node.get("minItems"), node.get("maxItems"), "items")
            return f"a list of {size}" if size else "a list"
        case type_:
            return TYPE_NAMES.get(str(type_), "")


def _range(low: int | None, high: int | None, unit: str) -> str:
    if high is not None:
        return f"{low or 0}..{high} {unit}"
    return f"at least {low} {unit if low != 1 else unit[:-1]}" if low else ""


def _choices(node: JsonObject) -> str:
    return ", ".join(str(each) for each in cast("Sequence[object]", node["enum"]))


def _near(value: object, node: JsonObject) -> str:
    if not isinstance(value, str):
        return ""
    near = nearest(value, (str(each) for each in cast("Sequence[object]", node["enum"])))
    return f"; did you mean '{near}'?" if near else ""


def _measure(value: object, type_: str) -> str | None:
    """Of what is too long or too short, its size is the news; None asks for the value itself."""
    if type_ in {"string_too_long", "string_too_short"} and isinstance(value, str):
        return f"={len(value)} characters"
    if type_ in {"too_long", "too_short"} and isinstance(value, list | tuple):
        return f"={len(cast('Sequence[object]', value))} items"
    return None


def _got(path: Path, value: object, note: str | None = None) -> str:
    """The value, shortened; or `note` alone if it begins with "="."""
    if note and note.startswith("="):
        return note[1:]
    if any(secret in str(part).lower() for part in path for secret in SECRET_NAMES):
        return "a value that is not shown"
    shown = _short(value, quote="'") if isinstance(value, str) else _kind_of(value)
    return shown + (note or "")


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _short(json.dumps(value) if abs(value) < 1e300 else "a huge number")
        case str():
            return _short(value, quote="'")
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return type(value).__name__


def _short(text: str, quote: str = "") -> str:
    text = json.dumps(text)[1:-1].replace('\\"', '"') if not text.isprintable() else text
    text = text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
    return f"{quote}{text}{quote}"


def _name(path: Path) -> str:
    """`items[2].kind`"""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else _short(str(part))
    return name
