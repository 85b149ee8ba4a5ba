"""Every statement that the code runs finds its rows by an index: all SQL of the store's modules, walked."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import pytest

import mimo.storage
from mimo.storage.connection import open_connection
from mimo.storage.engrams import context
from mimo.storage.migrate import migrations_in
from mimo.storage.sql import rows, run
from mimo.storage.triples import changes, merging, triple, walk

FOLDER = Path(mimo.storage.__file__).parent
STATEMENT = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# By room: tables that are small by nature, or read whole on purpose.
MAY_BE_SCANNED = {
    "engrams": {
        "namespaces", "n", "home", "wanted", "active_days", "embedding_models", "m", "embedding_queue", "q",
        "json_each", "CONSTANT", "fts5vocab", "engram_word_counts", "sqlite_sequence",
    },
    "triples": {
        "graphs", "wanted", "gone", "json_each", "CONSTANT", "sqlite_sequence", "fallen", "change", "w",
    },
    # There are as many as a person has learned.
    "procedures": {"procedure_definitions", "d", "e", "CONSTANT"},
}  # fmt: skip
# Whoever carries everything out reads everything.
READS_ALL = {"engrams.transfer"}


def modules() -> Iterator[str]:
    for room in MAY_BE_SCANNED:
        for path in sorted((FOLDER / room).glob("[a-z]*.py")):
            yield f"{room}.{path.stem}"


def statements(module: str) -> Iterator[str]:
    """All texts of a module that are SQL, with the module's own constants put in."""
    tree = ast.parse((FOLDER / f"{module.replace('.', '/')}.py").read_text())
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


EVERY = [(module, statement) for module in modules() for statement in dict.fromkeys(statements(module))]


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


def plan_of(db: apsw.Connection, statement: str) -> list[str]:
    return list(steps(apsw.ext.query_info(db, statement, explain_query_plan=True).query_plan))


def unindexed(db: apsw.Connection, statement: str, room: str) -> list[str]:
    """The steps of its plan that read what they need not."""
    found: list[str] = []
    for step in plan_of(db, statement):
        scanned = re.match(r"SCAN (\w+)(.*)", step)
        if scanned is not None:
            name, how = scanned.groups()
            # By an index: the newest first, and no further than asked for.
            if name not in MAY_BE_SCANNED[room] and "USING" not in how and "VIRTUAL TABLE" not in how:
                found.append(f"{step}\n{statement}")
    return found


@contextmanager
def seen(db: apsw.Connection) -> Iterator[Collection[str]]:
    """The statements that are run meanwhile, each once."""
    ran: dict[str, None] = {}

    def note(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        ran[sql] = None
        return True

    db.exec_trace = note
    try:
        yield ran.keys()
    finally:
        db.exec_trace = None


def test_the_statements_are_found() -> None:
    rooms = [module.partition(".")[0] for module, _ in EVERY]
    assert rooms.count("engrams") > 60
    assert rooms.count("triples") > 50
    assert rooms.count("procedures") > 25


@pytest.mark.parametrize(("module", "statement"), EVERY, ids=[f"{m}-{n}" for n, (m, _) in enumerate(EVERY)])
def test_rows_are_found_by_an_index(db: apsw.Connection, module: str, statement: str) -> None:
    if module in READS_ALL or "id DESC LIMIT" in statement:
        return  # the newest first, and no further than asked for
    try:
        assert unindexed(db, statement, module.partition(".")[0]) == []
    except apsw.SQLError as error:
        if str(error) == "incomplete input":
            pytest.skip("the beginning of other statements, which are looked at themselves")
        raise


def test_statements_that_are_put_together_find_their_rows_by_an_index(db: apsw.Connection) -> None:
    """Those that the text of the modules does not show whole: every way of putting them together is run and seen."""
    with seen(db) as ran:
        names = [("s1", None), ("p1", None), ("o1", None)]
        for subject, predicate, object_ in itertools.product(*names):
            for known_at in (None, 5):
                walk.fitting(db, "a", subject, predicate, object_, 9, known_at)
            if subject or object_:
                changes.matching(db, "a", subject, predicate, object_, 9)
        for side in ("subject", "object"):
            for known_at in (None, 5):
                walk.around(db, "a", ["s1", "s2"], side, 9, known_at)
        triple.about(db, "a", "s1", 9)
        with db:
            merging.merge(db, "a", "s1", "s2", "me", 1)
            merging.undo(db, "a", 2)
    assert len(ran) > 35
    planned = [sql for sql in ran if STATEMENT.match(sql)]
    assert [told for sql in planned for told in unindexed(db, sql, "triples")] == []
    by_names = [sql for sql in planned if "semantic_triples AS t WHERE +t.graph_id" in sql]
    assert len(by_names) == 14
    for sql in by_names:
        found = [step for step in plan_of(db, sql) if "USING INDEX triples_" in step]
        assert any("triples_confident" not in step for step in found), sql


def test_what_a_session_is_told_is_found_by_an_index(db: apsw.Connection) -> None:
    with seen(db) as ran:
        context.matters(db, ["a", "b"], 5, 9)
        context.newest(db, ["a", "b"], 5, 9)
    assert len(ran) > 10
    assert [told for sql in ran for told in unindexed(db, sql, "engrams")] == []
    still = [sql for sql in ran if "engrams newer" in sql]
    assert len(still) == 6
    assert all(any("engrams_to_come" in step for step in plan_of(db, sql)) for sql in still)
    assert all(any("engrams_superseded" in step for step in plan_of(db, sql)) for sql in still)
    of_spaces = [sql for sql in ran if "AS home" in sql]
    assert len(of_spaces) == 5
    # Not all that is live, nor all of a kind in whatever namespace.
    narrow = [
        ("engrams_pinned", "namespace=?"),
        ("engrams_by_weight", "namespace=? AND kind=?"),
        ("engrams_by_kind", "kind=? AND namespace=?"),
    ]
    for sql in of_spaces:
        (step,) = (step for step in plan_of(db, sql) if "SEARCH e" in step)
        assert any(index in step and by in step for index, by in narrow), step


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("engrams WHERE namespace = ?", "engrams_by_namespace"),
        ("semantic_triples WHERE subject = ?", "triples_spo"),
        ("semantic_triples WHERE subject = ? AND predicate = ?", "triples_spo"),
        ("semantic_triples WHERE predicate = ? AND object = ?", "triples_pos"),
        ("semantic_triples WHERE object = ?", "triples_osp"),
        ("semantic_triples WHERE object = ? AND subject = ?", "triples_"),
        (
            "semantic_triples WHERE graph_id = ? AND confidence >= 0.9 AND retired_at IS NULL",
            "triples_confident",
        ),
        ("semantic_triples WHERE expires_at <= ? AND retired_at IS NULL", "triples_expiring"),
        ("procedure_executions WHERE status = ?", "procedure_executions_by_status"),
        ("procedure_executions WHERE definition_id = ?", "procedure_executions_by_definition"),
        ("procedure_executions WHERE parent_id = ?", "procedure_executions_by_parent"),
        ("procedure_executions WHERE ended_at < ?", "procedure_executions_by_end"),
    ],
)
def test_whatever_is_known_of_them_rows_are_found_by_it(db: apsw.Connection, where: str, index: str) -> None:
    assert any(f"INDEX {index}" in step for step in plan_of(db, f"SELECT * FROM {where}"))
