"""What Schemathesis has to be told: how lines of JSON are sent, and to speak as a proxy that many use.

It leaves its key out again and again, and one who does that is made to wait.
"""

import itertools
from typing import Any

import schemathesis

_numbers = itertools.count(1)


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: Any) -> None:
    number = next(_numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
