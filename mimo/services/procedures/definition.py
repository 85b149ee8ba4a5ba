"""What a procedure is: states, each with an action, retries, a timeout, a way back and transitions. Pydantic at the door.

The JSON schema that is published is made of these models. Templates stand wherever a text is rendered when
the state is entered (see templates.py); guards are expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_-]{0,63}$"
STATE = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
EVENT = r"^[a-z][a-z0-9_.:-]{0,63}$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
# Over HTTP these are addresses of their own, where a procedure's would be.
KEPT = ("runs", "schema", "validate")
VERSION = r"^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$"
YEAR = 366 * 86_400.0

# What the context has of itself; `save` and `set` may not take these names.
INPUT, RUN, RESULT, EVENT_NAME, ERROR = "input", "run", "result", "event", "error"
GIVEN = frozenset({INPUT, RUN, RESULT, EVENT_NAME, ERROR})
# What happens to an action by itself. Any other event comes from outside, or from `choose`.
DONE, FAILED, TIMEOUT, APPROVED, REJECTED = "done", "error", "timeout", "approved", "rejected"

Seconds: TypeAlias = Annotated[float, Field(gt=0, le=YEAR)]
StateName: TypeAlias = Annotated[str, Field(pattern=STATE)]
EventName: TypeAlias = Annotated[str, Field(pattern=EVENT)]
Variable: TypeAlias = Annotated[str, Field(pattern=VARIABLE)]
Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=2_000)]
Text: TypeAlias = Annotated[str, Field(max_length=10_000)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ToolAction(Part):
    """Call a tool. `idempotent`: harmless to do twice; left out, the tool says it of itself."""

    type: Literal["tool"]
    tool: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    idempotent: bool | None = None
    save: Variable | None = None


class SetAction(Part):
    """Put values into the context."""

    type: Literal["set"]
    values: Annotated[Mapping[Variable, Any], Field(min_length=1, max_length=100)]


class LogAction(Part):
    """Write a line into the run's history."""

    type: Literal["log"]
    message: Text


class WaitAction(Part):
    """Wait so many seconds, or until a time (ISO 8601). Both may be templates."""

    type: Literal["wait"]
    seconds: Annotated[float, Field(ge=0, le=YEAR)] | Expression | None = None
    until: Expression | None = None


class AwaitAction(Part):
    """Wait for one of these events from outside, or for an approval (then: approved, rejected)."""

    type: Literal["await"]
    events: Annotated[Sequence[EventName], Field(max_length=20)] = ()
    approval: Text | None = None
    save: Variable | None = None

    @property
    def asks_for(self) -> list[str]:
        return [*self.events, *([] if self.approval is None else [APPROVED, REJECTED])]


class Choice(Part):
    when: Expression
    event: EventName


class ChooseAction(Part):
    """The event of the first expression that holds, else `otherwise`."""

    type: Literal["choose"]
    choices: Annotated[Sequence[Choice], Field(min_length=1, max_length=50)]
    otherwise: EventName = "otherwise"


class ProcedureAction(Part):
    """Run another procedure as a child, the latest version unless one is named; its output is the result."""

    type: Literal["procedure"]
    procedure: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)] | None = None
    input: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    save: Variable | None = None


class FailAction(Part):
    """Fail here, with these words."""

    type: Literal["fail"]
    message: Text
    kind: EventName = "failed"


class Retry(Part):
    """Try so often in all; pauses double from `backoff` seconds up to `longest`, each drawn between half and all of it."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff: Annotated[float, Field(ge=0, le=86_400)] = 1.0
    longest: Annotated[float, Field(ge=0, le=YEAR)] = 300.0


BranchAction: TypeAlias = ToolAction | WaitAction | AwaitAction | ProcedureAction
UndoAction: TypeAlias = ToolAction | ProcedureAction | LogAction


class Undo(Part):
    """How what a state did is taken back. Its templates see the state's `result`."""

    action: Annotated[UndoAction, Field(discriminator="type")]
    retry: Retry | None = None
    timeout: Seconds | None = None


class Branch(Part):
    """One of several things done at once."""

    action: Annotated[BranchAction, Field(discriminator="type")]
    retry: Retry | None = None
    timeout: Seconds | None = None
    compensate: Undo | None = None


class ParallelAction(Part):
    """All branches at once; done when all are. If one fails the others end what they have begun, and then it fails."""

    type: Literal["parallel"]
    branches: Annotated[Mapping[Variable, Branch], Field(min_length=1, max_length=20)]
    save: Variable | None = None


Action: TypeAlias = (
    ToolAction
    | SetAction
    | LogAction
    | WaitAction
    | AwaitAction
    | ChooseAction
    | ProcedureAction
    | FailAction
    | ParallelAction
)


class Transition(Part):
    """When this event comes and the guard holds. Where guards may overlap, the lowest `order` is asked first."""

    event: EventName = DONE
    to: StateName
    guard: Expression | None = None
    order: Annotated[int, Field(ge=0, le=1_000)] | None = None


class State(Part):
    """A place in the machine. Terminal ones have an end and nothing else to do."""

    action: Annotated[Action, Field(discriminator="type")] | None = None
    description: Text = ""
    retry: Retry | None = None
    timeout: Seconds | None = None
    transitions: Annotated[Sequence[Transition], Field(max_length=100)] = ()
    compensate: Undo | None = None
    max_visits: Annotated[int, Field(ge=1, le=10_000)] | None = None
    terminal: Literal["success", "failure"] | None = None
    output: Any = None
    rollback: bool = True  # of a failure: whether what was done is taken back


class Header(Part):
    """Everything but the states."""

    name: Annotated[str, Field(pattern=NAME, json_schema_extra={"not": {"enum": [*KEPT]}})]
    version: Annotated[str, Field(pattern=VERSION)] = "1.0"
    description: Text = ""
    input: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    initial: StateName
    timeout: Seconds | None = None


class Definition(Header):
    """A procedure."""

    states: Annotated[Mapping[StateName, State], Field(min_length=1, max_length=500)]


def asked_for(definition: Definition) -> list[str]:
    """Every event that may lead a run of it on, and does not come by itself."""
    found: dict[str, None] = {}
    for state in definition.states.values():
        waiting = [state.action]
        if isinstance(state.action, ParallelAction):
            waiting = [branch.action for branch in state.action.branches.values()]
        for action in waiting:
            if isinstance(action, AwaitAction):
                found |= dict.fromkeys(action.asks_for)
        found |= dict.fromkeys(each.event for each in state.transitions)
    return [event for event in found if event not in {DONE, FAILED, TIMEOUT}]


def published_schema() -> dict[str, Any]:
    """The JSON schema of a definition, for editors and for whoever writes one."""
    schema = Definition.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def number_of(version: str) -> tuple[int, int]:
    """1.10 comes after 1.9."""
    major, minor = version.split(".")
    return int(major), int(minor)
