"""Long lists in pages, with cursors that mean something only to us."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from mimo.errors import InvalidArguments

Item = TypeVar("Item")

# Most clients never ask for a second page, so the first one holds any list that a person would tolerate.
PAGE = 200


def page(
    items: Sequence[Item], key: Callable[[Item], str], kind: str, cursor: str | None, size: int = PAGE
) -> tuple[Sequence[Item], str | None]:
    """The items after the cursor, and the cursor for those that follow, if any do.

    A cursor names the last item seen, so it stays right when others come and go.

    Raises:
        InvalidArguments: the cursor is none of ours, or its item is gone.
    """
    start = 0
    if cursor is not None:
        last = _last_seen(kind, cursor)
        start = next((place + 1 for place, item in enumerate(items) if key(item) == last), 0)
        if not start:
            raise InvalidArguments("this cursor is not valid any more; list again without one")
    shown = items[start : start + size]
    more = start + size < len(items)
    return shown, _cursor(kind, key(shown[-1])) if more else None


def _cursor(kind: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}\n{last}".encode()).decode()


def _last_seen(kind: str, cursor: str) -> str:
    try:
        found, _, last = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition("\n")
    except (binascii.Error, ValueError):
        found, last = "", ""
    if found != kind:
        raise InvalidArguments("this cursor is not one of ours; list again without one")
    return last
