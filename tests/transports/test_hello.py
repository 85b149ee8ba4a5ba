"""Who connects, and which project's memories are theirs."""

import json
import os
from pathlib import Path

import pytest

from mimo.errors import InvalidArguments
from mimo.tool import Trust
from mimo.transports.hello import USER, Hello, is_newer, namespace_of, read_hello


def test_a_hello_tells_who_connects() -> None:
    line = json.dumps(
        {
            "mimo": 1,
            "role": "bridge",
            "version": "0.1",
            "cwd": "/work",
            "pid": 5,
            "env": {"CLAUDE_CODE_SESSION_ID": "s-1", "OTHER": 5},
            "future": [1],
        }
    ).encode()
    hello = read_hello(line)
    assert hello == Hello("bridge", "0.1", "/work", 5, {"CLAUDE_CODE_SESSION_ID": "s-1"})
    client = hello.client("work", 1000)
    assert (client.name, client.session, client.namespace, client.uid) == ("bridge", "s-1", "work", 1000)


def test_a_hello_may_be_short() -> None:
    assert read_hello(b'{"mimo":1,"role":"cli","cwd":null,"pid":true}') == Hello("cli", env={})


@pytest.mark.parametrize(
    ("said", "trust"),
    [
        ({"role": "cli", "terminal": True}, Trust.USER),
        ({"role": "cli"}, Trust.AGENT),
        ({"role": "cli", "terminal": "yes"}, Trust.AGENT),
        ({"role": "bridge", "terminal": True}, Trust.AGENT),
        ({"role": "hook", "terminal": True}, Trust.AGENT),
        ({"role": "cli", "terminal": True, "env": {"CLAUDECODE": "1"}}, Trust.AGENT),
        ({"role": "cli", "terminal": True, "env": {"CODEX_THREAD_ID": "t"}}, Trust.AGENT),
    ],
)
def test_what_is_typed_at_a_terminal_is_said_by_the_user(said: dict[str, object], trust: Trust) -> None:
    assert read_hello(json.dumps({"mimo": 1} | said).encode()).client("x", 1).trust is trust


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"[]",
        b"{}",
        b'{"mimo":2,"role":"cli"}',
        b'{"mimo":1,"role":"boss"}',
        b'{"mimo":1,"role":["cli"]}',
        b'{"jsonrpc":"2.0","id":1,"method":"initialize"}',
    ],
)
def test_what_is_no_hello_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidArguments):
        read_hello(line)


def test_a_project_is_the_nearest_marked_folder(tmp_path: Path) -> None:
    root = tmp_path / "My Project!"
    (root / ".git").mkdir(parents=True)
    (root / "src" / "deep").mkdir(parents=True)
    names = {
        namespace_of({}, str(folder), "/home/x") for folder in (root, root / "src", root / "src" / "deep")
    }
    assert len(names) == 1
    assert names.pop().startswith("my-project-")


def test_two_folders_of_one_name_are_two_projects(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "app" / ".git").mkdir(parents=True)
    one, two = (namespace_of({}, str(tmp_path / parent / "app"), "/home/x") for parent in ("a", "b"))
    assert one != two
    assert one[:4] == two[:4] == "app-"


def test_a_link_to_a_project_is_the_project(tmp_path: Path) -> None:
    (tmp_path / "app" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "app")
    assert namespace_of({}, str(tmp_path / "link"), "/h") == namespace_of({}, str(tmp_path / "app"), "/h")


def test_what_the_client_names_goes_before_where_it_stands(tmp_path: Path) -> None:
    for name in ("app", "other"):
        (tmp_path / name / ".git").mkdir(parents=True)
    named = {"CLAUDE_PROJECT_DIR": str(tmp_path / "app")}
    assert namespace_of(named, str(tmp_path / "other"), "/h").startswith("app-")
    assert namespace_of({"MIMO_NAMESPACE": "Team"} | named, str(tmp_path / "other"), "/h") == "team"
    assert namespace_of({"MIMO_NAMESPACE": "../no"} | named, str(tmp_path / "other"), "/h").startswith("app-")


def test_a_folder_without_marks_is_its_own_project(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert namespace_of({}, str(tmp_path / "notes"), "/home/x").startswith("notes-")


def test_home_and_root_are_no_projects(tmp_path: Path) -> None:
    (tmp_path / "me" / ".git").mkdir(parents=True)  # people do keep their dotfiles so
    home = str(tmp_path / "me")
    for cwd in (home, os.path.dirname(home), "/", None, "", "relative", "/\0", home + "/"):
        assert namespace_of({}, cwd, home) == USER
    (tmp_path / "me" / "notes").mkdir()
    assert namespace_of({}, home + "/notes", home).startswith("notes-"), (
        "a marked home marks nothing below it"
    )


def test_a_name_without_letters_is_still_a_name(tmp_path: Path) -> None:
    (tmp_path / "日本" / ".git").mkdir(parents=True)
    assert namespace_of({}, str(tmp_path / "日本"), "/h").startswith("project-")


@pytest.mark.parametrize(
    ("theirs", "newer"),
    [
        *[(later, True) for later in ("1.2.4", "1.10", "2")],
        *[(other, False) for other in ("1.2.3", "1.2.3rc1", "1.2", "", "dev", "9" * 5000, "-1")],
    ],
)
def test_a_later_version_is_told_from_others(theirs: str, newer: bool) -> None:
    assert is_newer(theirs, "1.2.3") is newer
    assert not is_newer("5", "unknown")
