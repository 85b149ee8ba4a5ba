"""Schemathesis against /openapi.json: what the document allows and forbids is sent, and each answer is held against it.

`ops/clients` fetches it into the cache directory. Where it has not, or could not, this test is skipped.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimo" / "clients"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
# The other phases follow links, of which the document has none.
PHASES = "coverage,fuzzing"


def test_no_answer_is_a_bug_or_missing_in_the_document(
    serve: Callable[..., Any], mimo: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    if not (CACHE / "schemathesis" / "installed").exists():
        pytest.skip("NOT TESTED with Schemathesis: run ops/clients to install it")
    often = {"MIMO_HTTP__RATE_PER_MINUTE": "1e6", "MIMO_HTTP__RATE_BURST": "100000"}
    served = serve("--behind-proxy", **often)
    doors = json.loads(mimo("status", "--json").stdout)["doors"]
    url = next(door["address"] for door in doors if door["name"] == "http")
    key = mimo("token").stdout.strip()
    examples = "100" if os.environ.get("MIMO_FAULTS") == "full" else "5"
    words = [
        *(CACHE / "schemathesis" / "bin" / "schemathesis", "run", f"{url}/openapi.json"),
        *("-H", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS), "--phases", PHASES),
        *("--max-examples", examples, "--generation-deterministic", "--continue-on-failure"),
        *("--exclude-operation-id", "events", "--no-color"),  # events have no end
    ]
    ended = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(CLIENTS / "schemathesis_hooks.py")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert served.stop() == 0
    assert "Traceback" not in served.errors()
