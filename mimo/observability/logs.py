"""Lines on stderr for the operator: JSON for machines, text for people, and never a memory's text above DEBUG.

Who is asking travels in a context variable, so that every line of a call names its request, client and tool.
Stdout is never touched: it belongs to the protocol.
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from mimo.observability.stderr import StderrHandler

Form: TypeAlias = Literal["auto", "json", "text"]

# Shorter pieces of an argument ("user", "fact") are words of ours, and say nothing about anybody.
TELLING = 8
LONGEST_MESSAGE = 2000
MOST_FRAMES = 60  # the last ones; a thousand of an endless recursion would hold up the loop
# Pydantic repeats the input in its message, cut in the middle, so that no search for the whole finds it.
PYDANTIC_INPUT = re.compile(r"input_value=.*?, input_type=", re.DOTALL)
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class About:
    """Whose work a line belongs to; `private` is what was handed in, and is kept out of the lines."""

    request: str = ""
    client: str = ""
    tool: str = ""
    private: object = None


NOBODY = About()
_about: contextvars.ContextVar[About] = contextvars.ContextVar("mimo_log_about", default=NOBODY)


class _Inside:
    """Written out, because every call of every tool goes through it."""

    __slots__ = ("_about", "_token")

    def __init__(self, about: About) -> None:
        self._about = about

    def __enter__(self) -> None:
        self._token = _about.set(self._about)

    def __exit__(self, *error: object) -> None:
        _about.reset(self._token)


def about(
    *, request: str = "", client: str = "", tool: str = "", private: object = None
) -> AbstractContextManager[None]:
    """Lines logged inside, and in tasks started inside, name this request."""
    return _Inside(About(request, client, tool, private))


def configure(level: str = "info", form: Form = "auto", *, fd: int = 2) -> StderrHandler:
    """Set logging up for the whole process. Called by the composition root; called again, it replaces what it did."""
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(old)
        old.close()
    handler = StderrHandler(fd)
    handler.setFormatter(TextLines() if _for_people(form, handler) else JsonLines())
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a line that cannot be written must not be complained about on stderr
    return handler


def lines_lost() -> int:
    """How many lines stderr has not taken, since logging was set up last."""
    return sum(each.lost for each in logging.getLogger().handlers if isinstance(each, StderrHandler))


def _for_people(form: Form, handler: StderrHandler) -> bool:
    return handler.is_terminal if form == "auto" else form == "text"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        said = _said(record)
        line: dict[str, Any] = {
            "time": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said.message,
            **_whose(),
            **said.fields,
        }
        if said.trace:
            line["traceback"] = said.trace
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """A line that a person can read, followed by the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said = _said(record)
        facts = " ".join(f"{name}={_short(value)}" for name, value in (said.fields | _whose()).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock}.{int(record.msecs):03d} {record.levelname:<8} {record.name}: {said.message}"
        line = f"{line}  {facts}" if facts else line
        line = line.replace("\r", "\\r").replace("\n", "\\n").replace("\x1b", "\\x1b")
        return f"{line}\n{said.trace.rstrip()}" if said.trace else line


@dataclass(frozen=True, slots=True)
class _Said:
    message: str
    fields: dict[str, Any]
    trace: str


def _said(record: logging.LogRecord) -> _Said:
    """What a line may say: at DEBUG all, above it nothing of what the caller has handed in."""
    message, fields, trace = record.getMessage(), _fields(record), _trace(record)
    if record.levelno > logging.DEBUG:
        secrets = _secrets(_about.get().private)
        message, fields, trace = (_discreet(each, secrets) for each in (message, fields, trace))
    return _Said(message, fields, trace)


def _whose() -> dict[str, str]:
    whose = _about.get()
    named = {"request": whose.request, "client": whose.client, "tool": whose.tool}
    return {name: value for name, value in named.items() if value}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in STANDARD}


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    text = "".join(traceback.format_exception(record.exc_info[1], limit=-MOST_FRAMES))
    return PYDANTIC_INPUT.sub("input_value=..., input_type=", text)


def _secrets(private: object) -> list[str]:
    """The texts in a call's arguments, in the ways in which a message may repeat them; longest first."""
    found: set[str] = set()
    left: list[object] = [private]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left.extend(cast("Mapping[str, object]", value).values())
        elif isinstance(value, list | tuple):
            left.extend(cast("list[object]", value))
        elif isinstance(value, str):
            found.update({value, repr(value)[1:-1], json.dumps(value)[1:-1], *value.splitlines()})
    return sorted((each for each in found if len(each.strip()) >= TELLING), key=len, reverse=True)


def _discreet(value: Any, secrets: list[str]) -> Any:
    """The same without what the caller has handed in, and without the rest of an endless message."""
    if isinstance(value, str):
        for secret in secrets:
            if secret in value:
                value = value.replace(secret, f"<{len(secret)} characters>")
        return "\n".join(
            line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}... ({len(line)} characters)"
            for line in value.split("\n")
        )
    if isinstance(value, Mapping):
        return {name: _discreet(each, secrets) for name, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_discreet(each, secrets) for each in cast("list[Any]", value)]
    return value if value is None or isinstance(value, bool | int | float) else _discreet(str(value), secrets)


def _short(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def _iso(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
