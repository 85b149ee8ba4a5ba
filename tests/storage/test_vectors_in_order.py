"""All vectors are read in portions: none may cost more for what is behind it, whatever SQLite has counted."""

import struct
from collections.abc import Iterator
from typing import Any

import apsw
import apsw.ext
import pytest

from mimo.storage.connection import open_connection
from mimo.storage.engrams import vectors
from mimo.storage.engrams.vectors import StoredVectors, comparable, vectors_after
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run

# What ANALYZE writes of a file with so many memories of one model.
COUNTED = [
    ("engram_vectors", "engram_vectors_by_engram", "1000000 1"),
    ("engram_vectors", "sqlite_autoindex_engram_vectors_1", "1000000 1000000 1"),
    ("namespaces", "sqlite_autoindex_namespaces_1", "2 1"),
    ("engrams", "engrams_pinned", "0 0"),
    ("engrams", "engrams_by_weight", "1000000 500000 500000 500000"),
    ("engrams", "engrams_superseded", "0 0"),
    ("engrams", "engrams_by_expiry", "0 0"),
    ("engrams", "engrams_by_state", "1000000 1000000 1000000"),
    ("engrams", "engrams_by_hash", "1000000 1 1"),
    ("engrams", "engrams_by_session", "0 0 0 0"),
    ("engrams", "engrams_by_namespace", "1000000 500000 500000 500000"),
    ("embedding_models", "sqlite_autoindex_embedding_models_1", "1 1"),
]


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    db = open_connection(":memory:")
    for migration in migrations_in():
        rows(db, migration.sql)
    run(db, "INSERT INTO namespaces (name, created_at) VALUES ('a', 0), ('b', 0)")
    run(db, "INSERT INTO embedding_models (name, dim) VALUES ('m', 2), ('other', 2)")
    for n in range(1, 41):
        run(
            db,
            "INSERT INTO engrams (id, namespace, state, state_since, content, content_hash, created_at, stored_at,"
            " changed_at, accessed_at) VALUES (?, ?, ?, 0, ?, randomblob(32), 0, 0, 0, 0)",
            (3 * n, "ab"[n % 2], "forgotten" if n % 10 == 0 else "live", f"content {n}"),
        )
        for model in (1, 2):
            run(
                db,
                "INSERT INTO engram_vectors (engram_id, model, dim, vector) VALUES (?, ?, 2, ?)",
                (3 * n, model, struct.pack("<2e", n, model)),
            )
    run(db, "ANALYZE")
    run(db, "DELETE FROM sqlite_stat1")
    for table, index, counts in COUNTED:
        run(db, "INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", (table, index, counts))
    run(db, "ANALYZE sqlite_schema")
    yield db
    db.close()


def test_all_that_can_be_found_comes_once_and_in_order(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "PORTION", 7)
    monkeypatch.setattr(vectors, "PORTIONS", 2)
    taken: list[StoredVectors] = []
    after: int | None = 0
    ends: list[int | None] = []
    while after is not None:
        after = vectors_after(db, 1, after, taken.append)
        ends.append(after)
    found = [row for portion in taken for row in zip(*portion, strict=True)]
    assert found == [(3 * n, struct.pack("<2e", n, 1), 1 + n % 2) for n in range(1, 41) if n % 10]
    assert [len(portion.ids) for portion in taken] == [7, 7, 7, 7, 7, 1]
    assert ends == [taken[1].ids[-1], taken[3].ids[-1], 117, None]


@pytest.mark.parametrize("query", [vectors_after, comparable])
def test_a_portion_is_not_sorted_out_of_all_that_come_after_it(db: apsw.Connection, query: Any) -> None:
    ran: dict[str, None] = {}

    def seen(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        ran[sql] = None
        return True

    db.exec_trace = seen
    if query is comparable:
        comparable(db, "m", 0, 10)
    else:
        vectors_after(db, 1, 0, lambda stored: None)
    db.exec_trace = None
    assert ran
    for sql in ran:
        plan = str(apsw.ext.query_info(db, sql, explain_query_plan=True).query_plan)
        assert "TEMP B-TREE" not in plan, plan
