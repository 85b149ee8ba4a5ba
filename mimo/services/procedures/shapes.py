"""Does a value fit a JSON schema? The part of JSON Schema that tools and inputs use; everything that does not fit at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from mimo.services.procedures.expressions import kind_of, same
from mimo.tool import JsonObject

DEEPEST = 32
OBJECT = (dict, Mapping)  # most are the first, which is asked for at a tenth of the price
KEYWORDS = frozenset(
    "type enum const properties required additionalProperties items minimum maximum exclusiveMinimum"
    " exclusiveMaximum minLength maxLength minItems maxItems anyOf oneOf".split()
)
NOTES = frozenset("title description default examples $schema $comment format".split())
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, OBJECT),
}


def misfits(
    schema: JsonObject,
    value: Any,
    place: str,
    unknown: Callable[[Any], bool] = lambda value: False,
    depth: int = 0,
) -> Iterator[str]:
    """Each thing that does not fit, with its place. What is `unknown` yet (a template) fits everywhere."""
    if unknown(value) or depth > DEEPEST:
        return
    for union in ("anyOf", "oneOf"):
        if union in schema:
            tries = [list(misfits(each, value, place, unknown, depth + 1)) for each in schema[union]]
            if all(tries):
                yield min(tries, key=len)[0]
                return
    types = schema.get("type")
    wanted = cast("list[str]", types if isinstance(types, list) else [] if types is None else [types])
    if wanted and not any(_TYPES[each](value) for each in wanted if each in _TYPES):
        yield f"{place} must be {' or '.join(wanted)}, not {kind_of(value)}"
        return
    if "const" in schema and not same(schema["const"], value):
        yield f"{place} must be {schema['const']!r}"
    if "enum" in schema and not any(same(each, value) for each in schema["enum"]):
        yield f"{place} must be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, OBJECT):
        yield from _object(schema, cast("Mapping[str, Any]", value), place, unknown, depth)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        yield from _size(schema, len(items), place, "minItems", "maxItems", "items")
        if isinstance(schema.get("items"), Mapping):
            for number, each in enumerate(items):
                yield from misfits(schema["items"], each, f"{place}[{number}]", unknown, depth + 1)
    elif isinstance(value, str):
        yield from _size(schema, len(value), place, "minLength", "maxLength", "characters")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _range(schema, value, place)


def with_defaults(schema: JsonObject, value: Mapping[str, Any]) -> dict[str, Any]:
    """The same, and the defaults of what was left out."""
    properties = cast("Mapping[str, JsonObject]", schema.get("properties", {}))
    left_out = {name: each["default"] for name, each in properties.items() if "default" in each}
    return {**left_out, **value}


def unknown_words(schema: Any, place: str, depth: int = 0) -> Iterator[str]:
    """What this page could not check: a schema of ours says nothing that is not held."""
    if not isinstance(schema, Mapping):
        yield f"{place} must be a JSON schema, an object"
        return
    if depth > DEEPEST:
        yield f"{place} is nested more than {DEEPEST} deep"
        return
    schema = cast("JsonObject", schema)
    for word in schema:
        if word not in KEYWORDS | NOTES:
            yield f"{place}: no word {word[:40]!r}; there are {', '.join(sorted(KEYWORDS))}"
    types: Any = schema.get("type", [])
    for each in cast("list[Any]", types if isinstance(types, list) else [types]):
        if each not in _TYPES:
            yield f"{place}.type: no type {str(each)[:40]!r}; there are {', '.join(_TYPES)}"
    for word in (
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    ):
        if word in schema and not _TYPES["number"](schema[word]):
            yield f"{place}.{word} must be a number"
    for word in ("required", "enum", "anyOf", "oneOf"):
        if word in schema and not isinstance(schema[word], list):
            yield f"{place}.{word} must be a list"
            return
    properties: Any = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield f"{place}.properties must be an object"
        return
    for name, each in cast("Mapping[str, Any]", properties).items():
        yield from unknown_words(each, f"{place}.{name}", depth + 1)
    if "items" in schema:
        yield from unknown_words(schema["items"], f"{place}[]", depth + 1)
    more: Any = schema.get("additionalProperties", True)
    if not isinstance(more, bool):
        yield from unknown_words(more, f"{place}.*", depth + 1)
    for union in ("anyOf", "oneOf"):
        for number, each in enumerate(cast("Sequence[Any]", schema.get(union, ()))):
            yield from unknown_words(each, f"{place}.{union}[{number}]", depth + 1)


def _object(
    schema: JsonObject, value: Mapping[str, Any], place: str, unknown: Callable[[Any], bool], depth: int
) -> Iterator[str]:
    properties = cast("Mapping[str, JsonObject]", schema.get("properties", {}))
    for name in cast("Sequence[str]", schema.get("required", ())):
        if name not in value:
            yield f"{place}.{name} is missing"
    more: Any = schema.get("additionalProperties", True)
    for name, each in value.items():
        if name in properties:
            yield from misfits(properties[name], each, f"{place}.{name}", unknown, depth + 1)
        elif isinstance(more, Mapping):
            yield from misfits(cast("JsonObject", more), each, f"{place}.{name[:64]}", unknown, depth + 1)
        elif more is False:
            known = f"there are: {', '.join(properties)}" if properties else "it takes none"
            yield f"{place} has no {name[:64]!r}; {known}"


def _size(schema: JsonObject, size: int, place: str, least: str, most: str, unit: str) -> Iterator[str]:
    if size < schema.get(least, 0):
        yield f"{place} has at least {schema[least]} {unit} (got {size})"
    if size > schema.get(most, size):
        yield f"{place} has at most {schema[most]} {unit} (got {size})"


def _range(schema: JsonObject, value: float, place: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{place} must be at least {schema['minimum']} (got {value})"
    if value > schema.get("maximum", value):
        yield f"{place} must be at most {schema['maximum']} (got {value})"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{place} must be over {schema['exclusiveMinimum']} (got {value})"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield f"{place} must be under {schema['exclusiveMaximum']} (got {value})"
