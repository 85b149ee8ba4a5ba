"""Which errors say something about the other side, and which will pass."""

from __future__ import annotations

from typing import cast

from mimo.errors import Broken, Fault, MimoError

# Bugs in our own code, and arguments that nobody could serve. Asking less often does not help against
# them. Where a library raises one of these for what the other side sent (a reply that is no JSON),
# it is to be translated at that line.
OUR_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)


def is_failure(error: Exception) -> bool:
    """Whether the other side failed: any error but a caller's fault and a bug of ours."""
    if isinstance(error, ExceptionGroup):
        return any(is_failure(inner) for inner in cast("ExceptionGroup[Exception]", error).exceptions)
    if isinstance(error, MimoError):
        return error.fault is not Fault.CALLER and not isinstance(error, Broken)
    return not isinstance(error, OUR_MISTAKES)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, MimoError) and error.retry
