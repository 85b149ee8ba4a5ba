"""`mimo hook EVENT`: what an agent's hook is told. Thin, quick, and silent when there is nothing to say.

A hook that fails or waits spoils somebody's session, so this one never does: whatever goes wrong, it
says nothing and ends with 0. Only session-start and prompt ever give context; context from a stop hook
would make the agent go on, and stop, and go on.
"""

import contextlib
import json
import os
import sys
import time
from typing import Any

from mimo.cli.client import Daemon
from mimo.cli.terminal import OK, Failed
from mimo.cli.words import Words
from mimo.home import Home

SECONDS = 1.0
MOST_INPUT = 1 << 20
# Characters of context: what a session may cost once, and what every prompt may cost.
AT_START, AT_PROMPT = 1500, 600
LONGEST_LINE = 220
FORGET_SESSIONS_AFTER = 7 * 86400.0
# What hooks are called where the agent does not say it; Codex shares these names, Gemini sends its own.
NAMES = {"session-start": "SessionStart", "prompt": "UserPromptSubmit"}
HEADINGS = {
    "session-start": "Recorded notes from mimo (they may be stale):",
    "prompt": "Recorded notes that may bear on this (they may be stale):",
}


def hook(words: Words) -> int:
    event = words.text("EVENT")
    given = _given()
    session = _session_name(given.get("session_id"))
    seen = _Seen(words.home, session)
    if event in {"pre-compact", "session-end"}:
        seen.forget()  # what was said is about to leave the agent's context, so it may be said again
    elif event in NAMES:
        with contextlib.suppress(Failed, OSError):  # no daemon, no answer in time: no context, no noise
            _speak(words.home, event, given, seen)
    return OK


def _speak(home: Home, event: str, given: dict[str, Any], seen: "_Seen") -> None:
    if isinstance(place := given.get("cwd"), str) and os.path.isdir(place):
        os.chdir(place)  # the namespace is that of the project the agent works in
    if event == "session-start":
        seen.forget()
        tool, arguments, budget = "memory_context", {"max_chars": AT_START, "format": "json"}, AT_START
    else:
        prompt = given.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            return
        tool, budget = "memory_search", AT_PROMPT
        arguments = {"query": prompt[:2000], "limit": 5, "format": "json"}
    with Daemon(home, role="hook", seconds=SECONDS) as daemon:
        data = daemon.tool(tool, arguments, seconds=SECONDS).data
    if not isinstance(data, dict) or data.get("abstained"):  # pyright: ignore[reportUnknownMemberType]
        return
    lines, ids = _lines(data.get("results") or [], seen.ids(), budget - len(HEADINGS[event]))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if not lines:
        return
    name = given.get("hook_event_name")
    print(
        json.dumps(
            {
                "hookSpecificOutput": {
                    "hookEventName": name if isinstance(name, str) and name else NAMES[event],
                    "additionalContext": "\n".join([HEADINGS[event], *lines]),
                }
            }
        )
    )
    seen.add(ids)


def _given() -> dict[str, Any]:
    """What the agent says on stdin; nothing, if that is no JSON object."""
    if sys.stdin is None or sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        return {}
    try:
        value: Any = json.loads(sys.stdin.buffer.read(MOST_INPUT))
    except (ValueError, RecursionError, OSError):
        return {}
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _lines(results: list[dict[str, Any]], known: set[str], budget: int) -> tuple[list[str], list[str]]:
    """One line a memory, with its age and its id, as many as the budget holds, none twice in a session."""
    lines: list[str] = []
    ids: list[str] = []
    for result in results:
        identity = str(result.get("id"))
        source: Any = result.get("source")
        trust: Any = source.get("trust") if isinstance(source, dict) else source  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        # What came from the web must not speak in the agent's prompt without having been asked for.
        if identity in known or trust == "web":
            continue
        text = " ".join(str(result.get("content", "")).split())
        if len(text) > LONGEST_LINE:
            text = text[: LONGEST_LINE - 1] + "…"
        line = (
            f"- [{result.get('kind', 'fact')}] {text} ({str(result.get('created_at', ''))[:10]}, {identity})"
        )
        if len(line) + 1 > budget:
            break
        budget -= len(line) + 1
        lines.append(line)
        ids.append(identity)
    return lines, ids


def _session_name(identity: Any) -> str:
    """The session as a file's name, or nothing."""
    return "".join(c for c in str(identity or "")[:64] if c.isascii() and (c.isalnum() or c in "-_"))


class _Seen:
    """The ids that a session has been told, one small file for each session."""

    def __init__(self, home: Home, session: str) -> None:
        self._folder = os.path.join(home, "hooks")
        self._path = os.path.join(self._folder, session) if session else ""

    def ids(self) -> set[str]:
        if not self._path:
            return set()
        try:
            with open(self._path) as file:
                return set(file.read().split())
        except OSError:
            return set()

    def add(self, ids: list[str]) -> None:
        if self._path:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(self._path, "a") as file:
                file.write("".join(f"{identity}\n" for identity in ids))

    def forget(self) -> None:
        """Forget this session, and those that never said goodbye."""
        with contextlib.suppress(OSError):
            if self._path:
                os.unlink(self._path)
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._folder):
                if entry.stat().st_mtime < time.time() - FORGET_SESSIONS_AFTER:
                    os.unlink(entry.path)
