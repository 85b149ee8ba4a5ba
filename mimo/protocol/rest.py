"""REST: bodies to plain JSON within bounds, and every error in one form, with an id and the cure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from mimo import errors
from mimo.errors import InvalidArguments, MimoError
from mimo.protocol import jsonrpc
from mimo.tool import Answer, JsonObject

MIB = 1024 * 1024
MAX_BODY = MIB
MAX_IMPORT = 16 * MIB

STATUS: Mapping[type[MimoError], int] = {
    errors.InvalidArguments: 422,
    errors.UnknownTool: 404,
    errors.NotFound: 404,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.Conflict: 409,
    errors.Busy: 429,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
    errors.TooSlow: 504,
    errors.Broken: 500,
    errors.Unusable: 500,
}


class Refused(Exception):
    """What HTTP itself has to say against a request. `kind` is one word for programs."""

    def __init__(self, status: int, kind: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def status_of(error: MimoError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    kind: str, message: str, request: str, *, retry: bool = False, details: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The one form of an error. Its names are also those that clients of OpenAI's look for."""
    told: dict[str, Any] = {
        "type": kind,
        "message": message,
        "id": request,
        "retry": retry,
        "code": kind,
        "param": None,
    }
    field = (details or {}).get("field")
    if isinstance(field, str):
        told["param"] = field
    if details:
        told["details"] = {name: _plain(value) for name, value in details.items()}
    return told


def problem_of(error: MimoError, request: str) -> dict[str, Any]:
    return problem(error.kind, error.message, request, retry=error.retry, details=error.details)


def retry_after(error: MimoError) -> str | None:
    """What to say in `Retry-After`, in whole seconds."""
    after = error.details.get("after")
    if isinstance(after, int | float):
        return str(max(1, math.ceil(after)))
    return "1" if error.retry else None


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        Refused: it is no JSON, or nested too deeply.
        InvalidArguments: it is JSON, but not an object, or a text in it is not Unicode.
    """
    value = jsonrpc.plain(body)
    if isinstance(value, jsonrpc.Malformed):
        if value.failure.data:
            raise InvalidArguments(value.failure.message, field=value.failure.data["fields"][0])
        raise Refused(400, "not_json", value.failure.message)
    if not isinstance(value, dict):
        raise InvalidArguments("the body must be a JSON object")
    return cast("dict[str, Any]", value)


def tool_result(call: str, answer: Answer, seconds: float) -> dict[str, Any]:
    """What `POST /v1/mimo/tool` gives for a tool that has run."""
    data = answer.data if answer.data is not None else _text_or_blocks(answer)
    told: dict[str, Any] = {"tool_call_id": call, "status": "ok", "data": data, "latency_ms": _ms(seconds)}
    if answer.failed:
        told |= {"status": "error", "error": problem("failed", answer.as_text(), call)}
    return told


def tool_error(call: str, error: MimoError, seconds: float) -> dict[str, Any]:
    return {
        "tool_call_id": call,
        "status": "error",
        "error": problem_of(error, call),
        "latency_ms": _ms(seconds),
    }


def data_of(answer: Answer) -> JsonObject:
    """An answer's data as an object; its text where a tool gives no data."""
    data: object = answer.data
    if isinstance(data, dict):
        return cast("JsonObject", data)
    return {"text": answer.as_text()} if data is None else {"data": data}


def _text_or_blocks(answer: Answer) -> Any:
    if all(block.get("type") == "text" for block in answer.content):
        return answer.as_text()
    return [dict(block) for block in answer.content]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in cast("dict[object, object]", value).items()}
    return str(value)
