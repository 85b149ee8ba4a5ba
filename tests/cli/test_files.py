"""Directories and files that cannot serve: one sentence with the cure, the right exit code, nothing lost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from mimo.home import Home
from mimo.storage.migrate import migrate, migrations_in

Run = Callable[..., "subprocess.CompletedProcess[str]"]

AS_A_PERSON = """
import ctypes, sys
if (libc := ctypes.CDLL(None)).getuid() == 0:  # root may do everything, until it gives that up
    class Sets(ctypes.Structure):
        _fields_ = [("all", ctypes.c_uint32 * 6)]
    assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), ctypes.byref(Sets())) == 0
from mimo.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def person(environ: dict[str, str]) -> Run:
    """`mimo WORDS...` by somebody whom file modes bind."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", AS_A_PERSON, *words],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.fixture
def filled(home: Home) -> Iterator[Home]:
    """A data directory with a database in it."""
    os.mkdir(home, 0o700)
    db = apsw.Connection(home.database)
    migrate(db, home, migrations_in())
    db.close()
    os.chmod(home.database, 0o600)
    yield home
    os.chmod(home, 0o700)


def one_line(said: "subprocess.CompletedProcess[str]", code: int) -> str:
    assert said.returncode == code, said
    assert said.stderr.startswith("mimo"), said
    assert len(said.stderr.strip().splitlines()) == 1, said
    return said.stderr


@pytest.mark.parametrize("words", [("serve",), ("check",), ("backup",), ("restore", "COPY", "--yes")])
def test_a_directory_that_cannot_be_written_is_told_with_its_cure(
    words: tuple[str, ...], person: Run, filled: Home, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(filled.database).read_bytes())
    copy.chmod(0o600)
    before = sorted(os.listdir(filled))
    os.chmod(filled, 0o500)
    told = one_line(person(*(str(copy) if word == "COPY" else word for word in words)), 1)
    assert f"chmod 700 {filled}" in told
    assert sorted(os.listdir(filled)) == before


@pytest.mark.parametrize("words", ["remember x", "search x", "key list"])
def test_a_daemon_that_cannot_be_started_there_is_told_with_its_cure(
    words: str, person: Run, filled: Home
) -> None:
    os.chmod(filled, 0o500)
    told = one_line(person(*words.split()), 4)
    assert f"run: chmod 700 {filled}" in told


@pytest.mark.parametrize("words", ["serve", "status", "check", "remember x", "logs", "stop"])
def test_a_directory_that_cannot_be_entered_is_told_with_its_cure(
    words: str, person: Run, filled: Home
) -> None:
    os.chmod(filled, 0o000)
    told = one_line(person(*words.split()), 1)
    assert f"run: chmod 700 {filled}" in told


def test_the_doctor_sees_a_directory_that_cannot_be_written(person: Run, filled: Home) -> None:
    os.chmod(filled, 0o500)
    said = person("doctor")
    assert said.returncode == 1
    assert f"chmod 700 {filled}" in said.stdout


def test_the_doctor_knows_directories_that_will_never_be(person: Run, home: Home) -> None:
    Path(home).write_text("")
    for impossible in (home, home + "/below", *(["/proc/mimo/home"] * os.path.isdir("/proc/self"))):
        said = person("doctor", "--home", impossible)
        assert said.returncode == 1, impossible
        assert f"✗ home: {impossible}" in said.stdout
    os.unlink(home)
    os.mkdir(home, 0o500)
    said = person("doctor", "--home", home + "/below")
    assert f"{home} cannot be written" in said.stdout


@pytest.mark.parametrize(
    ("mode", "told"), [(0o000, "cannot be read"), (0o400, "cannot be read"), (0o644, "others")]
)
def test_a_database_in_the_wrong_mode_is_refused_and_mended(
    mode: int, told: str, person: Run, filled: Home
) -> None:
    os.chmod(filled.database, mode)
    for command in ("serve", "check", "backup"):
        line = one_line(person(command), 1)
        assert told in line
        assert f"chmod 600 {filled.database}" in line
    said = person("doctor")
    assert said.returncode == 1
    assert f"chmod 600 {filled.database}" in said.stdout
    assert person("doctor", "--fix").returncode == 0
    assert person("check").returncode == 0


def test_a_lock_that_cannot_be_written_is_mended(person: Run, filled: Home) -> None:
    Path(filled.lock).touch(0o400)
    assert f"chmod 600 {filled.lock}" in one_line(person("serve"), 1)
    assert person("doctor").returncode == 1
    assert person("doctor", "--fix").returncode == 0


def test_a_backup_that_others_can_read_is_checked_and_that_is_said(
    inside: Run, filled: Home, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(filled.database).read_bytes())
    copy.chmod(0o644)
    assert f"chmod 600 {copy}" in one_line(inside("check", str(copy)), 0)
    assert f"chmod 600 {copy}" in one_line(inside("restore", str(copy), "--yes"), 0)


def test_a_newer_database_is_refused_by_all_as_by_serve(person: Run, filled: Home) -> None:
    db = apsw.Connection(filled.database)
    db.execute("PRAGMA user_version = 9999").fetchall()
    db.close()
    for command in ("check", "backup"):
        assert "written by a newer mimo" in one_line(person(command), 1)
    said = person("doctor")
    assert said.returncode == 1
    assert "✗ database: " in said.stdout
    assert "written by a newer mimo" in said.stdout
    assert "written by a newer mimo" in person("serve").stderr


def test_a_check_that_cannot_be_made_answers_in_json_too(inside: Run, home: Home, tmp_path: Path) -> None:
    said = inside("check", "--json")
    assert said.returncode == 3
    assert json.loads(said.stdout)["whole"] is False
    assert "no database" in json.loads(said.stdout)["reason"]
    (tmp_path / "diary.db").write_text("Dear diary, " * 100)
    said = inside("check", "--json", str(tmp_path / "diary.db"))
    assert said.returncode == 1
    assert "belongs to another program" in json.loads(said.stdout)["reason"]


@pytest.mark.parametrize("words", [("--version", "--json"), ("--json", "--version")])
def test_the_version_is_told_in_json_too(words: tuple[str, ...], inside: Run) -> None:
    from mimo import __version__

    assert json.loads(inside(*words).stdout) == {"version": __version__}


@pytest.mark.parametrize(
    "words", ["", "serve", "check", "backup", "status", "doctor", "remember x", "stdio", "stdio --standalone"]
)
def test_a_path_that_is_no_text_is_refused(words: str, inside: Run, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    assert "is not UTF-8; choose another" in one_line(inside(*words.split(), "--home", odd), 2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["check", "backup", "restore"])
def test_a_file_whose_name_is_no_text_is_refused(
    command: str, inside: Run, filled: Home, tmp_path: Path
) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    assert "is not UTF-8; choose another" in one_line(inside(command, odd), 2)
