"""Does a value fit a JSON schema? The part of JSON Schema that tools and inputs use; everything that does not fit at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from mimo.services.procedures.expressions import kind_of, same
from mimo.tool import JsonObject

DEEPEST = 32
# Characters of a default times those of its schema: a list of alternatives is gone through for each item of a list.
MOST_COMPARED = 250_000
OBJECT = (dict, Mapping)  # most are the first, which is asked for at a tenth of the price
KEYWORDS = frozenset(
    "type enum const properties required additionalProperties items minimum maximum exclusiveMinimum"
    " exclusiveMaximum minLength maxLength minItems maxItems anyOf oneOf".split()
)
NOTES = frozenset("title description default examples $schema $comment format".split())
_BOUNDS = (
    ("minimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
)
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
    schema: object,
    value: Any,
    place: str,
    unknown: Callable[[Any], bool] = lambda value: False,
    depth: int = 0,
) -> Iterator[str]:
    """Each thing that does not fit, with its place. What is `unknown` yet (a template) fits everywhere.

    The schema may be somebody else's: what no schema could say is not held.
    """
    if unknown(value) or depth > DEEPEST or not isinstance(schema, OBJECT):
        return
    schema = cast("JsonObject", schema)
    for union in ("anyOf", "oneOf"):
        tries = [list(misfits(each, value, place, unknown, depth + 1)) for each in _listed(schema, union)]
        if tries and all(tries):
            yield min(tries, key=len)[0]
            return
    types = schema.get("type")
    named = cast("list[Any]", types) if isinstance(types, list) else [types]
    wanted = [each for each in named if isinstance(each, str)]
    if wanted and not any(_TYPES[each](value) for each in wanted if each in _TYPES):
        yield f"{place} must be {' or '.join(wanted)}, not {kind_of(value)}"
        return
    if "const" in schema and not same(schema["const"], value):
        yield f"{place} must be {schema['const']!r}"
    if isinstance(schema.get("enum"), list) and not any(same(each, value) for each in schema["enum"]):
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
    types: Any = schema.get("type", "object")
    for each in cast("list[Any]", types if isinstance(types, list) and types else [types]):
        if not isinstance(each, str) or each not in _TYPES:
            yield f"{place}.type: no type {str(each)[:40]!r}; there are {', '.join(_TYPES)}"
    yield from _unfit_bounds(schema, place)
    for word in ("required", "enum", "anyOf", "oneOf"):
        if word not in schema:
            continue
        if not isinstance(schema[word], list):
            yield f"{place}.{word} must be a list"
            return
        if not schema[word] and word != "required":
            yield f"{place}.{word} is empty, so no value would ever fit"
    for number, each in enumerate(_listed(schema, "required")):
        if not isinstance(each, str):
            yield f"{place}.required[{number}] must be a property's name, not {kind_of(each)}"
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
    if "default" in schema:
        yield from _unfit_default(schema, f"{place}.default")


def _unfit_default(schema: JsonObject, place: str) -> Iterator[str]:
    default: Any = schema["default"]
    rest = {word: each for word, each in schema.items() if word != "default"}
    if len(str(default)) * len(str(rest)) > MOST_COMPARED:
        yield f"{place} is too large to be held against such a schema"
    elif (wrong := next(misfits(rest, default, place), None)) is not None:
        yield f"{wrong}: a default has to fit its own schema"


def _unfit_bounds(schema: JsonObject, place: str) -> Iterator[str]:
    for least, most in _BOUNDS:
        for word in (least, most):
            if word in schema and not _TYPES["number"](schema[word]):
                yield f"{place}.{word} must be a number"
        if _bound(schema, least, -math.inf) > _bound(schema, most, math.inf):
            yield f"{place}.{least} is over {most}, so no value would ever fit"


def _object(
    schema: JsonObject, value: Mapping[str, Any], place: str, unknown: Callable[[Any], bool], depth: int
) -> Iterator[str]:
    given: Any = schema.get("properties")
    properties = cast("Mapping[str, JsonObject]", given if isinstance(given, OBJECT) else {})
    for name in _listed(schema, "required"):
        if isinstance(name, str) and name not in value:
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


def _listed(schema: JsonObject, word: str) -> Sequence[Any]:
    given: Any = schema.get(word)
    return cast("list[Any]", given) if isinstance(given, list) else ()


def _size(schema: JsonObject, size: int, place: str, least: str, most: str, unit: str) -> Iterator[str]:
    if size < _bound(schema, least, size):
        yield f"{place} has at least {schema[least]} {unit} (got {size})"
    if size > _bound(schema, most, size):
        yield f"{place} has at most {schema[most]} {unit} (got {size})"


def _range(schema: JsonObject, value: float, place: str) -> Iterator[str]:
    if value < _bound(schema, "minimum", value):
        yield f"{place} must be at least {schema['minimum']} (got {value})"
    if value > _bound(schema, "maximum", value):
        yield f"{place} must be at most {schema['maximum']} (got {value})"
    if value <= _bound(schema, "exclusiveMinimum", -math.inf):
        yield f"{place} must be over {schema['exclusiveMinimum']} (got {value})"
    if value >= _bound(schema, "exclusiveMaximum", math.inf):
        yield f"{place} must be under {schema['exclusiveMaximum']} (got {value})"


def _bound(schema: JsonObject, word: str, otherwise: float) -> float:
    given: Any = schema.get(word)
    return given if _TYPES["number"](given) else otherwise
