"""How a child ended, as an error, as a line for a status page, and as a line for the log."""

from __future__ import annotations

import logging
from typing import cast

from mimo.supervision.child import Restart

log = logging.getLogger(__name__)


class TooManyRestarts(Exception):
    """The children cannot be kept running; whoever supervises this supervisor decides. The cause is the last error."""


def describe(error: Exception | None) -> str | None:
    """One line for a status page."""
    if error is None:
        return None
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def only(error: Exception) -> Exception:
    """A group of one is that one: a child that keeps its own nursery fails with what failed in it."""
    if isinstance(error, ExceptionGroup):
        inner = cast("ExceptionGroup[Exception]", error).exceptions
        if len(inner) == 1:
            return only(inner[0])
        return cast("Exception", error)
    return error


def log_ending(where: str, restart: Restart, error: Exception | None, *, asked: bool) -> None:
    """Tell the operator, with the traceback; but of a supervisor that gave up only that it did, it told its story itself."""
    if error is not None:
        trace = None if isinstance(error, TooManyRestarts) else error
        log.error(
            "%s %s: %s", where, "failed while stopping" if asked else "fell", describe(error), exc_info=trace
        )
    elif not asked and restart is Restart.PERMANENT:
        log.error("%s returned, and is to run for ever", where)
    else:
        log.info("%s ended", where)
