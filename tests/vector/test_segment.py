"""A segment finds what is near, whatever happens to it meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trio

import mimo.vector.segment as segment_module
from mimo.errors import InvalidArguments, Unavailable
from mimo.vector import Columns, Fetch, Row, Segment, from_blob, to_blob

from .conftest import Maker

pytestmark = pytest.mark.vectors


def segment(dim: int = 32) -> Segment:
    return Segment("test", dim, limiter=trio.CapacityLimiter(2))


def judged(rows: Sequence[Row], query: Row, k: int) -> list[int]:
    """The k nearest, by the plainest means."""
    q = from_blob(query.blob).astype(np.float64)
    scored: list[tuple[float, int]] = []
    for row in rows:
        vector = from_blob(row.blob).astype(np.float64)
        scored.append((-float(vector @ q) / float(np.linalg.norm(vector) * np.linalg.norm(q)), row.id))
    return [id_ for _, id_ in sorted(scored)[:k]]


async def test_what_was_stored_is_found_after_a_rebuild(make: Maker) -> None:
    rows = make.rows(300)
    one = segment()
    await one.rebuild(rows)
    assert len(one) == 300
    for query in rows[:5]:
        assert [near.id for near in await one.nearest(from_blob(query.blob), 5)] == judged(rows, query, 5)


async def test_before_it_has_read_everything_it_says_so(make: Maker) -> None:
    one = segment()
    with pytest.raises(Unavailable, match="words meanwhile"):
        await one.nearest(np.ones(32, np.float32), 5)
    await one.rebuild(())
    assert await one.nearest(np.ones(32, np.float32), 5) == []


async def test_a_rebuild_takes_batches_as_they_come(make: Maker) -> None:
    rows = make.rows(100)
    one = segment()
    async with one.rebuilding() as take:
        for first in range(0, 100, 30):
            await trio.to_thread.run_sync(take, Columns.of(rows[first : first + 30]))
            assert not one.ready
    assert len(one) == 100


async def test_changes_during_a_rebuild_are_not_lost(make: Maker) -> None:
    rows, later = make.rows(50), make.rows(3, first=100)
    one = segment()
    async with one.rebuilding() as take:
        take(Columns.of(rows[:25]))
        await one.put(later)
        await one.drop([1, 2, 101])
        await one.put([Row(3, later[2].blob)])
        take(Columns.of(rows[25:]))
    assert len(one) == 50 - 2 + 3 - 1
    assert 1 not in one
    assert 2 not in one
    assert 101 not in one
    assert [near.id for near in await one.nearest(from_blob(later[2].blob), 2)] == [3, 102]


@pytest.mark.parametrize("row", [Row(9, b"", 2**40), Row(2**63, b""), Row(9, b"", -(2**40))])
async def test_what_is_refused_during_a_rebuild_does_not_disturb_it(make: Maker, row: Row) -> None:
    rows = make.rows(30)
    one = segment()
    async with one.rebuilding() as take:
        take(Columns.of(rows))
        with pytest.raises(InvalidArguments):
            await one.put([row._replace(blob=rows[0].blob)])
        with pytest.raises(InvalidArguments):
            await one.drop([2**63])
    assert len(one) == 30


async def test_a_failed_rebuild_leaves_the_old_answers(make: Maker) -> None:
    rows = make.rows(20)
    one = segment()
    await one.rebuild(rows)

    def torn() -> Iterator[Row]:
        yield rows[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await one.rebuild(torn())
    assert len(one) == 20
    assert (await one.nearest(from_blob(rows[7].blob), 1))[0].id == 8
    await one.rebuild(rows)


async def test_a_cancelled_rebuild_leaves_the_old_answers(make: Maker) -> None:
    rows = make.rows(20)
    one = segment()
    await one.rebuild(rows)

    async def endless() -> None:
        async with one.rebuilding() as take:
            take(Columns.of(rows[:1]))
            await trio.sleep_forever()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endless)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert len(one) == 20
    await one.rebuild(rows)


async def test_damaged_blobs_are_named_and_the_others_found(make: Maker) -> None:
    rows = make.rows(10)
    nan = np.full(32, np.nan, np.float16).tobytes()
    one = segment()
    await one.rebuild([*rows, Row(50, b"short"), Row(51, nan), Row(52, rows[0].blob + b"\0\0")])
    assert len(one) == 10
    assert one.refused == [50, 51, 52]
    assert one.stats()["refused"] == 3


async def test_what_was_damaged_and_is_put_again_is_damaged_no_longer(make: Maker) -> None:
    rows = make.rows(2)
    one = segment()
    await one.rebuild([rows[0], rows[1]._replace(blob=b"short")])
    assert one.refused == [rows[1].id]
    await one.put([rows[1]])
    assert one.refused == []


async def test_a_new_vector_takes_the_place_of_the_old(make: Maker) -> None:
    rows = make.rows(40)
    one = segment()
    await one.rebuild(rows)
    await one.put([Row(5, to_blob(-from_blob(rows[9].blob)))])
    assert len(one) == 40
    near = await one.nearest(-from_blob(rows[9].blob), 1)
    assert near[0].id == 5
    assert near[0].score == pytest.approx(1, abs=1e-3)


async def test_a_dropped_vector_is_not_found(make: Maker) -> None:
    rows = make.rows(40)
    one = segment()
    await one.rebuild(rows)
    await one.drop([8, 8, 999])
    assert 8 not in {near.id for near in await one.nearest(from_blob(rows[7].blob), 40)}


async def test_a_search_is_narrowed_before_it_counts(make: Maker) -> None:
    rows = make.rows(60, groups=3)
    one = segment()
    await one.rebuild(rows)
    query = rows[0]
    in_group = [row for row in rows if row.group == 2]
    assert [n.id for n in await one.nearest(from_blob(query.blob), 9, groups=[2])] == judged(
        in_group, query, 9
    )
    few = [row for row in rows if row.id in (4, 9, 44)]
    assert [n.id for n in await one.nearest(from_blob(query.blob), 9, allowed=[44, 9, 4, 999])] == judged(
        few, query, 9
    )
    assert [n.id for n in await one.nearest(from_blob(query.blob), 9, groups=[2], allowed=[3, 4])] == [3]
    assert await one.nearest(from_blob(query.blob), 9, groups=[]) == []
    assert all(n.score >= 0.5 for n in await one.nearest(from_blob(query.blob), 60, min_score=0.5))


async def test_a_question_that_does_not_fit_is_the_callers_fault(make: Maker) -> None:
    one = segment()
    await one.rebuild(make.rows(3))
    for query in (
        np.ones(31, np.float32),
        np.full(32, np.inf, np.float32),
        np.ones((1, 32), np.float32),
        np.ones(32, np.int64),
    ):
        with pytest.raises(InvalidArguments, match="not a question for this segment"):
            await one.nearest(query, 3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArguments, match="vector of 9"):
        await one.put([Row(9, b"x")])
    with pytest.raises(InvalidArguments, match="twice"):
        await one.put([Row(9, to_blob(np.ones(32))), Row(9, to_blob(np.ones(32)))])
    assert len(one) == 3


async def test_a_large_segment_answers_from_a_thread(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "INLINE_ROWS", 10)
    monkeypatch.setattr(segment_module, "INLINE_CHANGES", 10)
    rows = make.rows(90)
    one = segment()
    await one.rebuild(())
    await one.put(rows)
    assert [n.id for n in await one.nearest(from_blob(rows[3].blob), 4)] == judged(rows, rows[3], 4)
    with pytest.raises(InvalidArguments):
        await one.nearest(np.ones(3), 4)


async def test_many_removed_rows_are_given_back(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "WORTH_COMPACTING", 20)
    rows = make.rows(100)
    one = segment()
    await one.rebuild(rows)
    await one.drop(range(1, 15))
    assert one.stats()["dead"] == 14
    await one.drop(range(15, 41))
    assert one.stats()["dead"] == 0
    assert [n.id for n in await one.nearest(from_blob(rows[60].blob), 4)] == judged(rows[40:], rows[60], 4)


async def test_codes_that_lose_recall_are_no_longer_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random vectors have no neighbours to speak of: their signs say too little."""
    monkeypatch.setattr(segment_module, "CHECK_EVERY", 5000)
    monkeypatch.setattr(segment_module, "MOST_CANDIDATES", 1600)
    random = np.random.default_rng(3)
    one = segment(64)
    await one.rebuild(())
    assert one.stats()["codes_trusted"]
    halves = random.standard_normal((6000, 64)).astype(np.float16)
    await one.put([Row(at, row.tobytes()) for at, row in enumerate(halves)])
    assert one.recall < 0.98
    assert one.stats()["candidates"] == 1600
    assert not one.stats()["codes_trusted"]


