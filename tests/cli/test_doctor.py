"""`mimo doctor`: what is wrong is found, told with its cure, and mended where that is safe."""

import json
import os
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mimo_core
from mimo.cli.clients import BY_NAME
from mimo.home import Home

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def findings(said: "subprocess.CompletedProcess[str]", area: str) -> list[dict[str, Any]]:
    return [finding for finding in json.loads(said.stdout)["findings"] if finding["area"] == area]


def test_nothing_is_wrong_where_nothing_is(mimo: Run) -> None:
    said = mimo("doctor", "--json")
    assert said.returncode == 0
    assert json.loads(said.stdout)["healthy"] is True
    assert "all is well" in mimo("doctor").stdout


def test_problems_come_first_with_their_cure(inside: Run, home: Home) -> None:
    os.makedirs(home, mode=0o755)
    os.chmod(home, 0o755)
    said = inside("doctor")
    assert said.returncode == 1
    lines = said.stdout.splitlines()
    assert lines[0] == f"✗ home: {home} is open to other users (mode 0755)"
    assert lines[1].strip() == f"cure: chmod 700 {home}  (or: mimo doctor --fix)"
    assert lines[-1] == "1 problem"


def test_what_can_be_mended_safely_is_mended(inside: Run, home: Home) -> None:
    os.makedirs(home, mode=0o755)
    os.chmod(home, 0o755)
    Path(home.log).write_text("")
    os.chmod(home.log, 0o644)
    said = inside("doctor", "--fix")
    assert said.returncode == 0
    assert said.stdout.count("mended: ") == 2
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(home.log).st_mode) == 0o600


def test_a_wrong_setting_is_a_problem(inside: Run, home: Home, environ: dict[str, str]) -> None:
    environ["MIMO_STORAGE__REDERS"] = "1"
    said = inside("doctor", "--json")
    assert said.returncode == 1
    (found,) = findings(said, "settings")
    assert "did you mean storage.readers?" in found["says"]


def test_a_settings_file_with_a_key_that_others_can_read_is_mended(
    inside: Run, environ: dict[str, str]
) -> None:
    path = Path(environ["XDG_CONFIG_HOME"]) / "mimo" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[embedding]\nkey = "secret"\n')
    path.chmod(0o644)
    assert inside("doctor", "--fix").returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_database_is_a_problem(inside: Run, home: Home) -> None:
    os.makedirs(home, mode=0o700)
    Path(home.database).write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    os.chmod(home.database, 0o600)
    said = inside("doctor", "--json")
    assert said.returncode == 1
    assert findings(said, "database")[0]["state"] == "problem"


def test_a_client_that_starts_what_is_not_there_is_mended(
    inside: Run, environ: dict[str, str], home: Home
) -> None:
    path = Path(BY_NAME["cursor"].path(environ))
    path.parent.mkdir(parents=True)
    path.write_text(
        '{\n  // mine\n  "mcpServers": {"mimo": {"command": "/gone/mimo", "args": ["stdio"]}}\n}\n'
    )
    said = inside("doctor", "--json")
    assert said.returncode == 1
    assert "starts /gone/mimo, which is not there" in findings(said, "cursor")[0]["says"]
    assert inside("doctor", "--fix").returncode == 0
    assert "// mine" in path.read_text()
    assert home in path.read_text()


def test_clients_are_judged_by_their_files(inside: Run, environ: dict[str, str]) -> None:
    def judged(text: str) -> dict[str, Any]:
        path = Path(BY_NAME["gemini"].path(environ))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return findings(inside("doctor", "--json"), "gemini")[0]

    assert judged("{}")["cure"] == "mimo install gemini"
    assert judged("{")["state"] == "problem"
    assert judged('{"mcpServers": {"mimo": 5}}')["says"].endswith("names no command")
    assert "only where a shell's PATH is" in judged('{"mcpServers": {"mimo": {"command": "mimo"}}}')["says"]
    entry = {"command": "/bin/sh", "args": ["stdio", "--home", "/elsewhere"]}
    assert (
        "another data directory (/elsewhere)" in judged(json.dumps({"mcpServers": {"mimo": entry}}))["says"]
    )


def twin_says(environ: dict[str, str], **more: str) -> dict[str, Any]:
    said = subprocess.run(
        [sys.executable, "-P", "-m", "mimo", "doctor", "--json"],
        env=environ | more,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    (found,) = findings(said, "kernels")
    assert found["state"] == "note"
    return found


@pytest.mark.parametrize("checkout", [True, False], ids=["checkout", "wheel"])
def test_what_was_not_compiled_is_told_with_what_to_do(
    checkout: bool, environ: dict[str, str], tmp_path: Path
) -> None:
    environ.pop("MIMO_CORE", None)
    place = tmp_path / "site"
    (place / "mimo_core").mkdir(parents=True)
    for each in Path(mimo_core.__file__).parent.iterdir():
        if each.suffix == ".py":
            (place / "mimo_core" / each.name).symlink_to(each)
    # What Python finds before the compiled one, and cannot load.
    (place / "mimo_core" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}").touch()
    if checkout:
        (place / "setup.py").touch()
    cure = twin_says(environ, PYTHONPATH=str(place))["cure"]
    assert "C compiler" in cure
    assert (f"--editable {place}" in cure) is checkout
    assert ("--no-binary mimo mimo" in cure) is not checkout


def test_the_twin_that_was_asked_for_is_told_how_to_leave(environ: dict[str, str]) -> None:
    assert twin_says(environ, MIMO_CORE="numpy")["cure"] == "unset MIMO_CORE"


def test_skills_are_looked_at_without_starting_them(inside: Run, home: Home) -> None:
    os.makedirs(home, mode=0o700)
    path = Path(home, "skills.json")
    assert findings(inside("doctor", "--json"), "skills") == []
    path.write_text(json.dumps({"mine": {"command": sys.executable, "args": ["-c", "raise SystemExit(1)"]}}))
    said = inside("doctor", "--json")
    assert said.returncode == 0
    assert [each["says"] for each in findings(said, "skills")] == [f"1 in {path}"]
    path.write_text(
        json.dumps({"mine": {"command": "not-there-at-all"}, "off": {"command": "x", "enabled": False}})
    )
    said = inside("doctor", "--json")
    assert said.returncode == 1
    (found,) = findings(said, "skills")
    assert "mine: there is no program 'not-there-at-all'" in found["says"]
    path.write_text('{"mine": {"comand": "x"}}')
    (found,) = findings(inside("doctor", "--json"), "skills")
    assert "comand" in found["says"]
