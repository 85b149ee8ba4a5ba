"""What a run holds, as the JSON text that is stored: compact, as SQLite's own JSON functions write it."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

# Each turn may wrap what the one before has made, and what is nested a thousand deep nobody reads again.
MOST_NESTED = 100

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
    """Whether it is nested more deeply than a run may hold."""
    level: list[Any] = [value]
    for _ in range(MOST_NESTED):
        if not level:
            return False
        level = [inside for each in level for inside in _inside(each)]
    return any(isinstance(each, list | dict) for each in level)


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return value if isinstance(value, list) else ()  # pyright: ignore[reportUnknownVariableType]
