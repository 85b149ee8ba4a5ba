"""How much may be worked out in one turn. The loop waits for it, and ten lines can ask for more than a day's work.

`set a: ["${a}", "${a}"]` doubles what it holds each time, and a guard may compare two such things. So whatever looks
at values, one inside the other, says what it costs; who has spent all gets no more values in this turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

# Some thirty milliseconds, or the largest result, looked at piece by piece.
MOST = 200_000
# Of texts, which are compared and copied by the machine itself.
CHARACTERS = 64

_left: int | None = None


class Nonsense(ValueError):
    """An expression has no value: a division by zero, a comparison of a text with a number, or far too much of both."""


def begin() -> None:
    """A turn begins. Outside of one nobody counts."""
    global _left
    _left = MOST


def end() -> None:
    global _left
    _left = None


def spend(steps: int) -> None:
    """Raises `Nonsense` when there is nothing left."""
    global _left
    if _left is None:
        return
    _left -= steps
    if _left < 0:
        raise Nonsense("there is more to be worked out than may be in one go: keep less in the context")


def spend_on(value: Any) -> None:
    """For a value as a whole, as it would be written: what stands in it twice counts twice."""
    todo: list[Any] = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            spend(1 + len(each) // CHARACTERS)
        elif isinstance(each, list):
            items = cast("list[Any]", each)
            spend(1 + len(items))
            todo.extend(items)
        elif isinstance(each, Mapping):
            inside = cast("Mapping[str, Any]", each)
            spend(1 + len(inside))
            todo.extend(inside.values())
        else:
            spend(1)
