"""The plugin files say what is true of this mimo. `ops/check-plugins` has them judged by their own tools."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mimo import __version__

PLUGINS = Path(__file__).parents[2] / "ops" / "plugins"
MANIFESTS = sorted(path for path in PLUGINS.rglob("*.json") if "version" in json.loads(path.read_text()))


def commands(value: Any) -> Iterator[str]:
    """Every shell command in a hooks file."""
    if isinstance(value, dict):
        if value.get("type") == "command":
            yield value["command"]
        for inner in value.values():
            yield from commands(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from commands(inner)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_every_manifest_names_this_version(path: Path) -> None:
    assert json.loads(path.read_text())["version"] == __version__


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("hooks.json")), ids=lambda path: path.parts[-3])
def test_every_hook_is_one_that_we_answer(
    path: Path, mimo: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    found = list(commands(json.loads(path.read_text())))
    assert found
    for command in found:
        told = mimo(*command.split()[1:], given="{}")
        assert (told.returncode, told.stdout) == (0, ""), command  # no daemon runs: silence, and no failure


def test_the_bundle_offers_the_tools_that_there_are(
    serve: Callable[..., Any], mimo: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    serve()
    promised = {
        tool["name"] for tool in json.loads((PLUGINS / "mcpb" / "manifest.json").read_text())["tools"]
    }
    offered = {tool["name"] for tool in json.loads(mimo("tool", "--json").stdout)["tools"]}
    assert promised <= offered
