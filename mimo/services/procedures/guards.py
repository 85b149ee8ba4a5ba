"""Which guards can be seen to exclude each other: the same thing compared with two values, or a guard and its opposite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimo.services.procedures.grammar import (
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

_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
_TURNED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NEVER_BOTH = ({"==", "<"}, {"==", ">"}, {"<", ">"}, *({one, other} for one, other in _OPPOSITE.items()))


@dataclass(frozen=True, slots=True)
class Said:
    """What has to hold for a guard to: its terms, as texts that are equal if their values always are."""

    terms: frozenset[str]
    denied: frozenset[str]  # what stands behind a `not`
    compared: Mapping[tuple[str, str], frozenset[str]]  # two sides, and the signs that are between them
    equal: Mapping[str, frozenset[str]]  # a side, and the values that it equals


def said_by(guard: str) -> Said:
    """Of one guard; it is worked out once, and not for each other that it is compared with.

    Raises:
        Unreadable: it is no expression.
    """
    terms: set[str] = set()
    denied: set[str] = set()
    compared: dict[tuple[str, str], frozenset[str]] = {}
    equal: dict[str, frozenset[str]] = {}
    for term in _terms(parsed(guard)):
        terms.add(_text(term))
        if isinstance(term, Unary) and term.sign == "not":
            denied.add(_text(term.of))
        if not isinstance(term, Binary) or term.sign not in _OPPOSITE:
            continue
        left, sign, right = term.left, term.sign, term.right
        if _is_value(left):
            left, sign, right = right, _TURNED[sign], left
        sides = _text(left), _text(right)
        compared[sides] = compared.get(sides, frozenset()) | {sign}
        if sign == "==" and _is_value(right):
            equal[sides[0]] = equal.get(sides[0], frozenset()) | {sides[1]}
    return Said(frozenset(terms), frozenset(denied), compared, equal)


def exclude(one: Said, other: Said) -> bool:
    """Can they not both hold?"""
    if one.denied & other.terms or other.denied & one.terms:
        return True
    for sides in one.compared.keys() & other.compared.keys():
        if any({a, b} in _NEVER_BOTH for a in one.compared[sides] for b in other.compared[sides]):
            return True
    return any(len(one.equal[side] | other.equal[side]) > 1 for side in one.equal.keys() & other.equal.keys())


def _terms(node: Node) -> list[Node]:
    """The parts that all have to hold."""
    found: list[Node] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, Binary) and each.sign == "and":
            todo += (each.left, each.right)
        else:
            found.append(each)
    return found


def _is_value(node: Node) -> bool:
    """Is it the same in every context? Then another text is another value."""
    match node:
        case Literal():
            return True
        case ListOf(items):
            return all(map(_is_value, items))
        case Unary("-", Literal(value)):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return False


def _text(node: Node) -> str:
    """As the language compares, which Python does otherwise: 1 is 1.0, and neither is true."""
    match node:
        case Literal(value):
            return _literal(value)
        case Unary("-", Literal(value)) if _is_value(node):
            return _literal(-value)
        case ListOf(items):
            return f"[{', '.join(map(_text, items))}]"
        case Root(name):
            return name
        case Inside(of, key):
            return f"{_text(of)}[{_text(key)}]"
        case Unary(sign, of):
            return f"({sign} {_text(of)})"
        case Binary(sign, left, right):
            return f"({_text(left)} {sign} {_text(right)})"
        case Applied(name, to):
            return f"{name}({', '.join(map(_text, to))})"


def _literal(value: Any) -> str:
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
