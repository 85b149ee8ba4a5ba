"""The first line on our socket: who connects, from where, and so which memories are theirs."""

from __future__ import annotations

import hashlib
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from pydantic_core import from_json

from mimo.errors import InvalidArguments
from mimo.tool import Client, Trust

Role: TypeAlias = Literal["bridge", "cli", "hook"]

HELLO = 1  # the version of this line
MAX_HELLO = 64 * 1024
USER = "user"  # the namespace of what belongs to no project

# Instead of an answer, to a bridge: this daemon is ending, connect to the next one.
AGAIN = b'{"mimo":"again"}\n'

_ROLES: Mapping[str, Role] = {"bridge": "bridge", "cli": "cli", "hook": "hook"}
# What makes a folder a project, in the order of how surely it does.
_MARKS = (".git", ".hg", ".jj", ".svn", ".mimo", "pyproject.toml", "package.json", "Cargo.toml", "go.mod")
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_AGENTS = ("CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID", "CLAUDECODE", "AI_AGENT", "GEMINI_CLI")
_SESSIONS = ("CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID")


@dataclass(frozen=True, slots=True)
class Hello:
    role: Role
    version: str = ""
    cwd: str | None = None
    pid: int | None = None
    env: Mapping[str, str] | None = None
    settled: bool = False  # a daemon has made way for it already
    terminal: bool = False  # somebody sits before it, or could

    def client(self, namespace: str, uid: int | None) -> Client:
        env = self.env or {}
        session = next((env[name] for name in _SESSIONS if env.get(name)), "")
        return Client(
            name=self.role,
            version=self.version,
            namespace=namespace,
            session=session[:200],
            cwd=self.cwd,
            pid=self.pid,
            uid=uid,
            trust=Trust.USER if self._is_typed else Trust.AGENT,
        )

    @property
    def _is_typed(self) -> bool:
        """Did a person say this? Agents, too, run our commands, but hardly ever at a terminal, and then they show."""
        return (
            self.role == "cli" and self.terminal and not any((self.env or {}).get(name) for name in _AGENTS)
        )


def read_hello(line: bytes | bytearray) -> Hello:
    """Raises: InvalidArguments: this is not how one of our clients begins."""
    try:
        value = from_json(line)
    except ValueError as error:
        raise InvalidArguments("the first line must be a hello (JSON)") from error
    said = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if said.get("mimo") != HELLO:
        raise InvalidArguments(
            f'the first line must be a hello: {{"mimo": {HELLO}, "role": ...}}; update mimo, then restart it'
        )
    role, env = said.get("role"), said.get("env")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidArguments(f"role must be one of {', '.join(_ROLES)}")
    pid = said.get("pid")
    kept = cast("dict[str, Any]", env) if isinstance(env, dict) else {}
    return Hello(
        role=_ROLES[role],
        version=_text(said.get("version")) or "",
        cwd=_text(said.get("cwd")),
        pid=pid if isinstance(pid, int) and not isinstance(pid, bool) else None,
        env={name: value for name, value in kept.items() if isinstance(value, str)},
        settled=said.get("settled") is True,
        terminal=said.get("terminal") is True,
    )


def is_newer(theirs: str, ours: str) -> bool:
    """Is their version a later one than ours? What cannot be told apart is not."""
    return _numbers(theirs) > _numbers(ours) > ()


def namespace_of(env: Mapping[str, str], cwd: str | None, home: str) -> str:
    """The namespace of the project that a client works on; `user` when it works on none.

    A readable name with a digest of the whole path, so that two folders of one name differ and the same
    folder is the same from every editor. Looks at the file system.
    """
    chosen = env.get("MIMO_NAMESPACE", "").lower()
    if _NAMESPACE.fullmatch(chosen):
        return chosen
    root = _project_root(env.get("CLAUDE_PROJECT_DIR") or None, cwd, home)
    if root is None:
        return USER
    name = re.sub(r"[^a-z0-9]+", "-", os.path.basename(root).lower()).strip("-")[:32] or "project"
    return f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:4]}"


def _project_root(named: str | None, cwd: str | None, home: str) -> str | None:
    """The folder that a client names, or else the nearest marked one around where it stands, or that itself."""
    start = named or cwd
    if not start or not os.path.isabs(start) or "\0" in start:
        return None
    home, start = os.path.realpath(home), os.path.realpath(start)
    outside = {os.path.dirname(home), home, "/"}  # nobody's project, even when there is a .git in it
    folder = start
    while folder not in outside and folder != os.path.dirname(folder):
        if any(os.path.exists(os.path.join(folder, mark)) for mark in _MARKS):
            return folder
        folder = os.path.dirname(folder)
    return None if start in outside else start


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, without what follows it: "1.4.0rc2" is (1, 4, 0)."""
    found = re.match(r"\d{1,9}(\.\d{1,9})*(?!\d)", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _text(value: object) -> str | None:
    return value[:4096] if isinstance(value, str) else None
