"""What the WebSocket door is made of: the backlog of a slow reader, and which query waits for which."""

import socket

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from mimo.errors import Busy
from mimo.protocol.synapse import Priority
from mimo.transports.websocket.backlog import Backlog, Lost, Weight
from mimo.transports.websocket.lanes import Lanes
from mimo.transports.websocket.link import Wire, framed


def drained(backlog: Backlog) -> list[str]:
    found: list[str] = []
    while (text := backlog.take()) is not None:
        found.append(text)
    return found


def test_the_oldest_thoughts_make_room_for_a_result() -> None:
    backlog = Backlog(messages=3)
    for text, weight in (("t1", Weight.THOUGHT), ("n1", Weight.NEWS), ("t2", Weight.THOUGHT)):
        assert backlog.put(text, weight)
    assert backlog.put("r1", Weight.RESULT)
    assert backlog.put("r2", Weight.RESULT)
    assert backlog.put("r3", Weight.RESULT)
    assert not backlog.put("r4", Weight.RESULT)
    assert backlog.take_lost() == Lost(thoughts=2, news=1)
    assert backlog.take_lost() is None
    assert drained(backlog) == ["r1", "r2", "r3"]


def test_a_thought_makes_room_for_nothing_but_itself() -> None:
    backlog = Backlog(messages=2)
    assert backlog.put("r1", Weight.RESULT)
    assert backlog.put("n1", Weight.NEWS)
    assert backlog.put("t1", Weight.THOUGHT)
    assert drained(backlog) == ["r1", "n1"]
    assert backlog.take_lost() == Lost(thoughts=1, news=0)


def test_a_result_larger_than_all_room_passes_alone() -> None:
    backlog = Backlog(size=10)
    assert backlog.put("x" * 100, Weight.RESULT)
    assert not backlog.put("y", Weight.RESULT)


@given(st.lists(st.tuples(st.sampled_from(Weight), st.integers(1, 6)), max_size=60))
def test_the_backlog_stays_bounded_and_in_order(given_: list[tuple[Weight, int]]) -> None:
    """Never more than the bounds but for one message alone; results come out in order and none is lost unsaid."""
    backlog, results = Backlog(messages=5, size=12), list[str]()
    for number, (weight, size) in enumerate(given_):
        text = f"{number:02}".ljust(size, ".")
        accepted = backlog.put(text, weight)
        if weight is Weight.RESULT and accepted:
            results.append(text)
        assert len(backlog) <= 5
        assert backlog.size <= 12 or len(backlog) == 1
    left = drained(backlog)
    assert [each for each in left if each in results] == results
    assert left == sorted(left, key=lambda each: int(each[:2]))
    assert backlog.size == 0


async def test_the_most_urgent_query_is_next(nursery: trio.Nursery) -> None:
    lanes, order, go = Lanes(1, 8), list[str](), trio.Event()

    async def ask(name: str, priority: Priority) -> None:
        async with lanes.place(priority):
            order.append(name)
            await go.wait()

    for name, priority in (
        ("first", Priority.LOW),
        ("low", Priority.LOW),
        ("normal", Priority.NORMAL),
        ("high", Priority.HIGH),
        ("normal too", Priority.NORMAL),
    ):
        nursery.start_soon(ask, name, priority)
        await trio.testing.wait_all_tasks_blocked()
    go.set()
    await trio.testing.wait_all_tasks_blocked()
    assert order == ["first", "high", "normal", "normal too", "low"]


async def test_a_place_is_not_lost_with_who_waited_for_it(nursery: trio.Nursery) -> None:
    lanes, go, scope = Lanes(1, 1), trio.Event(), trio.CancelScope()

    async def hold() -> None:
        async with lanes.place(Priority.NORMAL):
            await go.wait()

    async def wait() -> None:
        with scope:
            async with lanes.place(Priority.NORMAL):
                raise AssertionError("it was cancelled")

    nursery.start_soon(hold)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(Busy):
        async with lanes.place(Priority.HIGH):
            pass
    go.set()  # the place is handed over in the same moment in which the one that waits is cancelled
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(1):
        async with lanes.place(Priority.NORMAL):
            assert lanes.waiting == 0


# What is written around trio-websocket.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70_000])
def test_a_frame_of_ours_is_one_of_wsprotos(size: int) -> None:
    text = "ä" + "x" * max(0, size - 2) if size > 1 else "x" * size
    frames = FrameProtocol(client=False, extensions=[])
    assert framed(text) == frames.send_data(text, fin=True)


@pytest.mark.holds_up_the_loop  # eight megabytes at once
async def test_what_the_kernel_takes_in_part_goes_on_before_all_else() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        reader = await trio.open_tcp_stream(*listening.getsockname())
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(listening.accept()[0]))
    async with reader, stream, trio.open_nursery() as nursery:
        wire = Wire(stream, lambda: None)
        frame, heard = framed("x" * 8_000_000), bytearray()
        assert wire.write_now(b"first")
        assert wire.write_now(frame)
        assert wire.torn  # it does not fit
        assert not wire.write_now(b"no")
        nursery.start_soon(wire.send_all, b"second")
        with trio.fail_after(20):
            while len(heard) < len(frame) + 11:
                heard += await reader.receive_some()
        assert heard == b"first" + frame + b"second"
        assert wire.write_now(b"third")
