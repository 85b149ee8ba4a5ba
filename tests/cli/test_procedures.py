"""`mimo procedure ...`, and the same over HTTP: the daemon runs, and everything is said with its exit code."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mimo.cli.terminal import CONFLICT, FAILED, NOT_FOUND, OK, USAGE
from mimo.home import Home

EXAMPLES = Path(__file__).parents[2] / "docs" / "how-to" / "procedures"
Mimo = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_procedure_from_its_file_to_its_picture(
    serve: Callable[..., Any], mimo: Mimo, tmp_path: Path
) -> None:
    serve()
    deploy = str(EXAMPLES / "deploy.json")
    assert mimo("procedure", "validate", deploy).stdout == "it can be defined as it is\n"
    wrong = tmp_path / "wrong.json"
    wrong.write_text(Path(deploy).read_text().replace('"to": "check"', '"to": "chek"'))
    told = mimo("procedure", "validate", str(wrong))
    assert told.returncode == FAILED
    assert "states.switch.transitions[0].to: no state 'chek'; did you mean 'check'?" in told.stdout
    assert mimo("procedure", "define", str(wrong)).returncode == USAGE
    assert mimo("procedure", "define", deploy).stdout.startswith("defined deploy 1.0")
    ran = mimo("procedure", "run", "deploy", "release=7.1", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["status"]) == (OK, "completed")
    assert mimo("procedure", "run", "deploy", "release=7.2", "healthy=false").returncode == FAILED
    assert (
        "awaits approval"
        in mimo("procedure", "run", "deploy", "release=7.3", "environment=production").stdout
    )
    assert "class s0 lit" in mimo("procedure", "show", "r3", "--mermaid").stdout
    assert 'class="lit"' in mimo("procedure", "show", "r3", "--svg").stdout
    assert "approved: taken" in mimo("procedure", "signal", "r3", "approved").stdout
    watched = mimo("procedure", "watch", "r3")
    assert (watched.returncode, watched.stdout.splitlines()[-1].split()[2]) == (OK, "completed")
    assert mimo("procedure", "history", "r2", "--limit", "3").stdout.splitlines()[3:] == ["More: --after 3"]
    assert mimo("procedure", "history", "r2", "--after", "3", "--limit", "1").stdout.startswith("4 ")
    assert mimo("procedure", "list", "deploy", "--status", "rolled_back").stdout.startswith(
        "r2 deploy 1.0: rolled_back"
    )
    assert json.loads(mimo("procedure", "list", "deploy", "--json").stdout)["after"] is None
    assert mimo("procedure", "list", "deploy", "--after", "nothing").returncode == USAGE
    assert mimo("procedure", "show", "r9").returncode == NOT_FOUND
    assert mimo("procedure", "pause", "r1").returncode == CONFLICT
    assert mimo("procedure", "retry", "r2", "prepare").returncode == OK
    assert "deactivated deploy 1.0" in mimo("procedure", "deactivate", "deploy").stdout
    assert mimo("procedure", "show", "deploy", "--svg", "--mermaid").returncode == USAGE


def test_procedures_by_rest(serve: Callable[..., Any], mimo: Mimo) -> None:
    serve(MIMO_HTTP__ENABLED="on")
    doors = json.loads(mimo("status", "--json").stdout)["doors"]
    base = next(door["address"] for door in doors if door["name"] == "http") + "/v1/procedures"
    key = mimo("token").stdout.strip()

    def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
        request = urllib.request.Request(
            base + path,
            body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                assert response.status == status
                told = response.read().decode()
                return told if told.startswith("<svg") else json.loads(told)
        except urllib.error.HTTPError as error:
            with error:
                code, told = error.code, error.read().decode()
            if code != status:
                raise AssertionError(f"{code}: {told}") from error
            return json.loads(told)["error"]

    approval = json.loads((EXAMPLES / "approval.json").read_text())
    assert ask("GET", "/schema")["title"] == "Definition"
    assert ask("POST", "/validate", {"name": "x"})["valid"] is False
    assert ask("POST", "", approval, 201)["new"] is True
    assert ask("POST", "", approval)["new"] is False
    assert ask("POST", "", {**approval, "description": "another"}, 409)["type"] == "conflict"
    assert ask("POST", "", {"name": "x"}, 422)["details"]["problems"]
    assert [each["name"] for each in ask("GET", "")["procedures"]] == ["approval"]
    assert ask("GET", "/approval")["definition"]["initial"] == "ask"
    assert ask("GET", "/nobody", status=404)["type"] == "not_found"
    twice = json.dumps(approval)[:-1].encode() + b', "version": "1.0", "states": {"ask": {"x": 1, "x": 2}}}'
    for path in ("", "/validate"):
        told = ask("POST", path, twice, 200 if path else 422)
        problems = told["problems"] if path else told["details"]["problems"]
        assert [(each["place"], each["problem"]) for each in problems] == [
            ("", "'version' stands twice in one object"),
            ("", "'states' stands twice in one object"),
            ("states.ask", "'x' stands twice in one object"),
        ]
        assert ask("POST", path, b"{", 400)["type"] == "not_json"
        assert ask("POST", path, b"[]", 422)["message"] == "the body must be a JSON object"
    run = ask("POST", "/approval/runs", {"input": {"question": "Well?"}, "wait": 5}, 201)["run"]
    assert ask("GET", f"/runs/{run}")["waits_for"][0]["prompt"] == "Well?"
    assert ask("GET", f"/approval/picture?run={run}").count('class="lit"') == 1
    assert ask("GET", "/approval/runs?status=waiting&limit=5")["runs"][0]["run"] == run
    assert ask("GET", "/runs?status=waiting")["runs"][0]["run"] == run
    assert ask("POST", f"/runs/{run}/pause")["paused"] is True
    assert ask("POST", f"/runs/{run}/resume")["paused"] is False
    assert ask("POST", f"/runs/{run}/dance", status=422)["param"] == "act"
    assert ask("POST", f"/runs/{run}/signal", {"event": "rejected"})["outcome"] == "taken"
    told = ask("GET", f"/runs/{run}/history?after=2&limit=3")
    assert ([line["line"] for line in told["history"]], told["after"]) == ([3, 4, 5], 5)
    assert ask("GET", f"/runs/{run}/history?after=x", status=422)["param"] == "after"
    assert ask("POST", "/approval/runs", {"surprise": 1}, 422)["param"] == "surprise"
    other = ask("POST", "/approval/runs", {"input": {"question": "And now?"}}, 201)["run"]
    first = ask("GET", "/approval/runs?limit=1")
    assert [each["run"] for each in first["runs"]] == [other]
    last = ask("GET", f"/approval/runs?limit=1&after={first['after']}")
    assert ([each["run"] for each in last["runs"]], last["after"]) == ([run], None)
    assert ask("GET", f"/runs?status=waiting&after={first['after']}")["runs"] == []
    assert ask("GET", "/runs?status=waiting&after=r", status=422)["param"] == "after"
    assert ask("POST", f"/runs/{other}/interrupt", {"rollback": True})["status"] == "failed"
    assert ask("DELETE", "/approval")["versions"] == ["1.0"]


def test_the_family_has_a_page_of_its_own(mimo: Mimo) -> None:
    assert "procedure watch" in mimo("help", "procedure").stdout


def test_the_doctor_names_each_file_of_the_folder_that_defines_nothing(
    serve: Callable[..., Any], mimo: Mimo, home: Home
) -> None:
    folder = Path(home) / "procedures"
    Path(home).mkdir(mode=0o700)
    folder.mkdir()
    deploy = (EXAMPLES / "deploy.json").read_text()
    (folder / "deploy.json").write_text(deploy)
    wrong = folder / "wrong one.json"
    wrong.write_text(deploy.replace('"to": "check"', '"to": "chek"').replace('"initial": "', '"initial": "x'))
    broken = folder / "broken.json"
    broken.write_text("{")
    serve()
    until(lambda: len(json.loads(mimo("status", "--json").stdout)["procedures"]["refused"]) == 2)
    told = mimo("doctor", "--json")
    assert told.returncode == FAILED
    (first, why, cure), (second, also, _) = found(told)
    assert (first, second) == ("problem", "problem")
    assert why.startswith(f"{broken} defines nothing: not JSON")
    assert also.startswith(f"{wrong} defines nothing: initial: no state")
    assert also.endswith("more)")
    assert cure.endswith(f"mimo procedure validate {broken}")
    for each in (wrong, broken):
        each.unlink()
    until(lambda: not json.loads(mimo("status", "--json").stdout)["procedures"]["refused"])
    assert found(mimo("doctor", "--json")) == [("ok", f"every file in {folder} is read", "")]


def test_a_folder_of_procedures_is_judged_while_the_daemon_runs(mimo: Mimo, home: Home) -> None:
    assert found(mimo("doctor", "--json")) == []
    Path(home).mkdir(mode=0o700)
    (Path(home) / "procedures").mkdir()
    (Path(home) / "procedures" / "x.json").write_text("{")
    ((state, says, _),) = found(mimo("doctor", "--json"))
    assert (state, says) == ("ok", f"{home}/procedures is looked at while the daemon runs")


def until(claim: Callable[[], bool]) -> None:
    """Asked again and again: each time is a process, and the folder is looked at every two seconds."""
    last = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < last


def found(said: subprocess.CompletedProcess[str]) -> list[tuple[str, str, str]]:
    """What the doctor says of procedures."""
    told = json.loads(said.stdout)["findings"]
    return [(each["state"], each["says"], each["cure"]) for each in told if each["area"] == "procedures"]
