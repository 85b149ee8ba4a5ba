"""What a handler asks the client while it works, and how each era carries it.

A legacy client is sent a request and the handler waits. A modern one gets the questions as the result of
its own request and tries again with the answers; the handler then runs anew from its first line, and each
question that has an answer by now returns it. So a handler asks before it changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mimo.errors import Fault, InvalidArguments, MimoError, Unavailable
from mimo.protocol.jsonrpc import Object
from mimo.tool import JsonObject

_NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


@dataclass(frozen=True, slots=True)
class Question:
    method: str
    params: JsonObject


class NotOffered(Unavailable):
    """The client did not declare that it answers such questions. `details["requiredCapabilities"]` names what is missing."""

    kind = "not_offered"
    retry = False


class InputRequired(MimoError):
    """Not an error: a handler cannot go on before these questions are answered. Only ever met within a modern request."""

    kind, fault, retry = "input_required", Fault.CALLER, True

    def __init__(self, questions: Mapping[str, Question]) -> None:
        super().__init__("the client has to answer first")
        self.questions = questions

    def as_result(self, state: str) -> Object:
        asked = {key: {"method": q.method, "params": dict(q.params)} for key, q in self.questions.items()}
        return {"resultType": "input_required", "inputRequests": asked, "requestState": state}


def check_offered(questions: Mapping[str, Question], capabilities: Mapping[str, Any]) -> None:
    """Raises: NotOffered: at least one of the questions is of a kind that the client did not declare."""
    missing: Object = {}
    for question in questions.values():
        need = _NEEDS.get(question.method)
        if need is None:
            raise InvalidArguments(f"no client can be asked {question.method}")
        offered = capabilities.get(need)
        if offered is None:
            missing[need] = {}
        elif need == "elicitation" and question.params.get("mode") == "url" and "url" not in offered:
            missing[need] = {"url": {}}
    if missing:
        raise NotOffered(
            f"this client does not offer {' and '.join(missing)}, which the call needs",
            requiredCapabilities=missing,
        )


# What a handler keeps lies beside the answers; no client can answer under such a key.
_KEPT = "\x00kept/"


class Answers:
    """What a modern client has answered so far: sealed in from earlier tries, and new ones of this try."""

    def __init__(self, kept: Object, responses: Mapping[str, Any]) -> None:
        # What is no object is no answer to anything, and is asked for again.
        new = {
            key: cast("Object", value)
            for key, value in responses.items()
            if isinstance(value, dict) and not key.startswith(_KEPT)
        }
        self._known: Object = kept | new
        self._used: Object = {}
        self._asked = 0

    def key(self) -> str:
        """A key for a question that was given none. Runs are alike, so the n-th question is always the same."""
        self._asked += 1
        return f"question-{self._asked}"

    def find(self, questions: Mapping[str, Question]) -> Mapping[str, Object]:
        """Raises: InputRequired: with those questions that have no answer yet."""
        found = {key: self._known[key] for key in questions if key in self._known}
        self._used |= found
        if missing := {key: question for key, question in questions.items() if key not in found}:
            raise InputRequired(missing)
        return found

    def keep(self, name: str, value: Any) -> None:
        """Seal this in too, for the next run."""
        self._used[_KEPT + name] = value

    def kept(self, name: str) -> Any:
        return self._known.get(_KEPT + name)

    @property
    def used(self) -> Object:
        """The answers that this run has asked for: what the next one will need again."""
        return self._used
