"""Schemas are flat: every place has a type, nothing refers to elsewhere, and null is left out."""

import enum
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mimo.gateway.schema import schema_of
from mimo.tool import Arguments


class Kind(enum.Enum):
    FACT = "fact"
    PREFERENCE = "preference"


class Source(BaseModel):
    url: str | None = None


class Item(BaseModel):
    """Something to keep."""

    model_config = ConfigDict(extra="forbid")

    content: str = Field(min_length=1, description="the text")
    source: Source | None = None


class Add(Arguments):
    """Use when something is worth keeping."""

    title: str = Field(description="a field that is called like the noise")
    items: list[Item] = Field(min_length=1, max_length=100, description="what to keep")
    kind: Kind | None = None
    format: Literal["text", "json"] = "text"
    only: Literal["this"] = "this"
    number: Literal[1, 2] | None = None
    pair: tuple[int, int] | None = None
    many: list[list[str]] | None = None
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    anything: dict[str, Any] | None = Field(None, description="free facts")
    either: str | list[str] | None = None
    limit: int | None = Field(None, ge=1, le=50)


SCHEMA = schema_of(Add)


def places(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema."""
    yield path, node
    for name, each in node.get("properties", {}).items():
        yield from places(each, f"{path}.{name}")
    if "items" in node:
        yield from places(node["items"], f"{path}[]")
    for each in node.get("anyOf", []):
        yield from places(each, f"{path}|")


def test_every_place_has_a_type_and_every_list_says_of_what() -> None:
    for path, node in places(SCHEMA):
        assert "type" in node or "anyOf" in node, path
        if node.get("type") == "array":
            assert "items" in node, path


def test_nothing_refers_to_elsewhere_and_nothing_is_null_or_noise() -> None:
    for path, node in places(SCHEMA):
        assert not node.keys() & {"$ref", "$defs", "title", "const", "prefixItems"}, path
        assert node.get("type") != "null", path
        assert "default" not in node or node["default"] is not None, path
    assert not SCHEMA.keys() & {"oneOf", "anyOf", "allOf"}


def test_what_may_be_left_out_is_not_required() -> None:
    assert SCHEMA["required"] == ["title", "items"]
    assert SCHEMA["properties"]["limit"] == {"type": "integer", "minimum": 1, "maximum": 50}
    assert SCHEMA["properties"]["kind"]["enum"] == ["fact", "preference"]
    assert SCHEMA["additionalProperties"] is False


def test_what_a_field_says_of_itself_is_kept() -> None:
    properties = SCHEMA["properties"]
    assert properties["title"] == {"type": "string", "description": "a field that is called like the noise"}
    assert properties["items"]["description"] == "what to keep"
    assert properties["items"]["items"]["properties"]["content"]["description"] == "the text"
    assert properties["items"]["items"]["properties"]["source"]["properties"]["url"] == {"type": "string"}
    assert properties["number"] == {"type": "integer", "enum": [1, 2]}
    assert properties["only"] == {"type": "string", "enum": ["this"], "default": "this"}
    assert properties["anything"] == {
        "type": "object",
        "additionalProperties": True,
        "description": "free facts",
    }
    assert [each["type"] for each in properties["either"]["anyOf"]] == ["string", "array"]


def test_no_arguments_are_an_object_without_properties() -> None:
    class Nothing(Arguments):
        """Use when nothing is to be said."""

    assert schema_of(Nothing) == {"type": "object", "properties": {}, "additionalProperties": False}


class Tree(BaseModel):
    children: list["Tree"] = Field(default_factory=list["Tree"])


def test_what_has_no_flat_schema_is_refused_by_name() -> None:
    class Loose(Arguments):
        whatever: Any

    class Endless(Arguments):
        tree: Tree

    with pytest.raises(TypeError, match="Loose: whatever may be anything; give it a type"):
        schema_of(Loose)
    with pytest.raises(TypeError, match=r"Endless: tree.* contains itself"):
        schema_of(Endless)
