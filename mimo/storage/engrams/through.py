"""Every id that a filter lets through, and lists of others held to it.

To look at each row of a namespace takes a tenth of a second for 100,000. So what indexes hold in order is joined as lists,
and only what is out of the ordinary (it ends, begins, expires, was replaced) is looked at row by row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import Final

import apsw
import numpy as np
import numpy.typing as npt

from mimo.storage.engrams.search import ALLOWED, Filter, Integers, bound, listed_ids
from mimo.storage.sql import rows

# So many are looked at row by row sooner than the lists of the other criteria are read.
FEW = 4_096
EVER: Final = 1 << 62

TAGGED = "SELECT group_concat(engram_id) FROM engram_tags WHERE tag = ?"
IN_SESSION = """
    SELECT group_concat(e.id) FROM json_each(?) AS home
    CROSS JOIN engrams e ON e.namespace = home.value AND e.session = ?
"""
SAID_BETWEEN = """
    SELECT group_concat(e.id) FROM json_each(?) AS home
    CROSS JOIN engrams e ON e.namespace = home.value AND e.state = 'live' AND e.created_at >= ? AND e.created_at < ?
"""
OF_KINDS_BETWEEN = """
    SELECT group_concat(e.id) FROM json_each(?) AS home CROSS JOIN json_each(?) AS sort
    CROSS JOIN engrams e ON e.namespace = home.value AND e.kind = sort.value AND e.state = 'live'
        AND e.created_at >= ? AND e.created_at < ?
"""
OUT_OF_THE_ORDINARY = """
    SELECT group_concat(id) FROM (
        SELECT id FROM engrams WHERE expires_at IS NOT NULL UNION SELECT id FROM engrams WHERE state = 'working'
        UNION SELECT id FROM engrams WHERE superseded_by IS NOT NULL
        UNION SELECT id FROM engrams WHERE valid_from IS NOT NULL
        UNION SELECT id FROM engrams WHERE valid_to IS NOT NULL)
"""
LET_THROUGH = f"""
    SELECT group_concat(e.id) FROM json_each(:ids) AS wanted CROSS JOIN engrams e ON e.id = wanted.value WHERE {ALLOWED}
"""  # noqa: S608


class Through:
    """The ids that may be named at all, in order."""

    def __init__(self, ids: Integers) -> None:
        self.ids = ids = np.sort(ids)
        self.low, self.high = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
        self._marks: npt.NDArray[np.bool_] = np.zeros(self.high - self.low + 1, np.bool_)
        self._marks[ids - self.low] = True

    def newest(self, limit: int, read: Callable[[int, int, int], Integers]) -> Integers:
        """The first `limit` that may be named, of those that `read` lists (at most so many, from id to id) newest first."""
        if not len(self.ids):
            return self.ids
        likely = limit * len(self._marks) * 5 // (len(self.ids) * 4) + 1
        found = read(likely, self.low, self.high)
        named = self._of(found)
        if len(named) < limit and len(found) == likely:
            named = self._of(read(EVER, self.low, self.high))
        return named[:limit]

    def _of(self, found: Integers) -> Integers:
        return found[self._marks[found - self.low]]


def through(db: apsw.Connection, allowed: Filter, now: int) -> Through:
    """What the filter lets through. Without namespaces it looks at all of them."""
    spaces = allowed.namespaces
    if spaces is None:
        spaces = tuple(row[0] for row in rows(db, "SELECT name FROM namespaces"))
    homes = json.dumps(spaces)
    lists = [listed_ids(db, TAGGED, (tag,)) for tag in allowed.tags or ()]
    if allowed.session is not None:
        lists.append(listed_ids(db, IN_SESSION, (homes, allowed.session)))
    if lists and len(shortest := min(lists, key=len)) <= FEW:
        return Through(_looked_at(db, shortest, allowed, now))
    odd = reduce(_both, lists, listed_ids(db, OUT_OF_THE_ORDINARY, ()))
    span = _said_between(allowed)
    if allowed.kinds is None:
        plain = listed_ids(db, SAID_BETWEEN, (homes, *span))
    else:
        plain = listed_ids(
            db, OF_KINDS_BETWEEN, (homes, json.dumps(list(dict.fromkeys(allowed.kinds))), *span)
        )
    plain = reduce(_both, lists, plain)
    plain = plain[np.isin(plain, odd, invert=True)]
    if allowed.clients is not None or allowed.trusts is not None:
        plain = _looked_at(db, plain, allowed, now)
    return Through(np.concatenate([plain, _looked_at(db, odd, allowed, now)]))


def _said_between(allowed: Filter) -> tuple[int, int]:
    begin = -EVER if allowed.since is None else allowed.since
    end = EVER if allowed.until is None else allowed.until
    return begin, end if allowed.as_of is None else min(end, allowed.as_of + 1)


def _both(these: Integers, those: Integers) -> Integers:
    return these[np.isin(these, those)]


def _looked_at(db: apsw.Connection, ids: Integers, allowed: Filter, now: int) -> Integers:
    return listed_ids(db, LET_THROUGH, {**bound(allowed, now), "ids": json.dumps(ids.tolist())})
