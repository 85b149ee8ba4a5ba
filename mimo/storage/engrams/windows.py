"""Candidates with what stands around them in their sessions: read once, in the order of the sessions.

This is the second visit of a search to the database. It reads some hundred short rows, and the content of few.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw
import numpy as np
import numpy.typing as npt

from mimo.storage.engrams.search import ALLOWED, Filter, Shown, bound, shown
from mimo.storage.sql import rows

T = TypeVar("T")

# How far from a candidate a neighbour counts.
REACH = 3
# What stands this close to one of the most promising becomes a candidate too: an answer often has none of the
# words of the question before it.
PROMISING, CLOSE = 25, 2

ENGRAM = "e.id, e.position, e.created_at, e.importance, e.access_count, e.state = 'working'"
TRAITS = "t.told, t.asks, t.dated, t.speaker, t.terms"
VECTOR = """
    LEFT JOIN engram_vectors v
        ON v.engram_id = t.engram_id AND v.model = (SELECT id FROM embedding_models WHERE name = :model)
"""
# Of what stands in a session its place is wanted, of what stands alone all that is weighed.
PLACED = """
    FROM json_each(:ids) AS wanted CROSS JOIN engrams e ON e.id = wanted.value
    LEFT JOIN engram_traits t ON t.engram_id = iif(e.session IS NULL OR e.position IS NULL, e.id, NULL)
"""
PLACE = f"e.namespace, e.session, {ENGRAM}, 1, {TRAITS}"
PLACES = f"SELECT {PLACE}, NULL {PLACED} WHERE {ALLOWED}"
PLACES_AND_VECTORS = f"SELECT {PLACE}, v.vector {PLACED} {VECTOR} WHERE {ALLOWED}"
# A window is [namespace, session, first position, last position].
IN_WINDOW = f"w.key, {ENGRAM}, ({ALLOWED}), {TRAITS}"
WITHIN = """
    FROM json_each(:windows) AS w
    CROSS JOIN engrams e INDEXED BY engrams_by_session
        ON e.namespace = w.value ->> 0 AND e.session = w.value ->> 1
        AND e.position BETWEEN w.value ->> 2 AND w.value ->> 3
    CROSS JOIN engram_traits t ON t.engram_id = e.id
"""
FOUND = "WHERE e.session IS NOT NULL AND e.state IN ('live', 'working')"
IN_WINDOWS = f"SELECT {IN_WINDOW}, NULL {WITHIN} {FOUND}"
IN_WINDOWS_WITH_VECTORS = f"SELECT {IN_WINDOW}, v.vector {WITHIN} {VECTOR} {FOUND}"


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Rows in the order of windows and positions; `candidates` are places in these columns."""

    candidates: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    window: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    created: npt.NDArray[np.int64]
    importance: npt.NDArray[np.float32]
    uses: npt.NDArray[np.float32]
    working: npt.NDArray[np.bool_]
    told: npt.NDArray[np.float32]
    asks: npt.NDArray[np.float32]
    dated: npt.NDArray[np.float32]
    speakers: tuple[str, ...]
    terms: tuple[bytes, ...]
    vectors: tuple[bytes | None, ...]  # where they were asked for

    @property
    def in_sessions(self) -> bool:
        """Whether anything stands beside anything."""
        return bool((self.window >= 0).any())


def with_windows(
    db: apsw.Connection,
    weigh: Callable[[Windows | None], tuple[T, Sequence[int]]],
    ids: Sequence[int],
    allowed: Filter,
    now: int,
    model: str | None,
) -> tuple[T, Shown]:
    """What `weigh` makes of the windows, and what an answer shows of the ids that it names. The vectors of `model`
    are read, if one is named.

    It weighs in the reader's thread still: that takes longer than a loop may wait.
    """
    weighed, wanted = weigh(windows_around(db, ids, allowed, now, model))
    return weighed, shown(db, wanted, allowed, now)


def windows_around(
    db: apsw.Connection, ids: Sequence[int], allowed: Filter, now: int, model: str | None
) -> Windows | None:
    """Those of `ids` that may be found (the most promising first) and those close to them, in their windows."""
    bindings = bound(allowed, now)
    if model is not None:
        bindings["model"] = model
    places = rows(
        db, PLACES if model is None else PLACES_AND_VECTORS, {**bindings, "ids": json.dumps(list(ids))}
    )
    wanted = {place[2] for place in places}
    promising = {id_ for id_ in ids[:PROMISING] if id_ in wanted}
    found: list[tuple[Any, ...]] = []
    if windows := _merged(places, promising):
        sql = IN_WINDOWS if model is None else IN_WINDOWS_WITH_VECTORS
        found = rows(db, sql, {**bindings, "windows": json.dumps(windows)})
    alone = (row for _, session, *row in places if session is None or row[1] is None)
    found += [(-1 - number, *row) for number, row in enumerate(alone)]
    if not found:
        return None
    (window, row_ids, positions, created, importance, uses, working, may, *traits) = zip(*found, strict=True)
    told, asks, dated, speakers, terms, vectors = traits
    at_ids, at_window = np.array(row_ids, np.int64), np.array(window, np.int64)
    at_positions = np.array([position or 0 for position in positions], np.int64)
    there = np.array([at for at, id_ in enumerate(row_ids) if id_ in promising], np.int64)
    near = _close(there, at_window, at_positions) & np.array(may, bool)
    near[[at for at, id_ in enumerate(row_ids) if id_ in wanted]] = True
    return Windows(
        candidates=np.flatnonzero(near),
        ids=at_ids,
        window=at_window,
        positions=at_positions,
        created=np.array(created, np.int64),
        importance=np.array(importance, np.float32),
        uses=np.array(uses, np.float32),
        working=np.array(working, bool),
        told=np.array(told, np.float32),
        asks=np.array(asks, np.float32),
        dated=np.array(dated, np.float32),
        speakers=speakers,
        terms=terms,
        vectors=vectors,
    )


def _merged(places: Sequence[tuple[Any, ...]], promising: set[int]) -> list[tuple[str, str, int, int]]:
    """The windows around the places, those that touch as one, so that no row is read twice."""
    spans = sorted(
        (namespace, session, position - reach, position + reach)
        for namespace, session, id_, position, *_ in places
        if session is not None and position is not None
        for reach in [REACH + CLOSE if id_ in promising else REACH]
    )
    merged: list[tuple[str, str, int, int]] = []
    for span in spans:
        if merged and merged[-1][:2] == span[:2] and span[2] <= merged[-1][3] + 1:
            merged[-1] = (*span[:2], merged[-1][2], max(merged[-1][3], span[3]))
        else:
            merged.append(span)
    return merged


def _close(
    promising: npt.NDArray[np.int64], window: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which rows stand close to a promising one; it is close to itself."""
    close = np.zeros(len(window), bool)
    close[promising] = True
    if window.max() < 0:  # nothing stands in a session
        return close
    for step in (*range(-CLOSE, 0), *range(1, CLOSE + 1)):
        beside = promising + step
        inside = (beside >= 0) & (beside < len(window))
        mine, beside = promising[inside], beside[inside]
        same = (window[mine] == window[beside]) & (np.abs(positions[mine] - positions[beside]) <= CLOSE)
        close[beside[same]] = True
    return close
