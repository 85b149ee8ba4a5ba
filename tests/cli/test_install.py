"""Connecting clients: right file and place, nothing else touched, and undone byte for byte."""

import json
import os
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mimo.cli import jsonc
from mimo.cli.clients import BY_NAME, Client
from mimo.cli.commands import CLIENTS
from mimo.cli.install import carry_out, planned
from mimo.cli.terminal import Failed
from mimo.home import Home

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def path_of(client: Client, environ: dict[str, str]) -> Path:
    return Path(client.path(environ))


def read_entry(client: Client, path: Path) -> dict[str, object]:
    tree = (
        tomllib.loads(path.read_text()) if path.suffix == ".toml" else jsonc.parse(path.read_text()).plain()
    )
    for key in client.keys:
        tree = tree[key]
    return tree


def test_the_table_and_the_command_line_know_the_same_clients() -> None:
    assert tuple(BY_NAME) == CLIENTS


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_connected_and_its_file_comes_back_byte_for_byte(
    name: str, inside: Run, environ: dict[str, str], home: Home
) -> None:
    client = BY_NAME[name]
    path = path_of(client, environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    original = (
        b'# mine\r\nmodel = "x"\r\n'
        if path.suffix == ".toml"
        else b'{\n\t// mine\n\t"theme": "dark", /* so */\n}\n'
    )
    path.write_bytes(original)
    path.chmod(0o640)

    said = inside("install", name)
    assert said.returncode == 0, said.stderr
    assert "+" in said.stdout
    command = client.command_in(read_entry(client, path))
    assert command is not None
    assert os.path.isabs(command[0])
    assert os.access(command[0], os.X_OK)
    assert command[-3:] == ["stdio", "--home", home]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert Path(f"{path}.before-mimo").read_bytes() == original

    connected = path.read_bytes()
    assert "connected already" in inside("install", name).stdout
    assert path.read_bytes() == connected

    assert inside("install", name, "--uninstall").returncode == 0
    assert path.read_bytes() == original
    assert not Path(f"{path}.before-mimo").exists()
    assert "not connected" in inside("install", name, "--uninstall").stdout


@pytest.mark.parametrize("name", CLIENTS)
def test_a_file_that_was_not_there_is_gone_again(name: str, inside: Run, environ: dict[str, str]) -> None:
    path = path_of(BY_NAME[name], environ)
    assert inside("install", name).returncode == 0
    assert read_entry(BY_NAME[name], path)
    inside("install", name, "--uninstall")
    assert not path.exists()


def test_what_was_edited_meanwhile_stays(mimo: Run, environ: dict[str, str]) -> None:
    path = path_of(BY_NAME["zed"], environ)
    path.parent.mkdir(parents=True)
    path.write_text('{\n  "a": 1\n}\n')
    mimo("install", "zed")
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    mimo("install", "zed", "--uninstall")
    assert json.loads(path.read_text()) == {"a": 2, "context_servers": {}}


def test_an_older_entry_is_brought_up_to_date_and_keeps_what_a_person_added(
    mimo: Run, environ: dict[str, str], home: Home
) -> None:
    path = path_of(BY_NAME["cursor"], environ)
    path.parent.mkdir(parents=True)
    path.write_text('{"mcpServers": {"mimo": {"command": "/gone/mimo", "args": [], "env": {"A": "b"}}}}')
    mimo("install", "cursor")
    entry = read_entry(BY_NAME["cursor"], path)
    assert entry["env"] == {"A": "b"}
    assert entry["args"] == ["stdio", "--home", home]
    mimo("install", "cursor", "--uninstall")
    assert json.loads(path.read_text()) == {"mcpServers": {}}


def test_all_means_those_that_are_found(mimo: Run, environ: dict[str, str]) -> None:
    said = mimo("install", "--all")
    assert said.returncode == 3
    assert "no client that mimo knows is found here" in said.stderr
    home = Path(environ["HOME"])
    (home / ".cursor").mkdir()
    (home / ".codex").mkdir()
    said = mimo("install", "--all", "--json")
    clients = json.loads(said.stdout)["clients"]
    assert [(c["client"], c["state"]) for c in clients] == [("cursor", "connected"), ("codex", "connected")]
    listed = json.loads(mimo("install", "--json").stdout)["clients"]
    assert {c["client"] for c in listed if c["connected"]} == {"cursor", "codex"}


def test_a_dry_run_shows_the_change_and_makes_none(mimo: Run, environ: dict[str, str]) -> None:
    said = mimo("install", "claude-code", "--dry-run")
    assert "would connect" in said.stdout
    assert '+    "mimo": {' in said.stdout
    assert not path_of(BY_NAME["claude-code"], environ).exists()


def test_a_link_to_the_file_stays_a_link(mimo: Run, environ: dict[str, str], tmp_path: Path) -> None:
    path = path_of(BY_NAME["gemini"], environ)
    path.parent.mkdir(parents=True)
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    path.symlink_to(real)
    mimo("install", "gemini")
    assert path.is_symlink()
    assert "mimo" in real.read_text()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"mcpServers": {', "cannot be read: line 1"),
        (b"[]", "cannot be edited: the whole is no object"),
        (b'{"mcpServers": 5}', "cannot be edited: mcpServers is no object"),
        (b"\xff{}", "is not UTF-8 text"),
    ],
)
def test_a_file_that_makes_no_sense_is_left_as_it_is(
    content: bytes, told: str, inside: Run, environ: dict[str, str]
) -> None:
    path = path_of(BY_NAME["cursor"], environ)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    said = inside("install", "cursor")
    assert said.returncode == 1
    assert told in said.stderr
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_its_program_writes_meanwhile_is_not_overwritten(environ: dict[str, str]) -> None:
    client = BY_NAME["cursor"]
    path = path_of(client, environ)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    change = planned(client, ["/bin/mimo", "stdio"], environ)
    path.write_text('{"new": 1}')
    with pytest.raises(Failed, match="was changed meanwhile") as refused:
        carry_out(change)
    assert refused.value.exit_code == 5
    assert path.read_text() == '{"new": 1}'


@pytest.mark.parametrize("words", [["cursor", "--all"], ["--uninstall"], ["--dry-run"]])
def test_install_must_be_told_which(words: list[str], inside: Run) -> None:
    assert inside("install", *words).returncode == 2
