"""How far the vectors are, as `mimo status` and `mimo doctor` tell it."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from mimo import __version__

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Script = Callable[[dict[str, Any]], Any]

ALL = {
    "model": "openai:new",
    "serving": "openai:new",
    "done": 1204,
    "waiting": 0,
    "set_aside": 0,
    "refused": "",
    "down": "",
}


@pytest.mark.parametrize(
    ("change", "told", "state"),
    [
        ({}, "1,204 of 1,204 by openai:new", "ok"),
        (
            {"waiting": 2796, "serving": "box"},
            "1,204 of 4,000 by openai:new, 2,796 wait; until then box answers questions",
            "ok",
        ),
        (
            {"set_aside": 1, "refused": "too long"},
            "1,204 of 1,205 by openai:new, 1 refused: too long",
            "note",
        ),
        (
            {"waiting": 1, "down": "nobody there"},
            "1,204 of 1,205 by openai:new, 1 wait; nobody there",
            "note",
        ),
        ({"model": "", "serving": "", "done": 0, "down": "no file"}, "0 of 0 by no model; no file", "note"),
    ],
)
def test_how_far_the_vectors_are_is_told(
    change: dict[str, Any], told: str, state: str, inside: Run, scripted: Script
) -> None:
    facts = {"pid": 1, "version": __version__, "embedding": ALL | change}
    scripted(
        {
            "mimo/status": {"result": facts},
            "initialize": {"result": {"serverInfo": {"name": "mimo"}}},
            "mimo/tool": {"result": {}},
        }
    )
    said = inside("status").stdout
    assert told in said
    assert json.loads(inside("status", "--json").stdout)["embedding"] == ALL | change
    found = {each["area"]: each for each in json.loads(inside("doctor", "--json").stdout)["findings"]}
    assert found["vectors"]["state"] == state
    assert bool(found["vectors"]["cure"]) == (state != "ok")


def test_a_daemon_tells_how_far_its_vectors_are(mimo: Run) -> None:
    mimo("restart")
    try:
        told = json.loads(mimo("status", "--json").stdout)["embedding"]
        assert told == ALL | {"model": told["model"], "serving": told["model"], "done": 0}
        assert f"0 of 0 by {told['model']}" in mimo("status").stdout
    finally:
        mimo("stop")
