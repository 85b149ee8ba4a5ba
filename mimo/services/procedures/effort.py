"""How much may be worked out in one turn. The loop waits for it, and ten lines can ask for more than a day's work.

`set a: ["${a}", "${a}"]` doubles what it holds each time, and a guard may compare two such things. So what a run knows
carries with it how much may still be looked at in this turn, one value inside the other; then there is no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

# Some thirty milliseconds: values, one inside the other, each looked at once.
MOST = 100_000
# Of texts, which are compared and copied by the machine itself.
CHARACTERS = 64


class Nonsense(ValueError):
    """An expression has no value: a division by zero, a comparison of a text with a number, or far too much of both."""


class Effort:
    """What is left of a turn's."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST


class Knowledge(dict[str, Any]):
    """The context of a run during one turn."""

    def __init__(self, known: Mapping[str, Any], effort: Effort | None = None) -> None:
        super().__init__(known)
        self.effort = effort or Effort()

    def and_also(self, name: str, value: Any) -> Knowledge:
        """With this besides; what is worked out of either counts for both."""
        return Knowledge({**self, name: value}, self.effort)

    def without(self, name: str) -> Knowledge:
        return Knowledge({each: value for each, value in self.items() if each != name}, self.effort)


def spend_on(context: Mapping[str, Any], *values: Any) -> None:
    """For values as a whole, as they would be written: what stands in one twice counts twice. Outside of a turn
    nobody counts.

    Raises:
        Nonsense: there is nothing left.
    """
    if not isinstance(context, Knowledge):
        return
    effort = context.effort
    todo: list[Any] = [*values]
    while todo:
        each = todo.pop()
        effort.left -= 1
        if isinstance(each, str):
            effort.left -= len(each) // CHARACTERS
        elif isinstance(each, list | Mapping):
            inside = cast("list[Any] | Mapping[str, Any]", each)
            if len(inside) <= effort.left:
                todo.extend(inside if isinstance(inside, list) else inside.values())
            else:
                effort.left = -1
        if effort.left < 0:
            raise Nonsense("there is more to be worked out than may be in one go: keep less in the context")