async def test_codes_of_clustered_vectors_stay_trusted(make: Maker) -> None:
    one = segment()
    await one.rebuild(make.rows(1000))
    assert one.recall >= 0.98
    assert one.stats()["codes_trusted"]


async def test_a_lean_segment_settles_the_order_from_the_stored_vectors(make: Maker) -> None:
    rows = make.rows(1000, groups=2)
    stored = {row.id: row.blob for row in rows}
    asked: list[int] = []

    def fetch(ids: Sequence[int]) -> Sequence[tuple[int, bytes]]:
        asked.append(len(ids))
        return [(id_, stored[id_]) for id_ in ids if id_ in stored]

    async def visit(work: Callable[[Fetch], Any]) -> Any:
        return await trio.to_thread.run_sync(work, fetch)

    one = Segment("test", 32, limiter=trio.CapacityLimiter(2), visit=visit)
    await one.rebuild(rows)
    query = from_blob(rows[3].blob)
    assert [n.id for n in await one.nearest(query, 10)] == judged(rows, rows[3], 10)
    assert asked == [120]
    odd = [row for row in rows if row.group == 1]
    assert [n.id for n in await one.nearest(query, 10, groups=[1])] == judged(odd, rows[3], 10)
    assert await one.nearest(query, 0) == []
    assert await one.nearest(query, 5, min_score=1.1) == []
    del stored[4]  # gone from the truth, not yet from here
    assert 4 not in {n.id for n in await one.nearest(query, 10)}
    with pytest.raises(InvalidArguments):
        await one.nearest(query[:5], 3)
    assert not one.holds
    with pytest.raises(ValueError, match="codes"):
        one.held(np.array([1], np.int64))


