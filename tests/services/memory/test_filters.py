"""What a filter lets through: as if each row were looked at, however few or many there are."""

from __future__ import annotations

from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mimo.storage.connection import open_connection
from mimo.storage.engrams import gather, search, through
from mimo.storage.engrams.search import ALLOWED, Filter, bound
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run

from .conftest import insert

NOW = 50
SPACES, KINDS, TAGS, CLIENTS = ("home", "work"), ("fact", "plan"), ("red", "blue"), ("cat", "dog")
moments = st.integers(47, 53)

engram = st.fixed_dictionaries(
    {
        "namespace": st.sampled_from(SPACES),
        "kind": st.sampled_from(KINDS),
        "client": st.sampled_from(CLIENTS),
        "trust": st.sampled_from(("user", "agent")),
        "state": st.sampled_from(("live", "live", "live", "working", "forgotten")),
        "session": st.none() | st.sampled_from(("s1", "s2")),
        "tags": st.sets(st.sampled_from(TAGS)),
        "created_at": moments,
        # One thing at most that is out of the ordinary, or two; None is ordinary.
        "odd": st.sets(
            st.sampled_from(("expires_at", "valid_from", "valid_to", "superseded_by")), max_size=2
        ),
        "at": moments,
        "newer": st.integers(0, 11),
    }
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(values), min_size=1).map(lambda chosen: tuple(sorted(chosen)))


criteria: dict[str, st.SearchStrategy[Any]] = {
    "namespaces": some((*SPACES, "nowhere")),
    "kinds": some(KINDS),
    "tags": some(TAGS),
    "clients": some(CLIENTS),
    "trusts": some(("user", "agent")),
    "session": st.sampled_from(("s1", "s2")),
    "since": moments,
    "until": moments,
    "as_of": moments,
}
# A filter of all criteria at once lets nothing through.
filters = (
    st.sets(st.sampled_from(sorted(criteria)), min_size=1, max_size=3)
    .flatmap(lambda named: st.fixed_dictionaries({name: criteria[name] for name in named}))
    .map(lambda given: Filter(**given))
)


def filled(items: list[dict[str, Any]]) -> apsw.Connection:
    db = open_connection(":memory:")
    for migration in migrations_in():
        rows(db, migration.sql)
    given = [
        {
            **each,
            "content": f"the kiln of row {number}",
            "expires_at": each["at"] if "expires_at" in each["odd"] else None,
            "valid_from": each["at"] - 1 if "valid_from" in each["odd"] else None,
            "valid_to": each["at"] if "valid_to" in each["odd"] else None,
        }
        for number, each in enumerate(items)
    ]
    ids = insert(db, given)
    for id_, each in zip(ids, items, strict=True):
        newer = ids[each["newer"] % len(ids)]
        if "superseded_by" in each["odd"] and newer != id_:
            run(db, "UPDATE engrams SET superseded_by = ? WHERE id = ?", (newer, id_))
    return db


@pytest.mark.parametrize("few", [0, 4096], ids=["joined", "looked at"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(engram, min_size=6, max_size=12), allowed=filters)
def test_lists_from_indexes_let_through_what_each_row_would(
    monkeypatch: pytest.MonkeyPatch, items: list[dict[str, Any]], allowed: Filter, few: int
) -> None:
    monkeypatch.setattr(through, "FEW", few)
    db = filled(items)
    every = f"SELECT e.id FROM engrams e WHERE {ALLOWED} ORDER BY e.id"
    naive = [row[0] for row in rows(db, every, bound(allowed, NOW))]
    it = through.through(db, allowed, NOW)
    assert it.ids.tolist() == naive
    said = gather.by_words(db, "kiln", "", allowed, NOW, gather.Known(), strictly=True)
    assert said.rows[0].tolist() == naive[::-1]


@example(held=set(range(1, 401)), may={*range(1, 11), 400}, limit=5)
@given(held=st.sets(st.integers(1, 400)), may=st.sets(st.integers(1, 400)), limit=st.integers(1, 40))
def test_the_newest_are_named_however_few_of_what_is_held_may_be(
    held: set[int], may: set[int], limit: int
) -> None:
    """It reads a part of the list first, and the whole only where that part was too short."""
    asked: list[int] = []

    def read(most: int, low: int, high: int) -> search.Integers:
        asked.append(most)
        return np.array(sorted((id_ for id_ in held if low <= id_ <= high), reverse=True)[:most], np.int64)

    it = through.Through(np.array(sorted(may), np.int64))
    assert it.newest(limit, read).tolist() == sorted(held & may, reverse=True)[:limit]
    assert len(asked) <= 2
