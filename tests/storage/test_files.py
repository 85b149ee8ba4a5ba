"""What cannot serve is refused in one sentence with its cure, and stays as it was."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
import trio

from mimo.errors import MimoError, Unusable
from mimo.home import Home
from mimo.storage import connection
from mimo.storage import database as database_module
from mimo.storage.connection import open_connection, require_sound_sqlite
from mimo.storage.database import Database
from mimo.storage.files import file_system, prepare_home
from mimo.storage.migrate import Migration


async def made(home: Home, notes: list[Migration]) -> None:
    database = Database(home, migrations=notes)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        for n in range(50):
            await database.write(
                lambda db, n: db.execute(
                    "INSERT INTO note (body) VALUES (?)", (f"note {n} " * 100,)
                ).fetchall(),
                n,
            )
        nursery.cancel_scope.cancel()


def content(path: str) -> bytes | None:
    return Path(path).read_bytes() if os.path.isfile(path) else None


def overwrite(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def foreign(path: str) -> None:
    os.unlink(path)
    db = apsw.Connection(path)
    db.execute("PRAGMA application_id = 77; CREATE TABLE theirs (a)").fetchall()
    db.close()
    os.chmod(path, 0o600)


def unsigned(path: str) -> None:
    os.unlink(path)
    db = apsw.Connection(path)
    db.execute("CREATE TABLE theirs (a)").fetchall()
    db.close()
    os.chmod(path, 0o600)


def no_database(path: str) -> None:
    Path(path).write_bytes(b"Dear diary, " * 1000)


def short(path: str) -> None:
    Path(path).write_bytes(b"SQLite format 3\0")


def truncated(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def corrupt(path: str) -> None:
    size = struct.unpack(">H", Path(path).read_bytes()[16:18])[0]
    for page in range(2, os.path.getsize(path) // size):
        overwrite(path, page * size, b"\x0d\xff\xff\xff\xff" * 20)


def readable(path: str) -> None:
    os.chmod(path, 0o644)


def directory(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


def linked(path: str) -> None:
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)


BAD = {
    foreign: "belongs to another program: it is no database of mimo. Choose another",
    unsigned: "belongs to another program: it is no database of mimo. Choose another",
    no_database: "belongs to another program: it is no database. Choose another",
    short: "damaged .*mimo restore",
    truncated: "damaged .*mimo restore",
    corrupt: "damaged .*mimo restore",
    readable: "can be read by others .mode 0644.; run: chmod 600",
    directory: "is not a regular file",
    linked: "is not a regular file",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
async def test_a_bad_file_is_refused_and_not_changed(
    spoil: Callable[[str], None], home: Home, notes: list[Migration]
) -> None:
    await made(home, notes)
    spoil(home.database)
    before = content(home.database)
    with pytest.raises(Unusable, match=BAD[spoil]) as told:
        await Database(home, migrations=notes).run()
    assert "\n" not in told.value.message
    assert content(home.database) == before


async def test_a_page_that_is_damaged_while_serving_is_told_to_who_meets_it(
    home: Home, notes: list[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(home, notes)
    corrupt(home.database)
    monkeypatch.setattr(database_module, "QUICK_LOOK_BYTES", 0)
    with pytest.raises(Unusable, match="damaged"):  # noqa: PT012
        try:
            async with trio.open_nursery() as nursery:
                database = Database(home, migrations=notes)
                await nursery.start(database.run)
                await database.read(lambda db: db.execute("SELECT sum(length(body)) FROM note").get)
        except* MimoError as group:
            raise group.exceptions[0] from None


def test_a_directory_others_can_read_is_refused(home: Home) -> None:
    os.mkdir(home, 0o755)
    with pytest.raises(Unusable, match=r"mode 0755.; run: chmod 700"):
        prepare_home(home)


def test_a_directory_is_made_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "b" / "home")
    prepare_home(home)
    assert os.stat(home).st_mode & 0o777 == 0o700


def test_a_file_in_the_place_of_the_directory_is_refused(home: Home) -> None:
    Path(home).write_text("")
    with pytest.raises(Unusable, match="not a directory"):
        prepare_home(home)
    with pytest.raises(Unusable, match=r"cannot make the data directory .*--home"):
        prepare_home(Home(os.path.join(home, "deeper", "still")))


def test_a_directory_of_somebody_else_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(home, 0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Unusable, match="belongs to user"):
        prepare_home(home)


SCRIPT = """
import os, sys
from mimo.errors import Unusable
from mimo.home import Home
from mimo.storage.files import prepare_home
if os.getuid() == 0:  # after the imports: root's Python may be for root alone
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.chmod(sys.argv[2], int(sys.argv[3], 8))
try:
    prepare_home(Home(sys.argv[1]))
