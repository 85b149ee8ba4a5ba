"""Short names of engrams, as people and agents say them: `m7Z8` is number 29,086."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import cast

from mimo.errors import InvalidArguments, NotFound

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
LONGEST = 12  # 62^11 is more than SQLite can count


def name_of(number: int) -> str:
    """The name of an engram."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return f"m{digits or '0'}"


def number_of(name: str) -> int:
    """The engram of this name, whether or not there is one.

    Raises:
        InvalidArguments: no engram can be called so.
    """
    text = name.strip().removeprefix("mimo://memory/")
    digits = text[1:]
    known = text[:1] == "m" and 0 < len(digits) < LONGEST and all(digit in _VALUES for digit in digits)
    number = 0
    if known:
        for digit in digits:
            number = 62 * number + _VALUES[digit]
    if not known or number >= 1 << 63:
        shown = name if len(name) <= 40 else f"{name[:37]}..."
        raise InvalidArguments(
            f"{shown!r} is no id of a memory; ids look like m7Z8, as memory_search shows them"
        )
    return number


def numbers_of(names: Iterable[str]) -> list[int]:
    """Each once, in order."""
    return list(dict.fromkeys(number_of(name) for name in names))


@contextmanager
def naming(so: str) -> Generator[None]:
    """The storage knows numbers only: what it does not find is told to the caller by name."""
    try:
        yield
    except NotFound as error:
        names = [name_of(id_) for id_ in cast("Sequence[int]", error.details.get("ids", ()))]
        raise NotFound(f"there is no memory {', '.join(names)}; {so}", ids=names) from error
