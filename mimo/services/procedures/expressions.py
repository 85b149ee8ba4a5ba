"""The language of guards and templates: paths, comparison, and/or/not, in, length, arithmetic. Small and total.

Every text either is an expression or is told why not, and every expression gives a value or a `Nonsense`
within a bounded number of steps. There is no way from here to Python: a path looks into objects and
lists, and nothing else. What is not there is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from mimo.services.procedures.effort import Nonsense, spend_on
from mimo.services.procedures.grammar import (
    BIGGEST,
    Applied,
    Binary,
    Inside,
    ListOf,
    Literal,
    Node,
    Root,
    Unary,
    parsed,
)

# Texts grow by "+" only, and each is bounded, so no expression makes much of little.
LONGEST_TEXT = 100_000
# To look at numbers costs what it costs to find them.
_LARGE = (str, list, Mapping)

Value: TypeAlias = Any  # JSON


def value_of(node: Node, context: Mapping[str, Value]) -> Value:
    """What the expression says of this context. A path that leads nowhere is null.

    Raises:
        Nonsense: it says nothing.
    """
    match node:
        case Literal(value):
            return value
        case Root(name):
            return context.get(name)
        case ListOf(items):
            return [value_of(each, context) for each in items]
        case Inside(of, key):
            return _inside(value_of(of, context), value_of(key, context))
        case Applied("length", (of,)):
            return _length(value_of(of, context))
        case Applied(_, (first, second)):
            found = value_of(first, context)
            return value_of(second, context) if found is None else found
        case Unary("not", of):
            return not _truth(value_of(of, context))
        case Unary(_, of):
            return _number(-_numeric(value_of(of, context), "-"))
        case Binary("and", left, right):
            return _truth(value_of(left, context)) and _truth(value_of(right, context))
        case Binary("or", left, right):
            return _truth(value_of(left, context)) or _truth(value_of(right, context))
        case Binary(sign, left, right):
            one, other = value_of(left, context), value_of(right, context)
            if isinstance(one, _LARGE) or isinstance(other, _LARGE):
                spend_on(context, one, other)
            return _BINARY[sign](one, other)
        case _:
            raise Nonsense("no such expression")


def holds(text: str, context: Mapping[str, Value]) -> bool:
    """Is this guard true here? Null is not.

    Raises:
        Nonsense: it is neither true nor false.
    """
    return _truth(value_of(parsed(text), context))


def _inside(thing: Value, key: Value) -> Value:
    if isinstance(thing, Mapping):
        return cast("Mapping[str, Value]", thing).get(key) if isinstance(key, str) else None
    if isinstance(thing, list) and isinstance(key, int) and not isinstance(key, bool):
        items = cast("list[Value]", thing)
        return items[key] if -len(items) <= key < len(items) else None
    return None


def _length(value: Value) -> int:
    if isinstance(value, str | list | Mapping):
        return len(cast("Sequence[Value]", value))
    if value is None:
        return 0
    raise Nonsense(f"{kind_of(value)} has no length")


def _truth(value: Value) -> bool:
    if value is None or isinstance(value, bool):
        return value is True
    raise Nonsense(f"{kind_of(value)} is neither true nor false; compare it with something")


def _numeric(value: Value, sign: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Nonsense(f"'{sign}' takes numbers, not {kind_of(value)}")
    return _number(value)  # what a tool gave may be larger than any number of ours


def _number(value: float) -> int | float:
    if abs(value) >= BIGGEST if isinstance(value, int) else not math.isfinite(value):
        raise Nonsense("the number is too large")
    return value


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > LONGEST_TEXT:
            raise Nonsense(f"a text has at most {LONGEST_TEXT:,} characters")
        return left + right
    return _number(_numeric(left, "+") + _numeric(right, "+"))


def _divide(left: Value, right: Value) -> Value:
    above, below = _numeric(left, "/"), _numeric(right, "/")
    if below == 0:
        raise Nonsense("a division by zero")
    if isinstance(above, int) and isinstance(below, int) and above % below == 0:
        return above // below
    return _number(above / below)


def _rest(left: Value, right: Value) -> Value:
    above, below = _numeric(left, "%"), _numeric(right, "%")
    if below == 0:
        raise Nonsense("a division by zero")
    return _number(above % below)


def same(left: Value, right: Value) -> bool:
    """Equal as JSON: 1 is 1.0, and true is no 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        ours, theirs = cast("list[Value]", left), cast("list[Value]", right)
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        one, other = cast("Mapping[str, Value]", left), cast("Mapping[str, Value]", right)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(left == right)


def _ordered(sign: str, judge: Callable[[Any, Any], bool]) -> Callable[[Value, Value], bool]:
    def compare(left: Value, right: Value) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return judge(left, right)
        return judge(_numeric(left, sign), _numeric(right, sign))

    return compare


def _contains(item: Value, holder: Value) -> bool:
    if isinstance(holder, str) and isinstance(item, str):
        return item in holder
    if isinstance(holder, Mapping):
        return isinstance(item, str) and item in holder
    if isinstance(holder, list):
        return any(same(item, each) for each in cast("list[Value]", holder))
    if holder is None:
        return False
    raise Nonsense(f"'in' looks into lists, objects and texts, not into {kind_of(holder)}")


def kind_of(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


_BINARY: Mapping[str, Callable[[Value, Value], Value]] = {
    "+": _add,
    "-": lambda left, right: _number(_numeric(left, "-") - _numeric(right, "-")),
    "*": lambda left, right: _number(_numeric(left, "*") * _numeric(right, "*")),
    "/": _divide,
    "%": _rest,
    "==": same,
    "!=": lambda left, right: not same(left, right),
    "<": _ordered("<", lambda left, right: left < right),
    "<=": _ordered("<=", lambda left, right: left <= right),
    ">": _ordered(">", lambda left, right: left > right),
    ">=": _ordered(">=", lambda left, right: left >= right),
    "in": _contains,
}
