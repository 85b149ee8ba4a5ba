"""Queries and tools of one channel: each is a task that can be interrupted, and each ends with exactly one result."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import trio

from mimo.errors import InvalidArguments, MimoError, TooSlow
from mimo.gateway.bugs import broken
from mimo.gateway.sessions import Session
from mimo.protocol import synapse
from mimo.protocol.rest import tool_result
from mimo.protocol.synapse import CallTool, Query
from mimo.tool import Call, Client, JsonObject, Silence
from mimo.transports.websocket.backlog import Weight
from mimo.transports.websocket.exchange import Exchange

QUERY_SECONDS = 30.0
_numbers = itertools.count(1)

Push = Callable[[str, JsonObject, Weight], None]


@dataclass(slots=True, eq=False)
class Errand:
    wish: Query | CallTool
    client: Client
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    reason: str | None = None  # why it was interrupted


class Errands:
    """What runs for one channel. Its tasks live in the nursery of the connection."""

    def __init__(
        self, exchange: Exchange, nursery: trio.Nursery, session: Session | None, push: Push
    ) -> None:
        self._exchange = exchange
        self._nursery = nursery
        self._session = session
        self._push = push
        self._running: dict[str, Errand] = {}
        self._quiet = trio.Event()
        self._quiet.set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, wish: Query | CallTool, client: Client) -> None:
        """Raises: InvalidArguments: something of this ref runs."""
        if wish.ref in self._running:
            raise InvalidArguments(f"something with the ref {wish.ref[:60]!r} still runs", field="ref")
        errand = self._running[wish.ref] = Errand(wish, client)
        if self._quiet.is_set():
            self._quiet = trio.Event()
        self._nursery.start_soon(self._run, errand)

    def interrupt(self, ref: str, reason: str) -> bool:
        """False when nothing of this ref runs: its result may be on the way."""
        errand = self._running.get(ref)
        if errand is None or errand.reason is not None:
            return False
        errand.reason = reason
        self._push("interrupted", {"ref": ref, "reason": reason}, Weight.RESULT)
        errand.scope.cancel()
        return True

    def cancel_all(self) -> None:
        """Nobody waits for any of them; none has a result."""
        for errand in self._running.values():
            errand.scope.cancel()

    async def quiet(self) -> None:
        """Until nothing runs."""
        await self._quiet.wait()

    async def _run(self, errand: Errand) -> None:
        wish, began = errand.wish, time.perf_counter()
        told: JsonObject | None = None
        try:
            with errand.scope:
                told = await self._result(errand, began)
        except MimoError as error:
            told = synapse.failed(wish.ref, error, time.perf_counter() - began)
        except Exception as error:
            told = synapse.failed(wish.ref, broken("an errand", error), time.perf_counter() - began)
        finally:
            del self._running[wish.ref]
            if not self._running:
                self._quiet.set()
        if errand.reason is not None:  # what it had found by then is not wanted any more
            told = synapse.result(wish.ref, "interrupted", None, time.perf_counter() - began)
            told = {**told, "reason": errand.reason}
        if told is not None:
            self._push("result", told, Weight.RESULT)

    async def _result(self, errand: Errand, began: float) -> JsonObject | None:
        identity = f"{next(_numbers):x}"
        call = Call(identity, errand.client, outlet=Thoughts(errand.wish.ref, self._push))
        with nullcontext() if self._session is None else self._session.request(identity):
            if isinstance(errand.wish, Query):
                data: Any = await self._asked(errand.wish, call)
                return synapse.result(errand.wish.ref, "ok", data, time.perf_counter() - began)
            answer = await self._exchange.dispatch.call(errand.wish.name, errand.wish.arguments, call)
            told = tool_result(identity, answer, time.perf_counter() - began)
            del told["tool_call_id"]
            return {"ref": errand.wish.ref, **told}
        return None  # the client is gone

    async def _asked(self, query: Query, call: Call) -> JsonObject:
        seconds = QUERY_SECONDS if query.seconds is None else query.seconds
        until = trio.current_time() + seconds
        with trio.move_on_at(until):  # the wait for a place is part of it
            async with self._exchange.lanes.place(query.priority):
                return await self._exchange.ask(query.q, call, max(0.001, until - trio.current_time()))
        raise TooSlow(f"not answered within {seconds * 1000:g} ms", seconds=seconds)


class Thoughts(Silence):
    """What a handler says on the way, as thoughts."""

    def __init__(self, ref: str, push: Push) -> None:
        self._ref = ref
        self._push = push

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        self._think("progress", message or "", progress=progress, total=total)
        await trio.lowlevel.checkpoint()

    async def log(self, level: str, data: Any, logger: str | None = None) -> None:
        self._think("log", data if isinstance(data, str) else "", level=level, data=data)
        await trio.lowlevel.checkpoint()

    def _think(self, kind: str, content: str, **more: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._push("thought", synapse.thought(kind, content, self._ref, at, **more), Weight.THOUGHT)
