"""Names that stand twice in one object: each with its place, where a parser would take the last and say nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

# The way to a value: names of objects and numbers of lists.
Way: TypeAlias = tuple[str | int, ...]


class _Doubled(dict[str, Any]):
    """An object in which names stood more than once."""

    names: Sequence[str] = ()


class Objects:
    """Makes the objects of one text, as its parser comes by them."""

    def __init__(self) -> None:
        self._any_doubled = False

    def made(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        self._any_doubled = True
        doubled = _Doubled(found)
        doubled.names = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        return doubled

    def doubled(self, whole: object) -> Iterator[tuple[Way, str]]:
        """In what was read: the way to each object, and a name that stands in it twice. Of two things of one name
        the first is gone, with all that stood in it."""
        todo: list[tuple[Way, object]] = [((), whole)] if self._any_doubled else []
        while todo:
            way, each = todo.pop()
            if isinstance(each, _Doubled):
                yield from ((way, name) for name in each.names)
            if isinstance(each, dict):
                inside = cast("dict[str, object]", each)
                todo += [((*way, name), inside[name]) for name in reversed(inside)]
            elif isinstance(each, list):
                below = list(enumerate(cast("list[object]", each)))
                todo += [((*way, number), item) for number, item in reversed(below)]
