"""What `mimo doctor` looks at of the folder of procedures: which of its files define nothing, and why."""

import os
import shlex
from collections.abc import Iterator
from typing import Any

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.examinations import OK, PROBLEM, Finding
from mimo.cli.terminal import Failed, foreign
from mimo.home import Home

AREA = "procedures"


def examine_procedures(home: Home) -> Iterator[Finding]:
    """Nothing is said where there is no folder: only the daemon, which knows the tools, can judge a file."""
    folder = os.path.join(home, "procedures")
    if not os.path.isdir(folder):
        return
    try:
        with Daemon(home) as daemon:
            facts = daemon.ask("mimo/status")
    except (Unreachable, Failed):
        yield Finding(AREA, OK, f"{folder} is looked at while the daemon runs")
        return
    procedures: dict[str, Any] = facts.get("procedures") or {}
    refused: dict[str, str] = procedures.get("refused") or {}
    for name, why in refused.items():
        path = os.path.join(folder, name)
        cure = f"mend it; this says all that stands against it: mimo procedure validate {foreign(shlex.quote(path))}"
        yield Finding(AREA, PROBLEM, f"{path} defines nothing: {why}", cure)
    if not refused:
        yield Finding(AREA, OK, f"every file in {folder} is read")
