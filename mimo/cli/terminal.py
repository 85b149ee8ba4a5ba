"""What people and programs see of a command: text, JSON, colour where it is wanted, and how it fails."""

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

# The exit codes, as `mimo --help` documents them.
OK, FAILED, USAGE, NOT_FOUND, UNREACHABLE, CONFLICT = 0, 1, 2, 3, 4, 5
# From the kinds of mimo.errors to exit codes, by word, because that module is not worth its import here.
EXIT_CODES = {
    "invalid_arguments": USAGE,
    "not_found": NOT_FOUND,
    "unknown_tool": NOT_FOUND,
    "conflict": CONFLICT,
}

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
# What others wrote (memories, names) must not steer the terminal: no control character gets through but
# the line's end and the tab.
_CONTROLS = {n: "\ufffd" for n in (*range(0x20), *range(0x7F, 0xA0)) if n not in (0x09, 0x0A)}


class Failed(Exception):
    """A command could not do its work. The text says what happened and the cure."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def colourful(stream: TextIO) -> bool:
    """May this stream get colour and progress?"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    if not colourful(stream or sys.stdout):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    """A line for whoever asked, on stdout."""
    print(text)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    print(text, file=sys.stderr)


def foreign(text: str, stream: TextIO | None = None) -> str:
    """Text that others wrote, harmless on a terminal; unchanged in a pipe."""
    return text.translate(_CONTROLS) if (stream or sys.stdout).isatty() else text


def say_json(value: Any) -> None:
    """One JSON document on stdout: indented for people, on one line for pipes."""
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Columns, each as wide as it must be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return "\n".join(
        (indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def progress(done: int, total: int | None, what: str) -> None:
    """Where a long work is, on one line of a terminal; nothing elsewhere."""
    if not colourful(sys.stderr):
        return
    if total:
        filled = 24 * min(done, total) // total
        bar = f"[{'=' * filled}{' ' * (24 - filled)}] {done}/{total}"
    else:
        bar = str(done)
    print(f"\r\x1b[K{bar} {what}", end="", file=sys.stderr, flush=True)


def progress_over() -> None:
    if colourful(sys.stderr):
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def confirmed(question: str, yes: bool) -> bool:
    """Ask a person; without one, only `--yes` is a yes."""
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Failed(f"{question} Say --yes to do it without being asked", USAGE)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
