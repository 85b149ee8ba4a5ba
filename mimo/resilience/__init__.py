"""What to do when the other side fails: stop asking, ask again, let fewer in, answer with less.

- `breaker`: `Breaker` stops asking somebody who keeps failing, and tries again carefully
- `retry`: `Retry` asks again where that may help
- `bulkhead`: `Bulkhead` lets a few in, a few wait, and turns the others away
- `degradation`: `Chain` asks the next best, and says who answered
- `failures`: which errors say something about the other side at all

Each is a value or a small object with `await it.call(function, *arguments)`; they know nothing of each
other and are combined by nesting: retry around breaker around bulkhead around the work.
"""

from mimo.resilience.breaker import Breaker, BreakerChanged, BreakerState
from mimo.resilience.bulkhead import Bulkhead, Load
from mimo.resilience.degradation import Chain, Failed, Link, Served
from mimo.resilience.failures import is_failure, is_passing
from mimo.resilience.retry import Retry

__all__ = [
    "Breaker",
    "BreakerChanged",
    "BreakerState",
    "Bulkhead",
    "Chain",
    "Failed",
    "Link",
    "Load",
    "Retry",
    "Served",
    "is_failure",
    "is_passing",
]
