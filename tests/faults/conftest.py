"""Disks that fail in known ways, and a database with something in it to lose."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from mimo.storage.migrate import Migration, migrations_in

SECTOR = 512
NOTES = Migration(
    2,
    "notes",
    """
    ALTER TABLE answer ADD COLUMN asked TEXT NOT NULL DEFAULT '';
    CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE VIRTUAL TABLE note_words USING fts5(body, content = 'note', content_rowid = 'id');
    INSERT INTO note_words (note_words, rank) VALUES ('secure-delete', 1);
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
def counts() -> Callable[[int, int], int]:
    """`counts(small, full)`: how often to try, by MIMO_FAULTS."""
    full = os.environ.get("MIMO_FAULTS") == "full"
    return lambda small, large: large if full else small


@pytest.fixture
def notes() -> list[Migration]:
    """Migrations of mimo's ground and of a table with words in it."""
    return [migrations_in()[0], NOTES]


@pytest.fixture
def add() -> Callable[[apsw.Connection, int], int]:
    return add_note


def add_note(db: apsw.Connection, number: int) -> int:
    body = f"note {number} " + "lorem ipsum dolor " * (number % 20)
    db.execute("INSERT INTO note (id, body) VALUES (?, ?)", (number, body)).fetchall()
    return number


@dataclass
class Disk:
    """What is asked of a disk: recorded for power cuts, and refused on demand.

    `fail(op, path)` is asked before each operation, and raises what the operation shall raise.
    """

    log: list[tuple[Any, ...]] = field(default_factory=list)
    fail: Callable[[str, str], None] = lambda op, path: None
    vfs: str = ""

    def ack(self, number: int) -> None:
        self.log.append(("ack", number))

    def images(self, cuts: list[int], rng: random.Random) -> Iterator[tuple[dict[str, bytes], set[int]]]:
        """What may be on the disk after a power cut at each of the places in the log, and what was acknowledged.

        Of each file there is all that was written before its last sync, and a random part of the sectors after it.
        """
        durable: dict[str, bytearray] = defaultdict(bytearray)
        pending: dict[str, list[tuple[int, bytes | None]]] = defaultdict(list)
        acked: set[int] = set()
        wanted = sorted(cuts)
        for place, (op, *rest) in enumerate([*self.log, ("end",)]):
            while wanted and wanted[0] == place:
                wanted.pop(0)
                yield (
                    {path: _torn(durable[path], pending[path], rng) for path in {*durable, *pending}},
                    set(acked),
                )
            match op, rest:
                case "write", (path, offset, data):
                    pending[path].append((offset, data))
                case "truncate", (path, size):
                    pending[path].append((size, None))
                case "sync", (path,):
                    for change in pending.pop(path, []):
                        _apply(durable[path], *change)
                case "lost", (path,):  # a sync that failed: the kernel has forgotten what it could not write
                    pending.pop(path, None)
                case "delete", (path,):
                    durable.pop(path, None)
                    pending.pop(path, None)
                case "ack", (number,):
                    acked.add(number)
                case _:
                    pass


def _apply(file: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del file[offset:]
        return
    if len(file) < offset:
        file.extend(bytes(offset - len(file)))
    file[offset : offset + len(data)] = data


def _torn(durable: bytearray, pending: list[tuple[int, bytes | None]], rng: random.Random) -> bytes:
    file = bytearray(durable)
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    for offset, data in pending:
        if data is None:
            if rng.random() < share:
                _apply(file, offset, None)
            continue
        at = offset
        while at < offset + len(data):
            end = min((at // SECTOR + 1) * SECTOR, offset + len(data))
            if rng.random() < share:
                _apply(file, at, data[at - offset : end - offset])
            at = end
    return bytes(file)


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self.disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.disk.fail("open", path)
        return _File(self.disk, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.disk.fail("delete", filename)
        super().xDelete(filename, syncdir)
        self.disk.log.append(("delete", filename))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str, name: Any, flags: list[int]) -> None:
        self.disk, self.path = disk, path
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self.disk.fail("read", self.path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.fail("write", self.path)
        super().xWrite(data, offset)
        self.disk.log.append(("write", self.path, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self.disk.fail("truncate", self.path)
        super().xTruncate(size)
        self.disk.log.append(("truncate", self.path, size))

    def xSync(self, flags: int) -> None:
        try:
            self.disk.fail("sync", self.path)
        except apsw.Error:
            self.disk.log.append(("lost", self.path))
            raise
        self.disk.log.append(("sync", self.path))


NAMES = itertools.count()


@pytest.fixture
def disks() -> Iterator[Callable[[], Disk]]:
    """Makes disks; `Database(vfs=disk.vfs)` runs on one. Nothing is synced for real, which is what makes it fast."""
    made: list[_Vfs] = []

    def make() -> Disk:
        disk = Disk(vfs=f"mimo-test-{os.getpid()}-{threading.get_ident()}-{next(NAMES)}")
        made.append(_Vfs(disk.vfs, disk))
        return disk

    yield make
    for vfs in made:
        vfs.unregister()


@pytest.fixture
def lay_out(tmp_path: Path) -> Callable[[dict[str, bytes], str], Path]:
    """Writes an image of a disk into a new directory; gives the path of the database in it."""
    number = itertools.count()

    def write(image: dict[str, bytes], database: str) -> Path:
        directory = tmp_path / f"image-{next(number)}"
        directory.mkdir()
        for path, content in image.items():
            if path.startswith(database):
                (directory / os.path.basename(path)).write_bytes(content)
        return directory / os.path.basename(database)

    return write


class Zygote:
    """A process that forks others, which may be killed."""

    def __init__(self) -> None:
        script = Path(__file__).parent / "zygote.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def fork(self, migrations: Sequence[Migration], **command: Any) -> int:
        command["migrations"] = [asdict(migration) for migration in migrations]
        self._in.write(json.dumps(command) + "\n")
        word, pid = self.line()
        assert word == "born"
        return int(pid)

    def line(self) -> list[str]:
        """The next line that a child or its parent says, as its first word and the rest."""
        line = self._out.readline()
        assert line, "the zygote is gone"
        return line.strip().split(" ", 1)

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self._process.wait(10)


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    it = Zygote()
    yield it
    it.close()
