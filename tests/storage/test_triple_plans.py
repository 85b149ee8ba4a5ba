"""Every statement that the code runs on facts finds its rows by an index: all SQL of the modules, walked."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import pytest

import mimo.storage
from mimo.storage import triple_changes, triple_merging, triple_walk, triples
from mimo.storage.connection import open_connection
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run

FOLDER = Path(mimo.storage.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("triple*.py"))
STATEMENT = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Small by nature, or read whole on purpose.
MAY_BE_SCANNED = {
    "graphs",
    "wanted",
    "gone",
    "json_each",
    "CONSTANT",
    "sqlite_sequence",
    "fallen",
    "change",
    "w",
}


def statements(module: str) -> Iterator[str]:
    """All texts of a module that are SQL, with the module's own constants put in."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    loaded = __import__(f"mimo.storage.{module}", fromlist=["*"])
    pieces = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.Constant) and id(node) in pieces:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            code = compile(ast.Expression(node), module, "eval")
            try:
                text = eval(code, vars(loaded))
            except NameError:
                continue
        if text and STATEMENT.match(text) and (" FROM " in text or "INTO" in text or "SET" in text):
            yield text


EVERY = [(module, statement) for module in MODULES for statement in dict.fromkeys(statements(module))]


@pytest.fixture(scope="module")
def db() -> apsw.Connection:
    db = open_connection(":memory:")
    for migration in migrations_in():
        rows(db, migration.sql)
    run(db, "INSERT INTO graphs (name, created_at) VALUES ('a', 0), ('b', 0)")
    db.executemany(
        "INSERT INTO semantic_triples (subject, predicate, object, graph_id, recorded_at) VALUES (?, ?, ?, ?, 0)",
        [(f"s{n % 500}", f"p{n % 7}", f"o{n}", "ab"[n % 2]) for n in range(3_000)],
    ).fetchall()
    db.executemany(
        "INSERT INTO entities (graph_id, name, created_at) VALUES ('a', ?, 0)",
        [(f"s{n}",) for n in range(500)],
    ).fetchall()
    run(
        db,
        "INSERT INTO entity_aliases (graph_id, key, alias, entity_id) SELECT 'a', name, name, id FROM entities",
    )
    run(db, "ANALYZE")
    return db


def steps(plan: Any) -> Iterator[str]:
    yield plan.detail
    for inner in plan.sub or ():
        yield from steps(inner)


def test_the_statements_are_found() -> None:
    assert len(EVERY) > 50


def unindexed(db: apsw.Connection, statement: str) -> list[str]:
    """The steps of its plan that read what they need not."""
    plan = apsw.ext.query_info(db, statement, explain_query_plan=True).query_plan
    found: list[str] = []
    for step in steps(plan):
        scanned = re.match(r"SCAN (\w+)(.*)", step)
        if scanned is not None:
            name, how = scanned.groups()
            # By an index: the newest first, and no further than asked for.
            if name not in MAY_BE_SCANNED and "USING" not in how and "VIRTUAL TABLE" not in how:
                found.append(f"{step}\n{statement}")
    return found


@pytest.mark.parametrize(("module", "statement"), EVERY, ids=[f"{m}-{n}" for n, (m, _) in enumerate(EVERY)])
def test_rows_are_found_by_an_index(db: apsw.Connection, module: str, statement: str) -> None:
    try:
        assert unindexed(db, statement) == []
    except apsw.SQLError as error:
        if str(error) == "incomplete input":
            pytest.skip("the beginning of other statements, which are looked at themselves")
        raise


def test_statements_that_are_put_together_find_their_rows_by_an_index(db: apsw.Connection) -> None:
    """Those that the text of the modules does not show whole: every way of putting them together is run and seen."""
    ran: dict[str, None] = {}

    def seen(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        ran[sql] = None
        return True

    db.exec_trace = seen
    try:
        names = [("s1", None), ("p1", None), ("o1", None)]
        for subject, predicate, object_ in itertools.product(*names):
            for known_at in (None, 5):
                triple_walk.fitting(db, "a", subject, predicate, object_, 9, known_at)
            if subject or object_:
                triple_changes.matching(db, "a", subject, predicate, object_, 9)
        for side in ("subject", "object"):
            for known_at in (None, 5):
                triple_walk.around(db, "a", ["s1", "s2"], side, 9, known_at)
        triples.about(db, "a", "s1", 9)
        with db:
            triple_merging.merge(db, "a", "s1", "s2", "me", 1)
            triple_merging.undo(db, "a", 2)
    finally:
        db.exec_trace = None
    assert len(ran) > 35
    planned = [sql for sql in ran if STATEMENT.match(sql)]
    assert [told for sql in planned for told in unindexed(db, sql)] == []
    by_names = [sql for sql in planned if "semantic_triples AS t WHERE +t.graph_id" in sql]
    assert len(by_names) == 14
    for sql in by_names:
        plan = apsw.ext.query_info(db, sql, explain_query_plan=True).query_plan
        assert any(
            "USING INDEX triples_" in step and "triples_confident" not in step for step in steps(plan)
        ), sql


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("subject = ?", "triples_spo"),
        ("subject = ? AND predicate = ?", "triples_spo"),
        ("predicate = ? AND object = ?", "triples_pos"),
        ("object = ?", "triples_osp"),
        ("object = ? AND subject = ?", "triples_"),
        ("graph_id = ? AND confidence >= 0.9 AND retired_at IS NULL", "triples_confident"),
        ("expires_at <= ? AND retired_at IS NULL", "triples_expiring"),
    ],
)
def test_facts_are_found_by_whatever_is_known_of_them(db: apsw.Connection, where: str, index: str) -> None:
    sql = f"SELECT * FROM semantic_triples WHERE {where}"
    plan = apsw.ext.query_info(db, sql, explain_query_plan=True).query_plan
    assert any(f"USING INDEX {index}" in step for step in steps(plan))
