"""The pipe and the outbox over real descriptors: in order, whole, and honest about a broken end."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from mimo.transports.outbox import Outbox
from mimo.transports.pipe import Pipe

Ends = tuple[int, int]


@pytest.fixture
def ends() -> Iterator[Ends]:
    source, sink = os.pipe()
    os.set_blocking(source, False)
    os.set_blocking(sink, False)
    yield source, sink
    for end in (source, sink):
        with suppress(OSError):  # a test may have closed it
            os.close(end)


async def test_what_does_not_go_at_once_follows_in_order(ends: Ends, nursery: trio.Nursery) -> None:
    pipe = Pipe(*ends)
    outbox = Outbox(pipe, send_now=lambda data: pipe.send_now(data[:3]))
    outbox.put(b"first ")
    outbox.put_last(b"second ")
    assert await pipe.receive_some(100) == b"fir"
    nursery.start_soon(outbox.run)
    outbox.put(b"third")
    with trio.fail_after(5):
        await outbox.emptied()
    assert await pipe.receive_some(100) == b"st second third"


async def test_more_than_a_pipe_holds_waits_for_the_reader(ends: Ends, nursery: trio.Nursery) -> None:
    pipe, data, heard = Pipe(*ends), os.urandom(1 << 20), bytearray()
    nursery.start_soon(pipe.send_all, data)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(5):
        while len(heard) < len(data):
            heard += await pipe.receive_some(65536)
    assert heard == data


async def test_a_broken_end_is_said_by_those_who_can_wait(ends: Ends) -> None:
    pipe = Pipe(*ends)
    os.close(ends[0])
    assert pipe.send_now(b"x") == 0
    with pytest.raises(trio.BrokenResourceError):
        await pipe.send_all(b"x")


async def test_a_reader_can_be_cancelled(ends: Ends, autojump_clock: object) -> None:
    with trio.move_on_after(1) as scope:
        await Pipe(*ends).receive_some(10)
    assert scope.cancelled_caught


async def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "questions").write_bytes(b"one\ntwo\n")
    questions = os.open(tmp_path / "questions", os.O_RDONLY)
    try:
        pipe = Pipe(questions, 2)
        assert [await pipe.receive_some(100) for _ in range(2)] == [b"one\ntwo\n", b""]
    finally:
        os.close(questions)


async def test_what_cannot_be_read_is_broken(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(trio.BrokenResourceError):
            await Pipe(folder, 2).receive_some(10)
    finally:
        os.close(folder)