except Unusable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("spoiled", "mode", "cure"),
    [(".", "500", "chmod 700"), ("mimo.db", "200", "chmod 600"), ("mimo.db", "400", "chmod 600")],
)
def test_what_cannot_be_read_or_written_is_refused(spoiled: str, mode: str, cure: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # not tmp_path: root keeps that to itself
        home = Path(place) / "home"
        home.mkdir(0o700)
        (home / "mimo.db").touch(0o600)
        if os.getuid() == 0:
            os.chmod(place, 0o755)
            for path in (home, home / "mimo.db"):
                shutil.chown(path, 65534, 65534)
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(home), str(home / spoiled), mode],
            capture_output=True,
            text=True,
        )
        home.chmod(0o700)
    assert cure in ran.stdout, ran.stderr


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /home/me\\040too rw - nfs4 server:/home rw
31 30 0:27 / /home/me\\040too/local rw - btrfs /dev/vdb rw
32 22 0:28 / /mnt rw - ext4 /dev/vdc rw
33 32 0:29 / /mnt rw master:3 - fuse.sshfs me@there: rw
garbage
"""


def test_a_disk_that_takes_no_writing_is_refused_and_what_it_holds_stays(
    home: Home, tmp_path: Path, notes: list[Migration]
) -> None:
    trio.run(made, home, notes)
    seen = tmp_path / "seen"
    seen.mkdir()
    bound = subprocess.run(["mount", "--bind", home, str(seen)], capture_output=True, text=True)
    if bound.returncode != 0:
        pytest.skip(f"cannot mount here: {bound.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(seen)], check=True)
        before = {name: content(str(seen / name)) for name in os.listdir(seen)}
        with pytest.raises(
            Unusable, match=r"its disk takes no writing; choose another directory with --home"
        ):
            prepare_home(Home(seen))
        assert {name: content(str(seen / name)) for name in os.listdir(seen)} == before
    finally:
        subprocess.run(["umount", "-l", str(seen)], check=True)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/mimo", "ext4"),
        ("/home/me too/mimo", "nfs4"),
        ("/home/me too/local/mimo", "btrfs"),
        ("/home/me toothless", "ext4"),
        ("/mnt/mimo", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_last_and_longest_mount(path: str, kind: str) -> None:
    assert file_system(path, MOUNTS) == kind
    assert file_system(path, "") == ""


def test_a_network_file_system_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimo.storage.files.file_system", lambda path: "nfs4")
    with pytest.raises(Unusable, match=r"network file system .nfs4.*local disk with --home"):
        prepare_home(home)


def test_this_file_system_is_known() -> None:
    if sys.platform == "linux":
        assert file_system("/proc") == "proc"


def test_a_sqlite_with_the_wal_reset_bug_is_refused() -> None:
    require_sound_sqlite()
    for version in ("3.40.1", "3.51.2"):
        with pytest.raises(Unusable, match=r"3\.51\.3 or newer.*pip install"):
            require_sound_sqlite(version)
    for version in ("3.51.3", "3.100.0", "4.0"):
        require_sound_sqlite(version)


async def test_a_connection_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        await connection.open_threaded(str(tmp_path / "no" / "where.db"), "lost")
    with pytest.raises(apsw.CantOpenError):
        open_connection(str(tmp_path / "no" / "where.db"))
