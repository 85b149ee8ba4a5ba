"""Running SQL whole: every cursor is read to its end, so none pins the write-ahead log.

It is also the one place that meets apsw's type stub, which names a type that Python 3.11 does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import apsw

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


def run_many(db: apsw.Connection, sql: str, bindings: Iterable[Bindings]) -> None:
    """One statement, once for each of the bindings."""
    db.executemany(sql, bindings).fetchall()  # pyright: ignore[reportUnknownMemberType]
