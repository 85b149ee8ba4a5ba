"""Every statement that the code runs on engrams finds its rows by an index: all SQL of the modules, walked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import pytest

import mimo.storage.engrams
from mimo.storage.connection import open_connection
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run

FOLDER = Path(mimo.storage.engrams.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
STATEMENT = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Small by nature, or read whole on purpose.
MAY_BE_SCANNED = {
    "namespaces", "n", "home", "wanted", "active_days", "embedding_models", "m", "embedding_queue", "q",
    "json_each", "CONSTANT", "fts5vocab", "engram_word_counts", "sqlite_sequence",
}  # fmt: skip
# Whoever carries everything out reads everything.
READS_ALL = {"transfer"}


def statements(module: str) -> Iterator[str]:
    """All texts of a module that are SQL, with the module's own constants put in."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    loaded = __import__(f"mimo.storage.engrams.{module}", fromlist=["*"])
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
    run(db, "INSERT INTO namespaces (name, created_at) VALUES ('a', 0), ('b', 0)")
    db.executemany(
        "INSERT INTO engrams (namespace, state_since, content, content_hash, created_at, stored_at, changed_at,"
        " accessed_at, session) VALUES (?, 0, ?, randomblob(32), ?, 0, 0, 0, ?)",
        [("ab"[n % 2], f"content {n}", n, f"s{n % 20}") for n in range(2_000)],
    ).fetchall()
    run(db, "ANALYZE")
    return db


def steps(plan: Any) -> Iterator[str]:
    yield plan.detail
    for inner in plan.sub or ():
        yield from steps(inner)


def test_the_statements_are_found() -> None:
    assert len(EVERY) > 60


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
        if scanned is None or module in READS_ALL or "id DESC LIMIT" in statement:
            continue  # the newest first, and no further than asked for
        name, how = scanned.groups()
        fine = name in MAY_BE_SCANNED or "USING" in how or "VIRTUAL TABLE" in how
        assert fine, f"{step}\n{statement}"


def test_a_namespace_is_read_by_its_index(db: apsw.Connection) -> None:
    plan = apsw.ext.query_info(
        db, "SELECT * FROM engrams WHERE namespace = ?", explain_query_plan=True
    ).query_plan
    assert any("USING INDEX engrams_by_namespace" in step for step in steps(plan))
