"""Full collections of garbage, at a moment when nobody waits.

With a thousand connections one takes a tenth of a second, and the loop stands still meanwhile. Python begins them
in the middle of the very work that makes objects, such as connecting; so the small ones stay its own, and the full
ones are done here. What the old generation may hold until then is bounded by RARELY.
"""

from __future__ import annotations

import gc
import time

import trio

LOOK_SECONDS = 2.0
# Of those: who computes less than this is at rest.
REST_SECONDS = 0.02
# Who is never at rest is interrupted this often at most.
PATIENCE_SECONDS = 300.0
# A full collection is worth its while after so many middle ones, as it is for Python itself; and after so many, which
# stand for half a million objects more than were let go, Python does it at once.
WORTH, RARELY = 10, 100


async def collect_in_peace(*, rest: float = REST_SECONDS) -> None:
    """Runs until it is cancelled, and leaves everything as it was."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], RARELY)
    try:
        last = trio.current_time()
        while True:
            computed = time.process_time()
            await trio.sleep(LOOK_SECONDS)
            at_rest = time.process_time() - computed < rest
            if gc.get_count()[2] > WORTH and (at_rest or trio.current_time() - last > PATIENCE_SECONDS):
                gc.collect()
                last = trio.current_time()
    finally:
        gc.set_threshold(*before)
