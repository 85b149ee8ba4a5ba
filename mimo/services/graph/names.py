"""Short names of facts, as agents say them: `t17`."""

from __future__ import annotations

from collections.abc import Iterable

from mimo.errors import InvalidArguments


def name_of(number: int) -> str:
    return f"t{number}"


def number_of(name: str) -> int:
    """Raises: InvalidArguments: no fact can be called so."""
    digits = name.strip().removeprefix("t")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        shown = name if len(name) <= 40 else f"{name[:37]}..."
        raise InvalidArguments(
            f"{shown!r} is no id of a fact; ids look like t17, as query shows them", fields=["ids"]
        )
    return int(digits)


def numbers_of(names: Iterable[str]) -> list[int]:
    """Each once, in order."""
    return list(dict.fromkeys(number_of(name) for name in names))
