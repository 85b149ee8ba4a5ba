"""One question, all stores side by side until the deadline: what they found, and what was cut or failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio

from mimo.errors import Broken, MimoError
from mimo.services.ask.stores import FACTS, MEMORIES, PROCEDURES, Piece, Store
from mimo.services.ask.texts import synthesis
from mimo.services.ask.threads import Threads, read_with, refers_back
from mimo.tool import Call, JsonObject

log = logging.getLogger(__name__)

SECONDS = 10.0
MOST = 12
# A search takes questions up to this.
LONGEST = 20_000
FOUND, NOTHING, ABSENT, FAILED, CUT = "found", "nothing", "absent", "failed", "cut"
# Of two that fit as well, the surer kind first.
_ORDER = {FACTS: 0, PROCEDURES: 1, MEMORIES: 2}


class Writer(Protocol):
    """A language model."""

    async def complete(self, messages: Sequence[JsonObject]) -> str:
        """Raises: MimoError."""
        ...


@dataclass(slots=True)
class Gathered:
    """What the stores found, and how each fared."""

    text: str  # the question as they were asked it
    pieces: list[Piece] = field(default_factory=list[Piece])
    stores: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    errors: list[MimoError] = field(default_factory=list[MimoError])


class Asking:
    """Questions over these stores. `writer` says in a few words what they found, where there is one."""

    def __init__(
        self, stores: Sequence[Store], writer: Writer | None = None, threads: Threads | None = None
    ) -> None:
        self._stores = stores
        self._writer = writer
        self._threads = Threads() if threads is None else threads

    async def ask(
        self, query: str, call: Call, *, context_id: str | None = None, seconds: float = SECONDS
    ) -> dict[str, Any]:
        """The answer to a question, not later than in `seconds`: by then it is what was found so far.

        Raises:
            MimoError: every store that was asked failed; this is the first one's error.
        """
        began, until = time.perf_counter(), trio.current_time() + seconds
        before = None if context_id is None else self._threads.before(context_id, call.client)
        found = await self.gather(query, call, [] if before is None else [before], until=until)
        said, why = await self._said(query, found.pieces, until)
        thread = self._threads.note(context_id if before is not None else None, call.client, found.text)
        decision = decision_of(found)
        decision["synthesis"] = why
        if context_id is not None and before is None:
            decision["context"] = "not known (any more): a new one was begun"
        elif found.text != query:
            decision["context"] = "read with the question before it"
        return {
            "query_id": call.id,
            "router_decision": decision,
            "results": [piece.told() for piece in found.pieces],
            "synthesis": said,
            "context_id": thread,
            "latency_ms": round((time.perf_counter() - began) * 1000, 3),
        }

    async def gather(self, query: str, call: Call, before: Sequence[str] = (), *, until: float) -> Gathered:
        """What the stores find until then. What refers to what was asked `before`, or finds nothing by itself, is read
        together with that.

        Raises:
            MimoError: as `ask`.
        """
        whole = read_with(before, query)[-LONGEST:]
        text = whole if before and refers_back(query) else query[:LONGEST]
        found = await self._gather(text, call, until)
        if not found.pieces and before and text != whole and trio.current_time() < until:
            again = await self._gather(whole, call, until)
            found = again if again.pieces else found
        if found.errors and all(state["status"] in {FAILED, ABSENT} for state in found.stores.values()):
            raise found.errors[0]
        return found

    async def _gather(self, text: str, call: Call, until: float) -> Gathered:
        found = Gathered(text)
        async with trio.open_nursery() as nursery:
            for store in self._stores:
                found.stores[store.name] = {"status": CUT, "found": 0}
                nursery.start_soon(self._asked, store, call, until, found)
        best = dict[str, Piece]()
        for piece in sorted(found.pieces, key=lambda each: (-each.score, _ORDER.get(each.store, 9))):
            known = best.get(piece.id)
            # A procedure is found as a memory, too.
            if known is None or _ORDER.get(piece.store, 9) < _ORDER.get(known.store, 9):
                best[piece.id] = piece
        found.pieces = list(best.values())[:MOST]
        return found

    async def _asked(self, store: Store, call: Call, until: float, found: Gathered) -> None:
        state, began = found.stores[store.name], time.perf_counter()
        with trio.move_on_at(until):
            try:
                told = await store.find(found.text, call)
            except MimoError as error:
                state |= {"status": FAILED, "why": error.message}
                found.errors.append(error)
            except Exception as error:  # a bug in one store costs that store, and is told
                log.exception("a bug in the store %s (%s)", store.name, call.id)
                bug = Broken(f"this failed by a bug of mimo; the log has it under {call.id}", id=call.id)
                bug.__cause__ = error
                state |= {"status": FAILED, "why": bug.message}
                found.errors.append(bug)
            else:
                pieces = () if told is None else told.pieces
                status = ABSENT if told is None else FOUND if pieces else NOTHING
                state |= {"status": status, "found": len(pieces)}
                if told is not None and told.note:
                    state["why"] = told.note
                found.pieces += pieces
        state["ms"] = round((time.perf_counter() - began) * 1000, 3)

    async def _said(self, query: str, pieces: Sequence[Piece], until: float) -> tuple[str | None, str]:
        """What a language model makes of it, and else why there is nothing."""
        if self._writer is None:
            return None, "no language model is configured"
        if not pieces:
            return None, "there is nothing to say it of"
        with trio.move_on_at(until):
            try:
                return await self._writer.complete(synthesis(query, pieces)), "written"
            except MimoError as error:
                return None, f"failed: {error.message}"
        return None, "cut: the time was over"


def decision_of(found: Gathered) -> dict[str, Any]:
    """Who was asked, how each fared, and whether the memories stand in for others."""
    states = found.stores
    asked = [name for name, state in states.items() if state["status"] != ABSENT]
    others = [name for name in asked if name != MEMORIES]
    empty = [name for name in others if states[name]["status"] != FOUND]
    fell_back = bool(others) and empty == others
    words = {NOTHING: "found nothing", FAILED: "failed", CUT: "was cut at the deadline", FOUND: "answered"}
    reason = "; ".join(
        f"{name} {words[state['status']]}{f' ({why})' if (why := state.get('why')) else ''}"
        for name, state in states.items()
        if name in asked
    )
    if fell_back:
        reason += "; so what there is comes from the memories"
    return {
        "asked": asked,
        "stores": {name: dict(state) for name, state in states.items()},
        "cut": [name for name in asked if states[name]["status"] == CUT],
        "fallback": MEMORIES if fell_back else None,
        "reason": reason,
    }
