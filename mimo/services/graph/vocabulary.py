"""What is known of predicates, as one table; a file in the data directory adds to it, or says it otherwise."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mimo.errors import InvalidArguments, Unusable

FILE = "vocabulary.toml"
LONGEST = 100


@dataclass(frozen=True, slots=True)
class Predicate:
    """What one fact of it tells beside itself."""

    name: str
    transitive: bool = False
    symmetric: bool = False
    functional: bool = False  # a subject has one object of it at a time
    inverse: str = ""
    implies: tuple[str, ...] = ()  # it is subsumed by these: what is so related is related in these ways, too


def _table(*lines: str) -> dict[str, Predicate]:
    found: dict[str, Predicate] = {}
    for line in lines:
        name, *words = line.split()
        told: dict[str, Any] = {}
        for word in words:
            key, _, given = word.partition("=")
            told[key] = True if not given else tuple(given.split(",")) if key == "implies" else given
        found[name] = Predicate(name, **told)
    return found


# fmt: off
TABLE: Mapping[str, Predicate] = _table(
    # people and groups
    "reports_to     functional inverse=manages",
    "manages        inverse=reports_to",
    "belongs_to     transitive",
    "member_of      implies=belongs_to inverse=has_member",
    "has_member     inverse=member_of",
    # places and parts
    "located_in     transitive inverse=contains",
    "contains       transitive inverse=located_in",
    "part_of        transitive inverse=has_part",
    "has_part       transitive inverse=part_of",
    "adjacent_to    symmetric",
    # what needs what
    "requires       transitive inverse=required_by implies=depends_on",
    "required_by    transitive inverse=requires",
    "depends_on     transitive",
    "provides       inverse=provided_by",
    "provided_by    inverse=provides",
    "uses           inverse=used_by",
    "used_by        inverse=uses",
    # kinds
    "is_a           transitive",
    "instance_of    implies=is_a",
    "subclass_of    transitive implies=is_a",
    # time
    "precedes       transitive inverse=follows",
    "follows        transitive inverse=precedes",
    "overlaps       symmetric",
    # whose it is
    "owns           inverse=owned_by",
    "owned_by       inverse=owns",
    "created_by     inverse=creator_of",
    "creator_of     inverse=created_by",
    "authored_by    implies=created_by inverse=author_of",
    "author_of      inverse=authored_by",
    "same_as        symmetric transitive",
    "relates_to     symmetric",
)
# fmt: on


@lru_cache(maxsize=4096)
def normalised(name: str) -> str:
    """A predicate as it is stored: `Depends On`, `dependsOn` and `depends-on` are `depends_on`.

    Raises:
        InvalidArguments: nothing is left of it, or it is too long.
    """
    text = unicodedata.normalize("NFKC", name).strip()
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    text = re.sub(r"[\W_]+", "_", text.casefold()).strip("_")
    if not text or len(text) > LONGEST:
        shown = name if len(name) <= 40 else f"{name[:37]}..."
        raise InvalidArguments(
            f"a predicate is a few words like depends_on, at most {LONGEST} characters (got {shown!r})",
            fields=["predicate"],
        )
    return text


class Vocabulary:
    """The table with what a person has added. What is not in it is a predicate without properties."""

    def __init__(self, table: Mapping[str, Predicate] = TABLE) -> None:
        self._table = dict(table)
        for each in list(self._table.values()):  # an inverse holds in both directions
            if each.inverse and each.inverse not in self._table:
                self._table[each.inverse] = Predicate(each.inverse, inverse=each.name)

    def __iter__(self) -> Any:
        return iter(self._table.values())

    def __getitem__(self, name: str) -> Predicate:
        return self._table.get(name) or Predicate(name)

    def __contains__(self, name: str) -> bool:
        return name in self._table


def read_vocabulary(home: str) -> Vocabulary:
    """The table, and what `vocabulary.toml` in the data directory says:

        [blocks]
        transitive = true
        inverse = "blocked_by"
        implies = ["relates_to"]

    Raises:
        Unusable: the file is there and cannot be understood.
    """
    path = Path(home) / FILE
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Vocabulary()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Unusable(f"cannot read the vocabulary {path}: {error}; mend it or move it away") from error
    table = dict(TABLE)
    for name, properties in told.items():
        table[normalised(name)] = _predicate(path, table.get(normalised(name)), name, properties)
    return Vocabulary(table)


def _predicate(path: Path, before: Predicate | None, name: str, properties: Any) -> Predicate:
    if not isinstance(properties, dict):
        raise Unusable(f"{path}: {name} must be a table like [{name}] with transitive = true below it")
    changes: dict[str, Any] = {}
    for key, given in properties.items():  # pyright: ignore[reportUnknownVariableType]
        if key in {"transitive", "symmetric", "functional"} and isinstance(given, bool):
            changes[key] = given
        elif key == "inverse" and isinstance(given, str):
            changes[key] = normalised(given) if given else ""
        elif key == "implies" and isinstance(given, list) and all(isinstance(one, str) for one in given):  # pyright: ignore[reportUnknownVariableType]
            changes[key] = tuple(normalised(one) for one in given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        else:
            raise Unusable(
                f"{path}: {name}.{key} is not understood; there are transitive, symmetric, functional"
                ' (true or false), inverse = "name" and implies = ["name"]'
            )
    return replace(before or Predicate(normalised(name)), **changes)
