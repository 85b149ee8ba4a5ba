"""Points in time as callers write them, and as they read them: milliseconds since 1970 between."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from mimo.errors import InvalidArguments

# From here on an epoch is in milliseconds: as seconds it would be the year 5138.
IN_MILLISECONDS = 1e11
# Clocks differ. What is further ahead than this has not been said yet.
AHEAD_MS = 24 * 3600 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def moment(value: str | float, name: str) -> int:
    """ISO 8601 (without an offset it is UTC), or seconds or milliseconds since 1970.

    Raises:
        InvalidArguments: it is none of these; `name` is what the caller called it.
    """
    if isinstance(value, str):
        try:
            told = datetime.fromisoformat(value.strip())
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                raise _unclear(value, name) from None
        else:
            told = told if told.tzinfo else told.replace(tzinfo=UTC)
            return (told - _EPOCH) // timedelta(milliseconds=1)
    if not math.isfinite(value):
        raise _unclear(value, name)
    milliseconds = round(value if abs(value) >= IN_MILLISECONDS else value * 1000)
    if not -62_135_596_800_000 <= milliseconds < 253_402_300_800_000:  # the years 1 to 9999
        raise _unclear(value, name)
    return milliseconds


def shown(milliseconds: int) -> str:
    """ISO 8601 in UTC."""
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return at.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds").replace("+00:00", "Z")


def day_of(milliseconds: int) -> str:
    """The date alone, for people."""
    return shown(milliseconds)[:10]


def _unclear(value: object, name: str) -> InvalidArguments:
    text = str(value)
    return InvalidArguments(
        f"{name} must be a time like 2031-05-23, 2031-05-23T09:30:00Z or seconds since 1970"
        f" (got '{text if len(text) <= 40 else text[:37] + '...'}')",
        fields=[name],
    )
