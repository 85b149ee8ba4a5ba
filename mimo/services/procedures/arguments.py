"""What the tool takes, as agents read it. Every byte of this is read by every agent, so most is told by `help` only."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field
from pydantic.json_schema import SkipJsonSchema

from mimo.errors import InvalidArguments
from mimo.tool import Arguments

Operation: TypeAlias = Literal[
    "help", "define", "validate", "list", "get", "run", "status", "signal", "interrupt", "history",
    "pause", "resume", "retry", "deactivate",
]  # fmt: skip
READING: frozenset[str] = frozenset({"help", "validate", "list", "get", "status", "history"})
MOST_WAIT = 300.0
PAGE = 50


def _name(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not 0 < len(text) <= 64:
        raise ValueError("names here are 1..64 characters of plain ASCII")
    return text


def _version(text: str) -> str:
    major, point, minor = text.partition(".")
    fits = point and all(each.isascii() and each.isdigit() and 0 < len(each) < 7 for each in (major, minor))
    if not fits:
        raise ValueError("a version is two numbers, like 1.0")
    return f"{int(major)}.{int(minor)}"


def _run(text: str) -> str:
    digits = text.removeprefix("r")
    if text[:1] != "r" or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise ValueError("runs are called r1, r2, ...")
    return text


# A limit as a validator is none in the schema, of which every byte is read.
Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Version: TypeAlias = Annotated[str, Field(max_length=13), AfterValidator(_version)]
RunName: TypeAlias = Annotated[str, AfterValidator(_run)]


class Procedure(Arguments):
    """Use when a task has steps that must all happen, or be taken back: define and run state machines that survive
    restarts. `help` explains definitions."""

    operation: Operation
    name: Name | None = None
    input: dict[str, Any] = Field(default_factory=dict[str, Any])
    run: RunName | None = Field(default=None, description="r12")
    event: Name | None = Field(default=None, description="for signal, with data")
    data: dict[str, Any] | None = None
    definition: dict[str, Any] | None = None
    # Whoever knows of these has read the help.
    version: SkipJsonSchema[Version | None] = None
    state: SkipJsonSchema[Name | None] = None
    status: SkipJsonSchema[Name | None] = None
    rollback: SkipJsonSchema[bool] = False
    wait: SkipJsonSchema[Annotated[float, Field(ge=0, le=MOST_WAIT)]] = 20.0
    key: SkipJsonSchema[Annotated[str, Field(min_length=1, max_length=100)] | None] = None
    text: SkipJsonSchema[Annotated[str, Field(max_length=1_000_000)] | None] = None
    after: SkipJsonSchema[Annotated[int, Field(ge=0, le=1 << 40)] | Name] = 0
    limit: SkipJsonSchema[Annotated[int, Field(ge=1, le=500)]] = PAGE
    format: SkipJsonSchema[Literal["text", "json", "mermaid", "svg"]] = "text"

    def named(self) -> str:
        """The procedure that is meant.

        Raises:
            InvalidArguments: none is.
        """
        if self.name is None:
            raise InvalidArguments(f"{self.operation} needs name, that of a procedure", fields=["name"])
        return self.name

    def run_id(self) -> int:
        """The number of the run that is meant.

        Raises:
            InvalidArguments: none is.
        """
        if self.run is None:
            raise InvalidArguments(f"{self.operation} needs run, as r12", fields=["run"])
        return int(self.run[1:])

    def line(self) -> int:
        """The line of a history after which the answer begins.

        Raises:
            InvalidArguments: it is none.
        """
        if isinstance(self.after, str) and not self.after.isdigit():
            raise InvalidArguments("after is the number of a line, as history gives it", field="after")
        return min(int(self.after), 1 << 40)

    def behind(self) -> tuple[int, int] | None:
        """The run after which a list begins: when it had changed, and its number.

        Raises:
            InvalidArguments: it is none.
        """
        if self.after == 0:
            return None
        if (found := re.fullmatch(r"r([0-9]{1,18})-([0-9]{1,18})", str(self.after))) is None:
            raise InvalidArguments("after of a list is what the list before it gave", field="after")
        return int(found[2]), int(found[1])


class Look(Procedure):
    """As `procedure`, for whoever may only read: list, get, status, history, validate, help."""


HELP = """\
A procedure is a state machine. Each state has an action; when it is done, a transition leads on. Every step is saved
before it is begun, so that a kill is a pause.

procedure(operation="define", definition={
  "name": "deploy", "version": "1.0", "description": "...", "initial": "build", "timeout": 3600,
  "input": {"type": "object", "properties": {"env": {"type": "string"}}, "required": ["env"]},
  "states": {
    "build": {"action": {"type": "tool", "tool": "...", "arguments": {"env": "${input.env}"}, "save": "built"},
      "retry": {"attempts": 3, "backoff": 1}, "timeout": 60,
      "compensate": {"action": {"type": "tool", "tool": "...", "arguments": {"id": "${result.id}"}}},
      "transitions": [{"to": "ask", "guard": "built.ok"}, {"event": "error", "to": "failed"}]},
    "ask": {"action": {"type": "await", "approval": "Go live with ${built.id}?"}, "timeout": 86400,
      "transitions": [{"event": "approved", "to": "ok"}, {"event": "rejected", "to": "failed"}]},
    "ok": {"terminal": "success", "output": {"id": "${built.id}"}}, "failed": {"terminal": "failure"}}})

A name is of a-z 0-9 _ - and none of runs, schema, validate, which are addresses of the HTTP door.
Actions: tool (tool, arguments, save, idempotent), set (values), log (message), wait (seconds or until),
await (events and/or approval, save), choose (choices [{when, event}], otherwise), parallel (branches {name: {action,
retry, timeout, compensate}}), procedure (procedure, version, input, save), fail (message, kind). No action: done at once.
Events: actions end with done, error or timeout (else error); choose with the chosen one; others come by signal.
Several guarded transitions of one event need an order, unless they exclude each other; the one without a guard is last.
Guards and ${templates} are expressions: input.x, result, error.kind, event.data.x, names saved before; == != < <= > >=
and or not in + - * / % length(x) default(x, y) 'text' [1, 2]. A path to nothing is null in a guard, an error in a template.
Errors: retried as the state says, then the transition of error, else what was done is compensated in reverse order.
What may have been done (its tool was late, or has gone) is not retried unless it is idempotent, and is compensated too.
A compensation without retry is tried for some minutes where its tool refuses it unbegun (busy, resting), then needs attention.
A cycle needs a wait, an await or max_visits.

run: name, input, version, wait (seconds to wait for its end, 20; 0: do not), key (same key: run once)
status, history: run, after, limit. list: the procedures; with name or status: their runs (after, limit). get: name, version, format
(text, json, mermaid, svg), run (its state lit). signal: run, event, data, key (same key: sent once); to a run that needs attention: done or error.
interrupt: run, rollback (take back what was done). pause, resume: run. retry: run, state (from there on).
deactivate: name, version. validate: definition, or text of JSON or YAML with its file's name as name."""
