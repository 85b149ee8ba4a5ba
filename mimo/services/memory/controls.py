"""What mimo's own programs may ask of the memory, beside its tools: carry it out and in, look at what will fade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mimo.errors import InvalidArguments
from mimo.services.memory.consolidation import Consolidation
from mimo.services.memory.fading import SOON_DAYS, Fade, Fate
from mimo.services.memory.names import name_of
from mimo.services.memory.transfer import Tell, Transfer
from mimo.tool import Client, Json, JsonObject


class Controls:
    def __init__(self, consolidation: Consolidation, fade: Fade, transfer: Transfer) -> None:
        self._consolidation = consolidation
        self._fade = fade
        self._transfer = transfer

    def methods(self) -> Mapping[str, Callable[[JsonObject, Client], Awaitable[Json]]]:
        return {
            "mimo/import": self._transfer.take_in,
            "mimo/consolidate": self._consolidate,
            "mimo/fading": self._fading,
        }

    def streams(self) -> Mapping[str, Callable[[JsonObject, Client, Tell], Awaitable[Json]]]:
        return {"mimo/export": self._transfer.give_out}

    async def _consolidate(self, params: JsonObject, client: Client) -> Json:
        """`{"dry_run": true}`: what the next round would do; without it, a round at once."""
        judged = await self._consolidation.consolidate(dry_run=params.get("dry_run") is True)
        return [
            {"id": name_of(each.id), "score": round(each.score, 4), "outcome": each.outcome}
            for each in judged
        ]

    async def _fading(self, params: JsonObject, client: Client) -> Json:
        """`{"days": 7}`: what will be archived at the next sweep, and what else within so many days of use."""
        days: Any = params.get("days", SOON_DAYS)
        if not isinstance(days, int | float) or isinstance(days, bool) or days < 0:
            raise InvalidArguments("days must be a number, at least 0")
        due = await self._fade.preview()
        already = {fate.id for fate in due}
        later = [fate for fate in await self._fade.at_risk(days) if fate.id not in already]
        return {"due": list(map(_fate, due)), "at_risk": list(map(_fate, later))}


def _fate(fate: Fate) -> dict[str, Json]:
    return {"id": name_of(fate.id), "left": round(fate.left, 4), "days": round(fate.days, 2)}
