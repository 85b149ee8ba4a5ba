"""A database with one table to write to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from mimo.home import Home
from mimo.storage.database import Database
from mimo.storage.migrate import Migration, migrations_in

NOTES = Migration(
    2,
    "notes",
    """
    ALTER TABLE answer ADD COLUMN asked TEXT NOT NULL DEFAULT '';
    CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE CHECK (body <> 'bad')) STRICT;
    CREATE TABLE reply (id INTEGER PRIMARY KEY, note INTEGER NOT NULL REFERENCES note (id)) STRICT;
    CREATE VIRTUAL TABLE note_words USING fts5(body, content = 'note', content_rowid = 'id');
    CREATE TRIGGER note_added AFTER INSERT ON note BEGIN
        INSERT INTO note_words (rowid, body) VALUES (new.id, new.body);
        INSERT INTO change (kind, id, op) VALUES ('note', new.id, 'add');
    END;
    CREATE TRIGGER note_gone AFTER DELETE ON note BEGIN
        INSERT INTO note_words (note_words, rowid, body) VALUES ('delete', old.id, old.body);
        INSERT INTO change (kind, id, op) VALUES ('note', old.id, 'remove');
    END;
    """,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def notes() -> list[Migration]:
    return [migrations_in()[0], NOTES]


@pytest.fixture
async def database(home: Home, notes: list[Migration], nursery: trio.Nursery) -> AsyncIterator[Database]:
    """Running; ends with the test."""
    it = Database(home, migrations=notes)
    async with trio.open_nursery() as mine:
        await mine.start(it.run)
        yield it
        mine.cancel_scope.cancel()
