"""The members that a skill may have in `skills.json`: of what kind each is, and the JSON Schema made from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import urlsplit

LONGEST_TEXT = 32_768
MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: `weather.args[2]`."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


def is_comment(key: str) -> bool:
    """People write comments into JSON as members; they hold text and say nothing to us."""
    return key.startswith(("//", "#", "_", "$"))


@dataclass(frozen=True, slots=True)
class Field:
    kind: str  # text, path, url, flag, seconds, texts, names, map
    help: str

    def problems(self, place: str, value: Any) -> Iterator[Problem]:
        match self.kind:
            case "flag":
                if not isinstance(value, bool):
                    yield Problem(place, "must be true or false")
            case "seconds":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
                    yield Problem(place, "must be a number of seconds, above 0 and at most 86400")
            case "texts" | "names":
                if not isinstance(value, list):
                    yield Problem(place, "must be a list of texts")
                    return
                if len(cast("list[Any]", value)) > MOST_ITEMS:
                    yield Problem(place, f"has more than {MOST_ITEMS} items")
                for number, item in enumerate(cast("list[Any]", value)[:MOST_ITEMS]):
                    yield from _text_problems(f"{place}[{number}]", item, empty=True)
            case "map":
                if not isinstance(value, dict):
                    yield Problem(place, "must be an object of texts")
                    return
                for key, item in cast("dict[str, Any]", value).items():
                    if not key or "=" in key or not key.isprintable():
                        yield Problem(f"{place}.{key[:40]}", "is no name")
                    yield from _text_problems(f"{place}.{key[:40]}", item, empty=True)
            case _:
                yield from _text_problems(place, value, empty=self.kind == "prefix")
                if self.kind == "url" and isinstance(value, str):
                    yield from _url_problems(place, value)

    def frozen(self, value: Any) -> Any:
        match self.kind:
            case "texts":
                return tuple(value)
            case "names":
                return frozenset(value)
            case "map":
                return MappingProxyType(dict(value))
            case "seconds":
                return float(value)
            case _:
                return value

    def schema(self) -> dict[str, Any]:
        match self.kind:
            case "flag":
                said: dict[str, Any] = {"type": "boolean"}
            case "seconds":
                said = {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400}
            case "texts" | "names":
                said = {"type": "array", "items": {"type": "string"}}
            case "map":
                said = {"type": "object", "additionalProperties": {"type": "string"}}
            case "prefix":
                said = {"type": "string", "pattern": "^([A-Za-z][A-Za-z0-9_-]{0,15})?$"}
            case _:
                said = {"type": "string", "minLength": 1}
        return said | {"description": self.help}


FIELDS: Mapping[str, Field] = {
    "command": Field("text", "The program to start."),
    "args": Field("texts", "Its arguments."),
    "env": Field(
        "map", "Added to its environment, which is otherwise minimal. ${NAME} for names in `variables`."
    ),
    "cwd": Field("path", "Where it is started; else your home directory."),
    "url": Field(
        "url", "The address of a server that runs elsewhere (streamable HTTP), instead of a command."
    ),
    "headers": Field("map", "Sent with each request to `url`."),
    "variables": Field("names", "Names of the daemon's environment that ${NAME} may stand for here."),
    "prefix": Field("prefix", "Before the names of its tools, with '_' between. Empty: none."),
    "enabled": Field("flag", "false: as if it were not here."),
    "expose": Field("flag", "true: its tools are in the list that agents see from the start."),
    "approve": Field("flag", "true: a tool whose definition changed waits for 'mimo skill approve'."),
    "timeout": Field("seconds", "How long a call may take."),
    "idle": Field("seconds", "It is stopped when nobody has called it for so long."),
}


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    skill = {
        "type": "object",
        "properties": {name: field.schema() for name, field in FIELDS.items()},
        "patternProperties": {"^(//|#|_|\\$)": {"type": "string"}},
        "additionalProperties": False,
        "oneOf": [{"required": ["command"]}, {"required": ["url"]}],
    }
    skills = {
        "type": "object",
        "additionalProperties": {"anyOf": [{"$ref": "#/$defs/skill"}, {"type": "string"}]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Skills of mimo: other MCP servers that it starts and offers on",
        "$defs": {"skill": skill, "skills": skills},
        "anyOf": [
            {
                "type": "object",
                "required": ["mcpServers"],
                "properties": {"mcpServers": {"$ref": "#/$defs/skills"}},
            },
            {"$ref": "#/$defs/skills"},
        ],
    }


def _text_problems(place: str, value: Any, *, empty: bool) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(place, "must be text")
    elif not value and not empty:
        yield Problem(place, "must not be empty")
    elif len(value) > LONGEST_TEXT or "\0" in value:
        yield Problem(place, f"must have at most {LONGEST_TEXT} characters, and no NUL")


def _url_problems(place: str, value: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        yield Problem(place, f"is no address: {error}")
        return
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        yield Problem(place, "must begin with http:// or https:// and a host")
    elif parts.username is not None:
        yield Problem(place, 'must not hold a password; use "headers"')
