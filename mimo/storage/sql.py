"""Running SQL whole: every cursor is read to its end, so none pins the write-ahead log.

It is also the one place that meets apsw's type stub, which names a type that Python 3.11 does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import apsw

# Few sizes, so that the statements are compiled once.
AT_ONCE = (16, 1)

Bindings: TypeAlias = Sequence[Any] | Mapping[str, Any]


def rows(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
    """All rows of one or more statements."""
    return db.execute(sql, bindings).fetchall()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def value(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> Any:
    """The value of one row with one column; None without a row."""
    return db.execute(sql, bindings).get  # pyright: ignore[reportUnknownMemberType]


def run(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> None:
    """What has no rows, or none of interest."""
    rows(db, sql, bindings)


def insert_rows(db: apsw.Connection, sql: str, given: Sequence[Sequence[Any]]) -> None:
    """`sql` inserts one row; it is done for all that are given, with several rows in a statement.

    A statement that has triggers has a savepoint, too, at which a full-text index writes down what it has gathered:
    row by row that takes a third of all the time.
    """
    at = 0
    for count in AT_ONCE:
        while len(given) - at >= count:
            run(db, _for_rows(sql, count), [value for row in given[at : at + count] for value in row])
            at += count


@lru_cache(maxsize=64)
def _for_rows(sql: str, count: int) -> str:
    head, word, marks = sql.rpartition(" VALUES ")
    return head + word + ", ".join([marks] * count)


def run_many(db: apsw.Connection, sql: str, bindings: Iterable[Bindings]) -> None:
    """One statement, once for each of the bindings."""
    db.executemany(sql, bindings).fetchall()  # pyright: ignore[reportUnknownMemberType]
