"""What a run holds, as the JSON text that is stored: compact, as SQLite's own JSON functions write it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json

# Each turn may wrap what the one before has made, and what is nested a thousand deep nobody reads again.
MOST_NESTED = 100

_HOLDING: tuple[type[Any], ...] = (list, dict)

_with_escapes = json.JSONEncoder(separators=(",", ":")).encode


def written(value: object) -> str:
    """Raises `ValueError` or `TypeError` for what is no JSON."""
    try:
        return to_json(value).decode()
    except (
        PydanticSerializationError
    ):  # half of a pair of surrogates, which only escapes can write; or nested deeply
        return _with_escapes(value)


def size_of(text: str) -> int:
    """In bytes."""
    return len(text) if text.isascii() else len(text.encode())


def is_deep(value: Any) -> bool:
    """Whether it is nested more deeply than a run may hold. What stands in it many times is looked at once a level."""
    level = _lists_and_objects([value])
    for _ in range(MOST_NESTED):
        if not level:
            return False
        level = _lists_and_objects(
            inside
            for each in level
            for inside in (cast("dict[str, Any]", each).values() if isinstance(each, dict) else each)
        )
    return bool(level)


def _lists_and_objects(values: Iterable[Any]) -> Collection[Any]:
    return {id(each): each for each in values if isinstance(each, _HOLDING)}.values()
