"""From the text of an expression to its tree, or to what is wrong with it and where. See expressions.py."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

LONGEST = 2_000  # characters; nobody reads a longer guard
DEEPEST = 40
MOST_OPERATORS = 160  # a chain leans to the left, so its length is the depth of the tree
BIGGEST = 1 << 63


class Unreadable(ValueError):
    """The text is no expression. Says where, counted from 1."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any  # JSON


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Root:
    name: str


@dataclass(frozen=True, slots=True)
class Inside:
    """`of.key` or `of[key]`."""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Unary:
    sign: str
    of: Node


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Applied:
    name: str
    to: tuple[Node, ...]


Node: TypeAlias = "Literal | ListOf | Root | Inside | Unary | Binary | Applied"

# Name, how many arguments. `default(a, b)` is b where a is null.
FUNCTIONS: Mapping[str, int] = {"length": 1, "default": 2}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<sign>==|!=|<=|>=|[-+*/%<>()\[\],.]))",
    re.DOTALL,
)
_WORDS = {"and", "or", "not", "in"}
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_ESCAPES = {"n": "\n", "t": "\t", "'": "'", '"': '"', "\\": "\\"}


@lru_cache(maxsize=4096)
def parsed(text: str) -> Node:
    """The expression that the text is.

    Raises:
        Unreadable: it is none.
    """
    if len(text) > LONGEST:
        raise Unreadable(f"an expression has at most {LONGEST} characters (got {len(text)})")
    return _Parser(text).whole()


def roots(node: Node) -> frozenset[str]:
    """The names at which its paths begin."""
    match node:
        case Root(name):
            return frozenset({name})
        case Literal():
            return frozenset()
        case ListOf(items) | Applied(_, items):
            return frozenset[str]().union(*map(roots, items))
        case Inside(of, key):
            return roots(of) | roots(key)
        case Unary(_, of):
            return roots(of)
        case Binary(_, left, right):
            return roots(left) | roots(right)


class _Parser:
    """Precedence climbing over tokens; each is (kind, text, place)."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._operators = 0

    def whole(self) -> Node:
        node = self._choice()
        kind, text, place = self._tokens[self._at]
        if kind != "end":
            raise Unreadable(f"what is {text[:20]!r} at {place}? An expression ended before it")
        return node

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable(f"nested more than {DEEPEST} deep")
        node = self._conjunction()
        while self._take("or"):
            node = self._joined("or", node, self._conjunction())
        self._depth -= 1
        return node

    def _conjunction(self) -> Node:
        node = self._negation()
        while self._take("and"):
            node = self._joined("and", node, self._negation())
        return node

    def _negation(self) -> Node:
        times = 0
        while self._take("not"):
            times += 1
            if times > DEEPEST:
                raise Unreadable(f"nested more than {DEEPEST} deep")
        node = self._comparison()
        for _ in range(times):
            node = Unary("not", node)
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        sign = self._tokens[self._at][1] if self._tokens[self._at][0] == "sign" else ""
        if sign in _COMPARISONS:
            self._at += 1
            node = Binary(sign, node, self._sum())
        elif self._take("in"):
            node = Binary("in", node, self._sum())
        elif self._tokens[self._at][1] == "not" and self._tokens[self._at + 1][1] == "in":
            self._at += 2
            node = Unary("not", Binary("in", node, self._sum()))
        if self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in _COMPARISONS:
            raise Unreadable(f"compare two things at a time, and join with 'and' ({self._here()})")
        return node

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._take_sign("+", "-"):
            node = self._joined(sign, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._negative()
        while sign := self._take_sign("*", "/", "%"):
            node = self._joined(sign, node, self._negative())
        return node

    def _negative(self) -> Node:
        times = 0
        while self._take_sign("-"):
            times += 1
            if times > DEEPEST:
                raise Unreadable(f"nested more than {DEEPEST} deep")
        node = self._path()
        for _ in range(times):
            node = Unary("-", node)
        return node

    def _path(self) -> Node:
        node = self._atom()
        while sign := self._take_sign(".", "["):
            if sign == ".":
                kind, text, _ = self._tokens[self._at]
                if kind not in {"name", "word"}:
                    raise Unreadable(f"a name is wanted after the point ({self._here()})")
                self._at += 1
                node = self._joined(".", node, Literal(text))
            else:
                node = self._joined(".", node, self._choice())
                self._want("]")
        return node

    def _atom(self) -> Node:
        kind, text, place = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return Literal(_literal_number(text, place))
        if kind == "text":
            return Literal(_unescaped(text, place))
        if kind == "name" and text in _CONSTANTS:
            return Literal(_CONSTANTS[text])
        if kind == "name":
            return self._applied(text) if self._take_sign("(") else Root(text)
        if text == "(":
            node = self._choice()
            self._want(")")
            return node
        if text == "[":
            return ListOf(self._listed("]"))
        self._at -= 1
        raise Unreadable(f"a value is wanted ({self._here()})")

    def _applied(self, name: str) -> Node:
        if name not in FUNCTIONS:
            raise Unreadable(f"no function {name[:40]!r}; there are: {', '.join(FUNCTIONS)}")
        given = self._listed(")")
        if len(given) != FUNCTIONS[name]:
            raise Unreadable(f"{name} takes {FUNCTIONS[name]} (got {len(given)})")
        return Applied(name, given)

    def _listed(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._take_sign(end):
            return ()
        while True:
            items.append(self._choice())
            if self._take_sign(end):
                return tuple(items)
            self._want(",")

    def _joined(self, sign: str, left: Node, right: Node) -> Node:
        self._operators += 1
        if self._operators > MOST_OPERATORS:
            raise Unreadable(f"more than {MOST_OPERATORS} operators")
        return Inside(left, right) if sign == "." else Binary(sign, left, right)

    def _take(self, word: str) -> bool:
        kind, text, _ = self._tokens[self._at]
        if kind == "word" and text == word:
            self._at += 1
            return True
        return False

    def _take_sign(self, *signs: str) -> str:
        kind, text, _ = self._tokens[self._at]
        if kind == "sign" and text in signs:
            self._at += 1
            return text
        return ""

    def _want(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise Unreadable(f"{sign!r} is wanted ({self._here()})")

    def _here(self) -> str:
        kind, text, place = self._tokens[self._at]
        return f"at the end, {place}" if kind == "end" else f"at {place}, before {text[:20]!r}"


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            rest = text[at:].lstrip()
            if not rest:
                break
            raise Unreadable(f"what is {rest[:1]!r} at {len(text) - len(rest) + 1}?")
        kind, token = match.lastgroup, match[match.lastgroup]
        found.append(("word" if token in _WORDS and kind == "name" else kind, token, match.start(kind) + 1))
        at = match.end()
    end = ("end", "", len(text) + 1)
    return [*found, end, end]  # two, because "not in" looks one further


def _literal_number(text: str, place: int) -> int | float:
    number = int(text) if text.isdigit() and len(text) < 20 else float(text)
    if (abs(number) >= BIGGEST and isinstance(number, int)) or not math.isfinite(number):
        raise Unreadable(f"{text[:20]} at {place} is too large a number")
    return number


def _unescaped(text: str, place: int) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise Unreadable(f"no escape \\{match[1]} in the text at {place}")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", one, text[1:-1], flags=re.DOTALL)
