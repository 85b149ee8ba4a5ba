"""`mimo tool`: any tool from the shell, by the same path as an agent's call."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from mimo.cli.client import Daemon
from mimo.cli.terminal import OK, Failed, foreign, say, say_json, table
from mimo.cli.words import Words, Wrong

_JSON_TYPES = {"integer", "number", "boolean", "array", "object", "null"}


def tool(words: Words) -> int:
    name = words.text("NAME")
    seconds = float(words.number("seconds", 60, least=1))
    with Daemon(words.home, start=True) as daemon:
        if not name:
            return _list(daemon, as_json=words.has("json"))
        known = {tool["name"]: tool for tool in daemon.ask("mimo/tools")["tools"]}
        # A name that is not known goes on: the daemon refuses it, and names the nearest.
        schema: dict[str, Any] = known.get(name, {}).get("inputSchema", {})
        answer = daemon.tool(name, arguments(words.all("KEY=VALUE"), schema), seconds=seconds)
    if words.has("json"):
        say_json(answer.data if answer.data is not None else {"text": answer.text})
    elif answer.text or answer.data is None:
        say(foreign(answer.text))
    else:
        say_json(answer.data)
    return OK


def _list(daemon: Daemon, *, as_json: bool) -> int:
    tools: list[dict[str, Any]] = daemon.ask("mimo/tools")["tools"]
    if as_json:
        say_json({"tools": tools})
    else:
        say(
            foreign(
                table([(tool["name"], _first_sentence(str(tool.get("description", "")))) for tool in tools])
            )
        )
    return OK


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")[:100]


def arguments(pairs: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`key=value` as text, or as what the tool's schema wants there; `key:=value` as JSON; `key=@FILE` from a file.

    A key of an array may be given again and again.

    Raises:
        Wrong: a word that is no pair, or no JSON where JSON is wanted.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip(":"):
            raise Wrong(f"arguments are key=value or key:=JSON, not {pair!r}")
        if key.endswith(":"):
            key = key[:-1]
            value = _json(key, text)
        else:
            value = _fitting(_contents(text), properties.get(key, {}))
        if key in found and isinstance(found[key], list):
            found[key] = cast("list[Any]", found[key]) + (value if isinstance(value, list) else [value])
        elif key in found:
            raise Wrong(f"{key} is given twice")
        else:
            found[key] = value
    return found


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{key}:= takes JSON, and {text[:80]!r} is none") from error


def _contents(text: str) -> str:
    if text == "@-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        with open(text[1:], encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(
            f"cannot read {text[1:]}: {getattr(error, 'strerror', 'it is not UTF-8 text')}"
        ) from error


def _fitting(text: str, wanted: Mapping[str, Any]) -> Any:
    """Text as the schema wants it, where that is plain; else the text, for the tool to judge."""
    kind = wanted.get("type", "string")
    kinds: set[Any] = set(kind) if isinstance(kind, list) else {kind}  # pyright: ignore[reportUnknownArgumentType]
    if not _JSON_TYPES & kinds:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if "array" in kinds and not isinstance(value, list):
        items: Mapping[str, Any] = wanted.get("items", {})
        return [_fitting(text, items)]
    return text if isinstance(value, str) else cast("Any", value)
