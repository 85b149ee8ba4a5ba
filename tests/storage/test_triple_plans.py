"""Every statement that the code runs on facts finds its rows by an index: all SQL of the modules, walked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import pytest

import mimo.storage
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


@pytest.mark.parametrize(("module", "statement"), EVERY, ids=[f"{m}-{n}" for n, (m, _) in enumerate(EVERY)])
def test_rows_are_found_by_an_index(db: apsw.Connection, module: str, statement: str) -> None:
    try:
        plan = apsw.ext.query_info(db, statement, explain_query_plan=True).query_plan
    except apsw.SQLError as error:
        if str(error) == "incomplete input":
            pytest.skip("the beginning of other statements, which are looked at themselves")
        raise
    for step in steps(plan):
        scanned = re.match(r"SCAN (\w+)(.*)", step)
        if scanned is None:
            continue  # the newest first, and no further than asked for
        name, how = scanned.groups()
        fine = name in MAY_BE_SCANNED or "USING" in how or "VIRTUAL TABLE" in how
        assert fine, f"{step}\n{statement}"


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
