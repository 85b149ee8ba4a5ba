"""What each way of searching cares for: sets of weights, which settings may replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mimo.services.memory.ranking import Weights

BALANCED = Weights()

WEIGHTS: Mapping[str, Weights] = {
    "balanced": BALANCED,
    "semantic": replace(BALANCED, words=0.5, meaning=15.0, own_meaning=5.0),
    "recent": replace(BALANCED, recency=4.0),
    "important": replace(BALANCED, importance=5.0),
    "popular": replace(BALANCED, use=1.5),
}