@pytest.mark.parametrize("lean", [False, True])
async def test_of_more_equal_vectors_than_are_looked_at_the_lowest_ids_come_first(lean: bool) -> None:
    random = np.random.default_rng(8)
    blob = random.standard_normal(32).astype(np.float16).tobytes()
    rows = [Row(int(id_), blob) for id_ in random.permutation(6000)]

    async def visit(work: Callable[[Fetch], Any]) -> Any:
        return await trio.to_thread.run_sync(work, lambda ids: [(id_, blob) for id_ in ids])

    one = Segment("test", 32, limiter=trio.CapacityLimiter(2), visit=visit if lean else None)
    await one.rebuild(rows)
    assert [near.id for near in await one.nearest(from_blob(blob), 10)] == list(range(10))


async def test_what_is_held_is_handed_out_and_what_is_not_there_is_nothing(make: Maker) -> None:
    rows = make.rows(300)
    one = segment()
    await one.rebuild(rows)
    await one.drop([rows[5].id])
    assert one.holds
    wanted = np.array([rows[7].id, 10**9, rows[5].id, rows[2].id], np.int64)
    found = one.held(wanted)
    assert np.allclose(found[[0, 3]], [from_blob(rows[7].blob), from_blob(rows[2].blob)], atol=1e-3)
    assert not found[1:3].any()
    assert one.held(wanted[:0]).shape == (0, 32)


async def test_what_goes_while_it_is_handed_out_is_nothing_and_the_others_are_there(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make.rows(10)
    one = segment()
    await one.rebuild(rows)
    index = one._index  # pyright: ignore[reportPrivateUsage]

    class Going:
        """The index, from which a row goes between two looks."""

        def __getattr__(self, name: str) -> Any:
            return getattr(index, name)

        def rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            index.remove([rows[1].id])
            return index.rows(ids)

    monkeypatch.setattr(one, "_index", Going())
    found = one.held(np.array([row.id for row in rows[:3]], np.int64))
    assert found.any(axis=1).tolist() == [True, False, True]


async def test_searches_and_changes_at_once_see_whole_changes(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_module, "INLINE_ROWS", 10)
    rows = make.rows(400)
    one = segment()
    await one.rebuild(rows)
    done = trio.Event()

    async def change() -> None:
        for turn in range(40):
            await one.put([Row(1, rows[turn % 7].blob)])
            await one.drop([500 + turn - 1])
            await one.put([Row(500 + turn, rows[0].blob)])
            await trio.lowlevel.checkpoint()
        done.set()

    async def ask() -> None:
        while not done.is_set():
            found = [near.id for near in await one.nearest(from_blob(rows[20].blob), 401)]
            assert len(set(found)) == len(found)
            assert 1 in found
            assert 400 <= len(found) <= 401

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        nursery.start_soon(ask)
        nursery.start_soon(ask)
