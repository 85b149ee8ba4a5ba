"""What a run holds, as the JSON text that is stored: compact, as SQLite's own JSON functions write it."""

from __future__ import annotations

import json

from pydantic_core import PydanticSerializationError, to_json

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
