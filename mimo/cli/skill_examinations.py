"""What `mimo doctor` looks at of the other MCP servers: what the file says, the programs, and how those that ran fared."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

from mimo.cli.client import Daemon, Unreachable
from mimo.cli.examinations import NOTE, OK, PROBLEM, Finding
from mimo.cli.terminal import Failed
from mimo.errors import MimoError
from mimo.home import Home

AREA = "skills"


def examine_skills(home: Home) -> Iterator[Finding]:
    """Nothing is said where there are none. No skill is started for it."""
    path = os.path.join(home, "skills.json")
    if not os.path.exists(path):
        return
    from mimo.services.skills.configuration import read

    try:
        declared = read(path)
    except (MimoError, OSError) as error:
        yield Finding(AREA, PROBLEM, str(error), f"mend {path}; until then the skills before it stay")
        return
    enabled = [each for each in declared.values() if each.enabled]
    healthy = True
    for skill in enabled:
        if skill.command and (program := _missing(skill.command, skill.cwd)):
            healthy = False
            cure = f"install it, or change it: mimo skill add {skill.name} --replace -- COMMAND"
            yield Finding(AREA, PROBLEM, f"{skill.name}: there is no program {program!r} on the PATH", cure)
    for told in _running(home):
        if told["last_error"]:
            healthy = False
            cure = f"mimo skill logs {told['name']}"
            yield Finding(AREA, NOTE, f"{told['name']}: {told['last_error']}", cure)
        if told["changed"]:
            healthy = False
            says = f"{told['name']}: its definition of {', '.join(told['changed'])} is not what was approved"
            yield Finding(AREA, NOTE, says, f"mimo skill approve {told['name']}")
    if healthy:
        yield Finding(AREA, OK, f"{len(enabled)} in {path}")


def _missing(command: str, cwd: str | None) -> str:
    if "$" in command:
        return ""  # filled in from the environment of the daemon, which is not ours
    if os.sep in command:
        command = os.path.join(os.path.expanduser(cwd or "~"), os.path.expanduser(command))
    return "" if shutil.which(command) else command


def _running(home: Home) -> list[dict[str, Any]]:
    try:
        with Daemon(home) as daemon:
            return daemon.ask("mimo/skills/list")["skills"]
    except (Unreachable, Failed):
        return []
