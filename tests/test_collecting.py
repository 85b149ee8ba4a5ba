"""Garbage is collected when nobody waits, and in the end also when somebody always does."""

import gc
import weakref

import trio
import trio.testing

from mimo.collecting import LOOK_SECONDS, PATIENCE_SECONDS, RARELY, WORTH, collect_in_peace


class Ring:
    """Only a collector lets it go."""

    def __init__(self) -> None:
        self.itself = self


def old_garbage() -> weakref.ref[Ring]:
    """In the oldest generation, and worth a collection."""
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()
    del ring
    for _ in range(WORTH + 1):
        gc.collect(1)
    assert gone() is not None
    return gone


async def test_garbage_goes_when_all_is_at_rest(autojump_clock: trio.testing.MockClock) -> None:
    gone = old_garbage()
    with trio.move_on_after(LOOK_SECONDS * 1.5):
        await collect_in_peace(rest=1e9)
    assert gone() is None


async def test_who_computes_is_not_interrupted_but_once_in_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gone = old_garbage()
    with trio.move_on_after(PATIENCE_SECONDS - LOOK_SECONDS):
        await collect_in_peace(rest=0)
    assert gone() is not None
    with trio.move_on_after(PATIENCE_SECONDS + 2 * LOOK_SECONDS):
        await collect_in_peace(rest=0)
    assert gone() is None


async def test_a_little_is_not_worth_it(autojump_clock: trio.testing.MockClock) -> None:
    gc.collect()
    for _ in range(WORTH // 2):
        gc.collect(1)
    with trio.move_on_after(LOOK_SECONDS * 3):
        await collect_in_peace(rest=1e9)
    assert gc.get_count()[2] >= WORTH // 2


async def test_what_python_had_chosen_stands_again_afterwards(autojump_clock: trio.testing.MockClock) -> None:
    before = gc.get_threshold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_in_peace)
        await trio.testing.wait_all_tasks_blocked()
        assert gc.get_threshold() == (*before[:2], RARELY)
        nursery.cancel_scope.cancel()
    assert gc.get_threshold() == before
