"""From what went wrong to what each revision calls it."""

from __future__ import annotations

from collections.abc import Mapping

from mimo import errors
from mimo.errors import MimoError
from mimo.protocol.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, Failure, Object
from mimo.protocol.mcp.questions import NotOffered
from mimo.protocol.mcp.revisions import Revision
from mimo.protocol.mcp.seal import BrokenSeal
from mimo.protocol.mcp.terms import MISSING_CAPABILITY

# Legacy code, modern code. The modern era keeps -32768..-32000 for JSON-RPC and itself, so ours lie above.
CODES: Mapping[type[MimoError], tuple[int, int]] = {
    errors.InvalidArguments: (INVALID_PARAMS, INVALID_PARAMS),
    errors.UnknownTool: (INVALID_PARAMS, INVALID_PARAMS),
    errors.NotFound: (-32002, INVALID_PARAMS),
    errors.Unauthorized: (-32001, -31001),
    errors.Forbidden: (-32001, -31001),
    errors.Conflict: (-32009, -31009),
    errors.Busy: (-32029, -31029),
    errors.Unavailable: (-32030, -31030),
    errors.StorageFull: (-32030, -31030),
    NotOffered: (-32030, MISSING_CAPABILITY),
    errors.TooSlow: (-32031, -31031),
    errors.Broken: (INTERNAL_ERROR, INTERNAL_ERROR),
    errors.Unusable: (INTERNAL_ERROR, INTERNAL_ERROR),
}

# What concerns the request and not the tool. All else is for the model to read.
_NOT_THE_TOOLS = (errors.UnknownTool, errors.Unauthorized, BrokenSeal)


def failure(error: MimoError, revision: Revision) -> Failure:
    """The JSON-RPC error that this revision has for it."""
    legacy, modern = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if isinstance(error, errors.NotFound) and "uri" not in error.details:
        legacy = INVALID_PARAMS  # only a resource has a code of its own; a prompt's name is an argument
    return Failure(modern if revision.modern else legacy, error.message, _data(error))


def concerns_the_request(error: MimoError, revision: Revision) -> bool:
    """Is it to be answered as a protocol error, even for a tool's call?"""
    return isinstance(error, _NOT_THE_TOOLS) or (revision.modern and isinstance(error, NotOffered))


def failed_call(error: MimoError) -> Object:
    """A tool's failure as its result: the model reads what happened and what to do."""
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": f"{error.message}{_advice(error)}"}],
        "isError": True,
        "_meta": {"mimo/error": _data(error)},
    }


def _data(error: MimoError) -> Object:
    return {"kind": error.kind, "retry": error.retry} | dict(error.details)


def _advice(error: MimoError) -> str:
    if not error.retry:
        return ""
    after = error.details.get("after")
    return f" Try again in {after} s." if isinstance(after, int | float) else " Try again."
