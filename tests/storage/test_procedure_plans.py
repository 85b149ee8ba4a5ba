"""Every statement that the code runs on procedures and their runs finds its rows by an index: all SQL of the modules, walked."""

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
MODULES = sorted(path.stem for path in FOLDER.glob("procedure*.py"))
STATEMENT = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Small by nature, or read whole on purpose.
# There are as many as a person has learned procedures.
MAY_BE_SCANNED = {"procedure_definitions", "d", "e", "CONSTANT"}


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
    db.executemany(
        "INSERT INTO procedure_definitions (name, major, minor, body, hash, created_at)"
        " VALUES (?, 1, 0, '{}', randomblob(32), 0)",
        [(f"p{n}",) for n in range(50)],
    ).fetchall()
    db.executemany(
        "INSERT INTO procedure_executions (definition_id, status, state, run, context, parent_id, parent_step,"
        " parent_attempt, created_at, changed_at, ended_at) VALUES (?, ?, 'a', '{}', '{}', ?, 1, 1, ?, ?, ?)",
        [
            (n % 50 + 1, "waiting" if n % 40 == 0 else "completed", n if n % 3 == 0 and n else None, n, n, n)
            for n in range(2_000)
        ],
    ).fetchall()
    db.executemany(
        "INSERT INTO procedure_steps (execution_id, number, at, kind, state) VALUES (?, ?, 0, 'done', 'a')",
        [(n + 1, m) for n in range(2_000) for m in range(5)],
    ).fetchall()
    run(db, "ANALYZE")
    return db


def steps(plan: Any) -> Iterator[str]:
    yield plan.detail
    for inner in plan.sub or ():
        yield from steps(inner)


def test_the_statements_are_found() -> None:
    assert len(EVERY) > 25


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
        if scanned is not None:
            name, how = scanned.groups()
            assert name in MAY_BE_SCANNED or "USING" in how, f"{step}\n{statement}"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM procedure_executions WHERE status = ?", "procedure_executions_by_status"),
        ("SELECT id FROM procedure_executions WHERE definition_id = ?", "procedure_executions_by_definition"),
        ("SELECT id FROM procedure_executions WHERE parent_id = ?", "procedure_executions_by_parent"),
        ("SELECT id FROM procedure_executions WHERE ended_at < ?", "procedure_executions_by_end"),
    ],
)
def test_runs_are_found_by_what_is_asked_of_them(db: apsw.Connection, statement: str, index: str) -> None:
    plan = apsw.ext.query_info(db, statement, explain_query_plan=True).query_plan
    assert any(f"INDEX {index}" in step for step in steps(plan))
