"""The cache computes once, forgets in time, and keeps neither errors nor other people waiting."""

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import trio
import trio.testing

from mimo.embedding.cache import HOUR, Cache, KeyType
from mimo.errors import Unavailable

Get = Callable[..., Awaitable[object]]


class Work:
    """Counts how often it is done; `seconds` long."""

    def __init__(self, value: object = "done", seconds: float = 0, error: Exception | None = None) -> None:
        self.done = 0
        self.value, self.seconds, self.error = value, seconds, error

    async def __call__(self) -> object:
        self.done += 1
        await trio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.value


async def test_what_was_computed_is_not_computed_again() -> None:
    cache, work = Cache(), Work()
    assert [await cache.get_or_compute_query("m", "t", work) for _ in range(3)] == ["done"] * 3
    assert work.done == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.hit_rate, stats.entries) == (2, 1, 2 / 3, 1)
    assert stats.bytes > 0
    assert stats.by_type[KeyType.QUERY] == (2, 1)
    assert stats.by_type[KeyType.EMBEDDING] == (0, 0)


async def test_kinds_models_and_texts_never_meet() -> None:
    cache = Cache()
    calls: list[Get] = [
        cache.get_or_compute_embedding,
        cache.get_or_compute_classification,
        cache.get_or_compute_query,
    ]
    keys = [("m", "t"), ("mt", ""), ("", "mt"), ("m", "t\ud800"), ("m", "T")]
    for get in calls:
        for model, text in keys:
            await get(model, text, Work())
    assert cache.stats().misses == len(calls) * len(keys)


async def test_after_an_hour_it_is_computed_again(autojump_clock: trio.testing.MockClock) -> None:
    cache, work = Cache(), Work()
    await cache.get_or_compute_embedding("m", "t", work)
    await trio.sleep(HOUR - 1)
    await cache.get_or_compute_embedding("m", "t", work)
    assert work.done == 1
    await trio.sleep(2)
    await cache.get_or_compute_embedding("m", "t", work)
    assert work.done == 2


async def test_the_least_recently_used_leaves_first() -> None:
    cache = Cache(entries=2)
    for text in ("a", "b", "a", "c"):
        await cache.get_or_compute_query("m", text, Work())
    a, b = Work(), Work()
    await cache.get_or_compute_query("m", "a", a)
    await cache.get_or_compute_query("m", "b", b)
    assert (a.done, b.done) == (0, 1)


async def test_bytes_are_bounded_too() -> None:
    cache = Cache(size=10_000)
    for text in range(20):
        await cache.get_or_compute_embedding("m", str(text), Work(np.ones(384, np.float32)))
    assert cache.stats().entries == 6
    assert cache.stats().bytes <= 10_000
    await cache.get_or_compute_embedding("m", "huge", Work(np.ones(4096, np.float32)))
    assert cache.stats().entries == 6


async def test_arrays_are_shared_and_therefore_read_only() -> None:
    vector = await Cache().get_or_compute_embedding("m", "t", Work(np.ones(3)))
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 2  # type: ignore[index]


async def test_many_at_once_compute_once(autojump_clock: trio.testing.MockClock) -> None:
    cache, work = Cache(), Work(seconds=1)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(cache.get_or_compute_embedding, "m", "t", work)
    assert work.done == 1
    assert cache.stats().hits == 99


async def test_different_keys_do_not_wait_for_each_other(autojump_clock: trio.testing.MockClock) -> None:
    cache = Cache()
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        for text in range(50):
            nursery.start_soon(cache.get_or_compute_embedding, "m", str(text), Work(seconds=1))
    assert trio.current_time() - before == pytest.approx(1)


async def test_who_waits_outlives_the_first_caller(autojump_clock: trio.testing.MockClock) -> None:
    cache, work, got = Cache(), Work(seconds=1), list[object]()

    async def wait() -> None:
        got.append(await cache.get_or_compute_embedding("m", "t", work))

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def begin() -> None:
            with first:
                await cache.get_or_compute_embedding("m", "t", work)

        nursery.start_soon(begin)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
    assert got == ["done"] * 5
    assert work.done == 2  # one of the waiting took over; the others waited for that one


async def test_an_error_is_for_those_who_waited_and_is_not_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cache, failing, errors = Cache(), Work(seconds=1, error=Unavailable("down")), 0

    async def ask() -> None:
        nonlocal errors
        with pytest.raises(Unavailable):
            await cache.get_or_compute_embedding("m", "t", failing)
        errors += 1

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask)
    assert (errors, failing.done) == (4, 1)
    assert await cache.get_or_compute_embedding("m", "t", Work()) == "done"


async def test_clearing_leaves_nothing_not_even_what_was_under_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cache = Cache()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cache.get_or_compute_query, "m", "t", Work(seconds=1))
        await trio.testing.wait_all_tasks_blocked()
        cache.clear()
    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)


async def test_hits_and_misses_are_told_by_type() -> None:
    told: list[tuple[str, KeyType]] = []
    cache = Cache(
        on_hit=lambda kind: told.append(("hit", kind)), on_miss=lambda kind: told.append(("miss", kind))
    )
    for _ in range(2):
        await cache.get_or_compute_classification("m", "t", Work())
    assert told == [("miss", KeyType.CLASSIFICATION), ("hit", KeyType.CLASSIFICATION)]


@pytest.mark.parametrize("odd", [{"ttl": 0}, {"entries": 0}, {"size": 0}])
def test_bounds_are_positive(odd: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Cache(**odd)  # type: ignore[arg-type]
