"""The official suite's verdict on both revisions, where npm and the suite are at hand (`ops/conformance` fetches them)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "conformance"


@pytest.mark.skipif(
    not list(CACHE.glob("*/node_modules/.bin")),
    reason="the MCP conformance suite is not installed: run ops/conformance once",
)
@pytest.mark.parametrize("way", ["alone", "--gateway", "--client"])
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_every_required_scenario_passes(revision: str, way: str) -> None:
    words = ["--requirements", revision, *([way] if way.startswith("-") else [])]
    ended = subprocess.run(
        [sys.executable, HOUSE / "ops" / "conformance", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "failure" not in ended.stdout.replace("not required: failure", "")
