"""Who is connected, what is in flight, and how it is called off."""

import pytest
import trio
import trio.testing

from mimo.errors import InvalidArguments, Unavailable
from mimo.gateway.sessions import Request, RequestId, Session, Sessions
from mimo.observability.events import Events
from mimo.observability.metrics import Metrics
from mimo.observability.news import ClientConnected, ClientLeft, Draining
from mimo.tool import Client


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def sessions(events: Events, metrics: Metrics) -> Sessions:
    return Sessions(events, metrics)


async def serve(
    session: Session, request_id: RequestId, task_status: trio.TaskStatus[Request] = trio.TASK_STATUS_IGNORED
) -> None:
    with session.request(request_id) as request:
        task_status.started(request)
        await trio.sleep_forever()


async def test_who_connects_and_leaves_is_listed_told_and_counted(
    sessions: Sessions, events: Events, metrics: Metrics
) -> None:
    with sessions.open(Client("claude", "2.1", namespace="tea"), "socket") as session:
        session.client = Client("claude-code", "2.1", namespace="tea")
        with session.request(1):
            (there,) = sessions.connected()
            assert (there.client, there.namespace, there.door) == ("claude-code", "tea", "socket")
            assert (there.in_flight, there.requests) == (1, 1)
            assert b'mimo_sessions{door="socket"} 1.0' in metrics.render()
            assert b'mimo_in_flight_requests{door="socket"} 1.0' in metrics.render()
        assert sessions.find(session.id) is session
    assert sessions.connected() == []
    assert sessions.find(session.id) is None
    assert [type(event) for event in events.since(0)] == [ClientConnected, ClientLeft]
    assert b'mimo_sessions{door="socket"} 0.0' in metrics.render()


async def test_a_request_is_cancelled_by_its_id_within_a_checkpoint_and_the_others_go_on(
    sessions: Sessions,
) -> None:
    with sessions.open(Client(), "socket") as session:
        async with trio.open_nursery() as nursery:
            first: Request = await nursery.start(serve, session, 1)
            second: Request = await nursery.start(serve, session, "1")
            assert session.cancel(1, "the user pressed escape")
            await trio.testing.wait_all_tasks_blocked()
            assert first.cancelled
            assert first.reason == "the user pressed escape"
            assert session.in_flight == [second]
            assert not second.cancelled
            nursery.cancel_scope.cancel()
        assert sessions.in_flight == 0


async def test_cancelling_what_is_not_in_flight_does_nothing(sessions: Sessions) -> None:
    with sessions.open(Client(), "socket") as session:
        with session.request(1) as request:
            pass
        assert not session.cancel(1)
        assert not session.cancel("never seen")
        assert not request.cancelled


async def test_an_id_in_flight_is_not_given_twice_but_may_be_used_again_later(sessions: Sessions) -> None:
    with sessions.open(Client(), "socket") as session:
        with session.request(7):
            with pytest.raises(InvalidArguments, match="id 7 is still in flight"), session.request(7):
                pytest.fail("it ran")
            with session.request("7"):
                assert len(session.in_flight) == 2
            assert len(session.in_flight) == 1
        with session.request(7):
            pass
        assert session.requests == 3


async def test_two_clients_may_use_the_same_ids(sessions: Sessions) -> None:
    with sessions.open(Client(), "socket") as one, sessions.open(Client(), "socket") as other:
        async with trio.open_nursery() as nursery:
            mine: Request = await nursery.start(serve, one, 1)
            theirs: Request = await nursery.start(serve, other, 1)
            one.cancel(1)
            assert (mine.cancelled, theirs.cancelled) == (True, False)
            nursery.cancel_scope.cancel()


async def test_what_a_gone_client_still_waits_for_is_cancelled(sessions: Sessions) -> None:
    async with trio.open_nursery() as nursery:
        with sessions.open(Client(), "socket") as session:
            request: Request = await nursery.start(serve, session, 1)
        assert request.cancelled
    assert sessions.in_flight == 0


async def test_an_error_in_a_request_leaves_nothing_registered(sessions: Sessions) -> None:
    with sessions.open(Client(), "socket") as session:
        with pytest.raises(ZeroDivisionError), session.request(1):
            raise ZeroDivisionError
        assert session.in_flight == []
    assert sessions.in_flight == 0


async def test_a_drain_refuses_what_is_new_tells_everybody_once_and_waits_for_what_runs(
    sessions: Sessions, events: Events, autojump_clock: trio.testing.MockClock
) -> None:
    told: list[str] = []

    async def work(session: Session, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with session.request(1):
            task_status.started()
            await trio.sleep(3)

    with (
        sessions.open(Client("a"), "socket", goodbye=lambda: told.append("a")) as session,
        sessions.open(Client("b"), "http", goodbye=lambda: told.append("b")),
        sessions.open(Client("c"), "http"),
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(work, session)
            began = trio.current_time()
            nursery.start_soon(sessions.drain)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Unavailable, match="going down"), session.request(2):
                pytest.fail("it ran")
            with pytest.raises(Unavailable, match="going down"), sessions.open(Client(), "socket"):
                pytest.fail("it was let in")
            await sessions.drain()
            assert trio.current_time() - began == 3
            nursery.cancel_scope.deadline = began + 60  # the first drain ends too, and is not cancelled
        assert trio.current_time() - began == 3
    assert told == ["a", "b"]
    assert [type(event) for event in events.since(0)].count(Draining) == 1


async def test_the_callers_deadline_ends_a_drain(
    sessions: Sessions, autojump_clock: trio.testing.MockClock
) -> None:
    with sessions.open(Client(), "socket") as session:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, session, 1)
            with trio.move_on_after(2) as grace:
                await sessions.drain()
            assert grace.cancelled_caught
            nursery.cancel_scope.cancel()


async def test_a_drain_of_nobody_ends_at_once(sessions: Sessions) -> None:
    await sessions.drain()
    assert sessions.draining


async def test_a_thousand_requests_leave_nothing_behind(sessions: Sessions) -> None:
    with sessions.open(Client(), "socket") as session:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                await nursery.start(serve, session, number)
            for number in range(1000):
                assert session.cancel(number)
        assert session.in_flight == []
    assert (sessions.in_flight, sessions.connected()) == (0, [])
