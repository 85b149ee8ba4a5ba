"""A migration that is killed leaves the old version or the new one, never something between, and a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from mimo.home import Home
from mimo.storage.check import findings
from mimo.storage.connection import open_connection, prepare_writer
from mimo.storage.migrate import Migration, migrate

pytestmark = pytest.mark.faults

COLOURS = Migration(
    3,
    "colours",
    """
    ALTER TABLE note ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';
    CREATE TABLE palette (colour TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO palette (colour) SELECT DISTINCT colour FROM note;
    CREATE TRIGGER note_coloured AFTER UPDATE OF colour ON note BEGIN
        INSERT OR IGNORE INTO palette (colour) VALUES (new.colour);
        INSERT INTO change (kind, id, op) VALUES ('note', new.id, 'update');
    END;
    UPDATE note SET colour = 'red' WHERE id % 2;
    """,
)


def shape(db: apsw.Connection) -> list[Any]:
    return db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()


@pytest.mark.parametrize("where", ["statement", "disk"])
def test_a_killed_migration_is_done_or_not_done(
    where: str,
    tmp_path: Path,
    zygote: Any,
    notes: list[Migration],
    add: Any,
    counts: Callable[[int, int], int],
) -> None:
    old = Home(tmp_path / "old")
    os.mkdir(old, 0o700)
    db = open_connection(old.database)
    prepare_writer(db)
    migrate(db, old, notes)
    with db:
        for number in range(200):
            add(db, number)
    shapes = {2: shape(db)}
    db.close()

    seen = {2: 0, 3: 0}
    stride = counts(7, 1) if where == "disk" else 1
    for die_at in range(1, 500, stride):
        home = Home(tmp_path / "home")
        shutil.copytree(old, home)
        zygote.fork([*notes, COLOURS], do="upgrade", home=home, die_at=die_at, where=where)
        said = zygote.line()
        finished = said[0] == "finished"
        assert finished or said == ["dead"], said
        if finished:
            zygote.line()
        db = open_connection(home.database)
        version = db.execute("PRAGMA user_version").get
        assert shapes.setdefault(version, shape(db)) == shape(db)
        assert findings(db) == []
        assert db.execute("SELECT count(*) FROM note").get == 200
        if version == 3:
            assert db.execute("SELECT count(*) FROM note WHERE colour = 'red'").get == 100
            copy = open_connection(os.path.join(home.backups, "before-0003_colours.db"))
            assert (shape(copy), findings(copy)) == (shapes[2], [])
            copy.close()
        db.execute("PRAGMA synchronous = OFF").fetchall()
        migrate(db, home, [*notes, COLOURS])  # the next start carries on
        assert db.execute("PRAGMA user_version").get == 3
        db.close()
        seen[version] += 1
        shutil.rmtree(home)
        if finished:
            break
    else:
        pytest.fail("the migration has no end")
    print(
        f"\nmigration killed at every {where}: {seen[2]} times the old version, {seen[3]} times the new, 0 between"
    )
    assert seen[2] > 5
    assert seen[3] >= 1
