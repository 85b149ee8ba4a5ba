"""A bug of ours, as the log and the caller see it: the traceback here, its id there."""

from __future__ import annotations

import logging
import secrets

from mimo.errors import Broken

log = logging.getLogger(__name__)


def broken(what: str, error: BaseException) -> Broken:
    """Log a bug once, and give the error that names the log's line."""
    id_ = secrets.token_hex(4)
    log.error("a bug in %s (%s)", what, id_, exc_info=error, extra={"id": id_})
    return Broken(f"{what} failed by a bug of mimo; the log has it under {id_}", id=id_)
