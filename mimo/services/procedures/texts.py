"""What agents and people read of procedures and their runs; and the same as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from mimo.services.procedures.bounded import steps_to
from mimo.services.procedures.runs import ENDED, Phase, Run, Status
from mimo.storage.procedures.definitions import Kept
from mimo.storage.procedures.runs import Row, Told

if TYPE_CHECKING:
    from mimo.services.procedures.checking import Problem
    from mimo.services.procedures.definition import Definition

LONGEST = 2_000


def when(milliseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # only runs of before wait for such a time
        return "after the year 9999" if milliseconds > 0 else "before the year 1"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Of a run: by the step and the attempt that each belongs to.
Children: TypeAlias = Mapping[tuple[int, int], int]


def run_data(row: Row, run: Run, definition: Definition, children: Children) -> dict[str, Any]:
    """Everything about a run."""
    told: dict[str, Any] = {
        "run": f"r{row.id}",
        "procedure": definition.name,
        "version": definition.version,
        "status": row.status,
        "state": row.state,
        "steps": run.steps,
        "lines": run.entries,
        "created_at": when(row.created_at),
        "changed_at": when(row.changed_at),
        "ended_at": None if row.ended_at is None else when(row.ended_at),
        "output": run.output,
        "error": None,
        "waits_for": waits_for(run, children),
        "paused": run.paused_at is not None,
        "parent": None if row.parent is None else f"r{row.parent.id}",
    }
    if run.trouble is not None:
        told["error"] = {"kind": run.trouble.kind, "message": run.trouble.message}
    return told


def waits_for(run: Run, children: Children) -> list[dict[str, Any]]:
    """What has to come before it goes on."""
    if run.status in ENDED:
        return []
    told: list[dict[str, Any]] = []
    for each in run.activities:
        one: dict[str, Any] = {"what": each.phase.value, "state": each.state, "step": each.step}
        if each.branch:
            one["branch"] = each.branch
        if each.call is not None:
            one["call"] = each.call.get("tool") or each.call.get("procedure")
        if (child := children.get((each.step, each.attempt))) is not None:
            one["run"] = f"r{child}"
        if each.events:
            one["events"] = list(each.events)
        if each.prompt:
            one["prompt"] = each.prompt
        if each.due is not None:
            one["until"] = when(each.due)
        if each.trouble is not None:
            one["problem"] = each.trouble.message
        told.append(one)
    return told


def run_text(row: Row, run: Run, definition: Definition, children: Children) -> str:
    lines = [f"r{row.id} {definition.name} {definition.version}: {row.status}, in {row.state}"]
    if run.paused_at is not None and run.status is not Status.INTERRUPTED:
        lines[0] += " (paused)"
    for each in run.activities if run.status not in ENDED else ():
        id_ = children.get((each.step, each.attempt))
        child = "" if id_ is None else f", r{id_}"
        match each.phase:
            case Phase.STUCK:
                said = "" if each.trouble is None else f": {each.trouble.message}"
                lines.append(
                    f"needs attention in {each.state}{said}. signal done (with data) or error says what became of it; retry, if it was not done, does it again."
                )
            case Phase.WAITING if each.prompt:
                lines.append(f"awaits approval: {each.prompt} (signal approved or rejected)")
            case Phase.WAITING if each.events:
                lines.append(f"awaits {' or '.join(each.events)}")
            case Phase.WAITING | Phase.PAUSING:
                lines.append(f"{each.phase.value} until {when(each.due or 0)}")
            case Phase.LEAVING:
                lines.append(f"a child takes back what it did: {(each.call or {}).get('procedure')}{child}")
            case Phase.CHILD if each.trouble is not None:
                called = (each.call or {}).get("procedure")
                lines.append(f"needs attention in {each.state}: {each.trouble.message} ({called}{child})")
            case Phase.CHILD:
                lines.append(f"its child runs ({(each.call or {}).get('procedure')}{child})")
            case _:
                lines.append(f"{each.phase.value}: {(each.call or {}).get('tool')}, attempt {each.attempt}")
    if run.trouble is not None:
        lines.append(f"error: {run.trouble.message}")
    if run.output is not None:
        lines.append(f"output: {_short(run.output)}")
    return "\n".join(lines)


def row_data(row: Row, name: str, version: str) -> dict[str, Any]:
    return {
        "run": f"r{row.id}",
        "procedure": name,
        "version": version,
        "status": row.status,
        "state": row.state,
        "created_at": when(row.created_at),
        "changed_at": when(row.changed_at),
    }


def row_text(told: Mapping[str, Any]) -> str:
    return f"{told['run']} {told['procedure']} {told['version']}: {told['status']}, in {told['state']}, since {told['changed_at']}"


def with_children(lines: Sequence[Told], children: Children) -> Sequence[Told]:
    """The same, and where one tells of a child, its name."""
    first = {step: id_ for (step, _), id_ in sorted(children.items(), reverse=True)}
    return [
        replace(each, detail=json.dumps({**json.loads(each.detail), "run": f"r{first[each.step]}"}))
        if each.kind == "child" and each.detail is not None and each.step in first
        else each
        for each in lines
    ]


def history_data(lines: Sequence[Told]) -> list[dict[str, Any]]:
    return [
        {
            "line": each.number,
            "at": when(each.at),
            "kind": each.kind,
            "state": each.state,
            "step": each.step or None,
            "attempt": each.attempt or None,
            "detail": None if each.detail is None else json.loads(each.detail),
        }
        for each in lines
    ]


def history_text(lines: Sequence[Told]) -> str:
    return "\n".join(map(line_text, lines)) or "nothing more"


def and_more(text: str, after: int | str | None) -> str:
    """And how to get what comes then, if there is more."""
    return text if after is None else f"{text}\nMore: after={json.dumps(after)}."


def line_text(line: Told) -> str:
    attempt = f" (attempt {line.attempt})" if line.attempt > 1 else ""
    detail = "" if line.detail is None else f": {_short(json.loads(line.detail), 300)}"
    return f"{line.number} {when(line.at)} {line.kind} {line.state}{attempt}{detail}"


def kept_data(kept: Kept, description: str) -> dict[str, Any]:
    return {
        "name": kept.name,
        "version": f"{kept.major}.{kept.minor}",
        "description": description,
        "active": kept.active,
        "source": kept.source,
        "hash": kept.hash.hex(),
        "created_at": when(kept.created_at),
    }


def kept_text(told: Mapping[str, Any]) -> str:
    gone = "" if told["active"] else " (deactivated)"
    said = f": {told['description']}" if told["description"] else ""
    return f"{told['name']} {told['version']}{gone}{said}"


def definition_text(kept: Kept, definition: Definition) -> str:
    lines = [kept_text(kept_data(kept, definition.description))]
    steps = steps_to(definition)
    for name, state in sorted(definition.states.items(), key=lambda each: steps[each[0]]):
        marks = [
            *(["initial"] if name == definition.initial else []),
            *([state.terminal] if state.terminal else []),
        ]
        what = "" if state.action is None else f" {state.action.type}"
        ways = ", ".join(
            f"{each.event}{f' [{each.guard}]' if each.guard else ''} > {each.to}"
            for each in state.transitions
        )
        told = f"- {name} ({', '.join(marks)})" if marks else f"- {name}"
        lines.append(f"{told}:{what}{f'; {ways}' if ways else ''}")
    return "\n".join(lines)


def problems_text(problems: Sequence[Problem]) -> str:
    return "\n".join(f"- {each}" for each in problems) or "It can be defined as it is."


def _short(value: Any, longest: int = LONGEST) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
