"""Values with `${expressions}` in their texts, at any depth. A text that is nothing else keeps the value's type.

`$${` is a `${` that means itself. Unlike in a guard, a path that leads nowhere is an error: an argument
that is silently null does harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, cast

from mimo.services.procedures.effort import Nonsense, spend_on
from mimo.services.procedures.expressions import LONGEST_TEXT, Value, value_of
from mimo.services.procedures.grammar import Inside, Literal, Node, Root, Unreadable, parsed

Piece: TypeAlias = "str | Node"


@lru_cache(maxsize=4096)
def pieces(text: str) -> tuple[Piece, ...]:
    """The text in parts: what stands as it is, and expressions.

    Raises:
        Unreadable: a `${` has no end, or what stands in it is no expression.
    """
    found: list[Piece] = []
    plain, at = "", 0
    while (begin := text.find("${", at)) >= 0:
        if text[begin - 1 : begin] == "$" and begin > at:
            plain += text[at : begin - 1] + "${"
            at = begin + 2
            continue
        end = _end(text, begin + 2)
        plain += text[at:begin]
        if plain:
            found.append(plain)
        plain = ""
        found.append(parsed(text[begin + 2 : end]))
        at = end + 1
    plain += text[at:]
    return (*found, plain) if plain or not found else tuple(found)


def filled(template: Any, context: Mapping[str, Value]) -> Any:
    """The template with its values.

    Raises:
        Nonsense: a path leads nowhere, or an expression has no value.
    """
    match template:
        case str():
            return _filled_text(template, context) if "${" in template else template
        case list():
            return [filled(each, context) for each in cast("list[Any]", template)]
        case Mapping():
            return {name: filled(each, context) for name, each in cast("Mapping[str, Any]", template).items()}
        case _:
            return template


def expressions_in(template: Any, place: str) -> Iterator[tuple[str, Node | Unreadable]]:
    """Every expression of a template with its place; what cannot be read as the error."""
    if template is None or (isinstance(template, str) and "${" not in template):
        return
    match template:
        case str():
            try:
                yield from ((place, piece) for piece in pieces(template) if not isinstance(piece, str))
            except Unreadable as error:
                yield place, error
        case list():
            for number, each in enumerate(cast("list[Any]", template)):
                yield from expressions_in(each, f"{place}[{number}]")
        case Mapping():
            for name, each in cast("Mapping[str, Any]", template).items():
                yield from expressions_in(each, f"{place}.{name}")
        case _:
            pass


def is_plain(template: Any) -> bool:
    """Does it say the same in every context?"""
    return next(expressions_in(template, ""), None) is None


def _filled_text(text: str, context: Mapping[str, Value]) -> Any:
    parts = pieces(text)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _known(parts[0], context)
    said = "".join(each if isinstance(each, str) else _as_text(_known(each, context)) for each in parts)
    if len(said) > LONGEST_TEXT:
        raise Nonsense(f"a text has at most {LONGEST_TEXT:,} characters (this would have {len(said):,})")
    return said


def _known(node: Node, context: Mapping[str, Value]) -> Value:
    value = value_of(node, context)
    if value is None and isinstance(node, Root | Inside):
        _require(node, context)
    spend_on(context, value)
    return value


def _require(node: Node, context: Mapping[str, Value]) -> None:
    """Raises `Nonsense` if the path ends in nothing, and not in a null that somebody put there."""
    match node:
        case Root(name):
            if name not in context:
                raise Nonsense(
                    f"there is no {name!r} in the context; there are: {', '.join(sorted(context))[:300]}"
                )
        case Inside(of, key):
            inside = value_of(of, context)
            if inside is None:
                _require(of, context)
            name = value_of(key, context)
            there = (
                isinstance(inside, list)
                and isinstance(name, int)
                and -1 < name < len(cast("list[Any]", inside))
            )
            if not there and not (isinstance(inside, Mapping) and name in inside):
                shown = name if isinstance(key, Literal) else f"[{json.dumps(name)}]"
                raise Nonsense(f"there is no {str(shown)[:80]!r} where a template looks for it")
        case _:
            pass


def _as_text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _end(text: str, at: int) -> int:
    """Where the brace is that closes; those in quotes do not count."""
    quote = ""
    while at < len(text):
        sign = text[at]
        if quote:
            if sign == "\\":
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif sign == "}":
            return at
        at += 1
    raise Unreadable("a '${' has no '}'")
