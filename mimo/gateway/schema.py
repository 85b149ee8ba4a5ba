"""The JSON schema of a tool's arguments, flat, as agents and their clients want it.

Clients disagree on what they understand: some drop `$ref`, some refuse a union with null, some a property
without a type. So everything is written out, and what may be left out is simply not required.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mimo.tool import Arguments, JsonObject

DEEPEST = 12  # nobody means this; it is a model that holds itself
Node = dict[str, Any]
NOISE = frozenset({"title", "$defs", "discriminator"})
JSON_TYPES: Mapping[str, str] = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


def schema_of(arguments: type[Arguments]) -> JsonObject:
    """The schema that stands in a list of tools.

    Raises:
        TypeError: an argument cannot be said in a flat schema. It is the declaration that has to change.
    """
    raw = arguments.model_json_schema()
    try:
        flat = _flat(raw, cast("Node", raw.get("$defs", {})), ())
    except _CannotSay as error:
        raise TypeError(f"{arguments.__name__}: {error}") from error
    flat.pop("description", None)  # the tool says it, and a byte in a list of tools is read by every agent
    flat.setdefault("properties", {})
    return flat


class _CannotSay(Exception):
    pass


def _flat(node: Node, definitions: Node, path: tuple[str, ...]) -> Node:
    node = _without_null(_resolved(node, definitions, path))
    if "$ref" in node:  # it was inside of a union with null
        node = _resolved(node, definitions, path)
    flat = {name: value for name, value in node.items() if name not in NOISE}
    if flat.get("default", 0) is None:
        del flat["default"]
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    if "enum" in flat and "type" not in flat:
        flat["type"] = _type_of_all(flat["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in flat:
            if not path:
                raise _CannotSay(f"the arguments as a whole are a choice ({union})")
            flat[union] = [_flat(each, definitions, path) for each in flat[union]]
    _flatten_inside(flat, definitions, path)
    if not flat.keys() & {"type", "anyOf", "oneOf", "allOf"}:
        raise _CannotSay(f"{'.'.join(path)} may be anything; give it a type")
    return flat


def _flatten_inside(flat: Node, definitions: Node, path: tuple[str, ...]) -> None:
    if "properties" in flat:
        flat["properties"] = {
            name: _flat(each, definitions, (*path, name)) for name, each in flat["properties"].items()
        }
    if isinstance(flat.get("additionalProperties"), dict):
        flat["additionalProperties"] = (
            _flat(flat["additionalProperties"], definitions, (*path, "*"))
            if flat["additionalProperties"]
            else True
        )
    if flat.get("type") == "array":
        inside = cast("list[Node]", flat.pop("prefixItems", []))
        if inside:  # a tuple: old schemas cannot say the order, so all places are of the first one's kind
            flat["items"] = inside[0]
        flat["items"] = _flat(flat.get("items", {}), definitions, (*path, "[]"))


def _resolved(node: Node, definitions: Node, path: tuple[str, ...]) -> Node:
    if "$ref" not in node:
        return node
    name = str(node["$ref"]).removeprefix("#/$defs/")
    if len(path) > DEEPEST:
        raise _CannotSay(f"{'.'.join(path)} contains itself")
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**definitions[name], **beside}


def _without_null(node: Node) -> Node:
    """`X or null` is X: whoever has nothing to say leaves the argument out."""
    choices = cast("list[Node]", node.get("anyOf", []))
    left = [each for each in choices if each.get("type") != "null"]
    if len(left) == len(choices):
        return node
    beside = {name: value for name, value in node.items() if name != "anyOf"}
    return {**left[0], **beside} if len(left) == 1 else {**beside, "anyOf": left}


def _type_of_all(values: list[Any]) -> str:
    names = {JSON_TYPES.get(value.__class__.__name__, "string") for value in values}
    return names.pop() if len(names) == 1 else "string"
