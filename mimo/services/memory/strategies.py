"""What each way of searching cares for: sets of weights, which settings may replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mimo.services.memory.ranking import Weights


def strategies(given: Mapping[str, float]) -> Mapping[str, Weights]:
    """All of them. `given` says what a feature is worth instead of what it is as shipped."""
    balanced = replace(Weights(), **given)
    return {
        "balanced": balanced,
        "semantic": replace(balanced, words=0.5, meaning=15.0, own_meaning=5.0),
        "recent": replace(balanced, recency=4.0),
        "important": replace(balanced, importance=5.0),
        "popular": replace(balanced, use=1.5),
    }


WEIGHTS = strategies({})
