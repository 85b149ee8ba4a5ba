"""Which memories fade, and how fast. Pure: numbers in, numbers out.

Time is counted in days on which mimo was used: a holiday makes nobody forget. What was worth more, and
what was used more often, stays longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Half-lives at importance 0 and 1, in active days: about a week, and about 19 years of 365 such days.
SHORTEST_HALF_LIFE = 7.0
LONGEST_HALF_LIFE = 7000.0
ARCHIVED_BELOW = 0.1
NEVER_FADES = 0.95


@dataclass(frozen=True, slots=True)
class Fading:
    """What decides how much is left of an engram."""

    importance: float
    uses: int
    idle_days: float  # active days since it was last used
    rate: float  # lambda, per active day
    protected: bool = False

    @property
    def fades(self) -> bool:
        return not self.protected and self.importance < NEVER_FADES


def rate(importance: float) -> float:
    """The lambda of an importance; its half-life grows exponentially with it."""
    importance = min(1.0, max(0.0, importance))
    half_life = SHORTEST_HALF_LIFE * (LONGEST_HALF_LIFE / SHORTEST_HALF_LIFE) ** importance
    return math.log(2) / half_life


def retention(fading: Fading) -> float:
    """How much is left, from 1 (as good as new) to 0 (gone)."""
    left = (
        fading.importance
        * math.exp(-fading.rate * max(0.0, fading.idle_days))
        * (1 + 0.1 * math.log1p(fading.uses))
    )
    return min(1.0, max(0.0, left))


def days_left(fading: Fading) -> float:
    """Active days until it is to be archived, if it is not used before; infinity if never."""
    if not fading.fades or fading.rate <= 0:
        return math.inf
    start = fading.importance * (1 + 0.1 * math.log1p(fading.uses))
    if start <= ARCHIVED_BELOW:
        return 0.0
    return max(0.0, math.log(start / ARCHIVED_BELOW) / fading.rate - max(0.0, fading.idle_days))
