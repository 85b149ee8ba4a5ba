"""What a supervisor does when a child ends."""

import logging
from typing import Any

import pytest
import trio
import trio.testing

from mimo.supervision import (
    Backoff,
    Child,
    Ended,
    GaveUp,
    Restart,
    Restarting,
    Started,
    State,
    Strategy,
    Supervisor,
    TooManyRestarts,
)


async def test_children_start_in_order_and_stop_in_reverse(stage: Any, autojump_clock: Any) -> None:
    slow_first = [
        stage.child("a", opening=3, closing=0),
        stage.child("b", closing=2),
        stage.child("c", opening=1),
    ]
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", slow_first).run)
        assert stage.diary == ["+a", "+b", "+c"]
        assert trio.current_time() == pytest.approx(4)
        nursery.cancel_scope.cancel()
    assert stage.diary == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert trio.current_time() == pytest.approx(6)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["-b", "+b"]),
        (Strategy.REST_FOR_ONE, ["-b", "-d", "-c", "+b", "+c", "+d"]),
        (Strategy.ONE_FOR_ALL, ["-b", "-d", "-c", "-a", "+a", "+b", "+c", "+d"]),
    ],
)
async def test_the_strategy_says_who_shares_the_fate(
    strategy: Strategy, expected: list[str], stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor(
        "s", [stage.child(n) for n in "abcd"], strategy=strategy, on_event=stage.events.append
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.diary.clear()
        stage.fell("b")
        await trio.sleep(1)
        assert stage.diary == expected
        assert len(stage.told(Restarting)) == 1
        nursery.cancel_scope.cancel()


async def test_the_first_restart_comes_within_100_ms(stage: Any, autojump_clock: Any) -> None:
    starts: list[float] = []

    def note(event: object) -> None:
        if isinstance(event, Started):
            starts.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", [stage.child("a")], on_event=note).run)
        stage.fell("a")
        await trio.sleep(1)
        assert starts[1] - starts[0] == pytest.approx(Backoff().first)
        assert starts[1] - starts[0] <= 0.1
        nursery.cancel_scope.cancel()


async def test_backoff_grows_with_each_fall_and_begins_again_after_a_quiet_time(
    stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("s", [stage.child("a")], max_restarts=99, within=5, on_event=stage.events.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for pause in (1, 1, 1, 6, 1):
            await trio.sleep(pause)
            stage.fell("a")
        await trio.sleep(1)
        delays = [event.delay for event in stage.told(Restarting)]
        assert delays == pytest.approx([0.05, 0.1, 0.2, 0.05, 0.1])
        nursery.cancel_scope.cancel()


def test_backoff_has_a_ceiling_and_refuses_nonsense() -> None:
    assert Backoff().delay(10**9) == 30
    assert Backoff(first=0, factor=1, limit=0).delay(5) == 0
    for wrong in ({"first": -1.0}, {"factor": 0.5}, {"limit": 0.01}):
        with pytest.raises(ValueError, match="a backoff has"):
            Backoff(**wrong)


async def test_a_child_in_a_long_backoff_holds_up_nobody_else(stage: Any, autojump_clock: Any) -> None:
    backoff = Backoff(first=30)
    supervisor = Supervisor("s", [stage.child(n) for n in "abc"], backoff=backoff)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("a")
        await trio.sleep(20)
        stage.fell("b")
        await supervisor.add(stage.child("d"))
        await supervisor.remove("c")
        assert trio.current_time() == pytest.approx(20)
        await trio.sleep(15)
        assert stage.diary[-1] == "+a"
        await trio.sleep(20)
        assert stage.diary[-1] == "+b"
        stage.fell("a")
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == before
    assert sorted(stage.diary[-3:]) == ["-a", "-b", "-d"]


async def test_gives_up_once_stops_the_siblings_and_names_the_cause(
    stage: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor(
        "s", [stage.child("db"), stage.child("bad", fails=99)], max_restarts=2, on_event=stage.events.append
    )
    with pytest.raises(
        TooManyRestarts, match=r"s: bad was the last of 3 falls within 5 s .*bad cannot start"
    ) as info:
        await supervisor.run()
    assert isinstance(info.value.__cause__, ValueError)
    assert stage.diary == ["+db", "-db"]
    assert trio.current_time() == pytest.approx(0.05 + 0.1)
    assert len(stage.told(GaveUp)) == 1
    assert sum(record.levelno == logging.CRITICAL for record in caplog.records) == 1
    assert supervisor.tree().state is State.ENDED
    assert "bad cannot start" in (supervisor.tree().last_error or "")


async def test_a_slow_rate_of_falls_is_tolerated(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")], max_restarts=1, within=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for _ in range(20):
            await trio.sleep(5.1)
            stage.fell("a")
        await trio.sleep(1)
        assert supervisor.tree().children[0].restarts == 20
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("restart", "fell", "comes_back"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
@pytest.mark.parametrize("strategy", Strategy)
async def test_which_endings_are_undone(
    restart: Restart, fell: bool, comes_back: bool, strategy: Strategy, stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("s", [stage.child("a", restart), stage.child("b")], strategy=strategy)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        if fell:
            stage.fell("a")
        else:
            stage.returned("a")
        await trio.sleep(1)
        assert (stage.diary.count("+a") == 2) is comes_back
        assert supervisor.tree().children[0].state is (State.RUNNING if comes_back else State.ENDED)
        if not comes_back:
            assert stage.diary == ["+a", "+b", "-a"]  # nobody else cares
        nursery.cancel_scope.cancel()


async def test_a_temporary_child_that_a_siblings_fall_stopped_stays_away(
    stage: Any, autojump_clock: Any
) -> None:
    children = [
        stage.child("a"),
        stage.child("once", Restart.TEMPORARY),
        stage.child("work", Restart.TRANSIENT),
    ]
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", children, strategy=Strategy.ONE_FOR_ALL).run)
        stage.fell("a")
        await trio.sleep(1)
        assert stage.diary[-2:] == ["+a", "+work"]
        nursery.cancel_scope.cancel()


async def test_a_transient_child_that_returns_while_another_is_being_stopped_is_done(
    stage: Any, autojump_clock: Any
) -> None:
    children = [stage.child("a"), stage.child("b", Restart.TRANSIENT), stage.child("c", closing=2)]
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", children, strategy=Strategy.ONE_FOR_ALL).run)
        stage.fell("a")
        await trio.sleep(1)  # c is closing, b's turn has not come
        stage.returned("b")
        await trio.sleep(3)
        assert stage.diary == ["+a", "+b", "+c", "-a", "-b", "-c", "+a", "+c"]
        nursery.cancel_scope.cancel()


async def test_a_fall_while_another_is_being_stopped_costs_nothing_more(
    stage: Any, autojump_clock: Any
) -> None:
    children = [stage.child("a"), stage.child("b"), stage.child("c", closing=2)]
    supervisor = Supervisor("s", children, strategy=Strategy.ONE_FOR_ALL, max_restarts=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("a")
        await trio.sleep(1)
        stage.fell("b")
        await trio.sleep(2)
        assert stage.diary[-6:] == ["-a", "-b", "-c", "+a", "+b", "+c"]
        nursery.cancel_scope.cancel()


async def test_two_that_fall_together_are_both_restarted(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child(n) for n in "abc"], strategy=Strategy.REST_FOR_ONE)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("b")
        stage.fell("a")
        await trio.sleep(1)
        assert stage.diary[-3:] == ["+a", "+b", "+c"]
        nursery.cancel_scope.cancel()


async def test_a_fall_during_the_backoff_of_another_restarts_from_the_earlier_one(
    stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor(
        "s", [stage.child(n) for n in "abc"], strategy=Strategy.REST_FOR_ONE, backoff=Backoff(first=10)
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("b")
        await trio.sleep(5)
        stage.fell("a")
        await trio.sleep(9)
        assert stage.diary == ["+a", "+b", "+c", "-b", "-c", "-a"]
        await trio.sleep(2)
        assert stage.diary[-3:] == ["+a", "+b", "+c"]
        nursery.cancel_scope.cancel()


async def test_a_fall_in_the_middle_of_a_restart_of_several_begins_it_anew(
    stage: Any, autojump_clock: Any
) -> None:
    children = [stage.child("a"), stage.child("b", opening=2), stage.child("c")]
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", children, strategy=Strategy.ONE_FOR_ALL).run)
        stage.diary.clear()
        stage.fell("b")
        await trio.sleep(1)
        assert stage.diary == ["-b", "-c", "-a", "+a"]  # b is opening
        stage.fell("a")
        await trio.sleep(3)
        assert stage.diary == ["-b", "-c", "-a", "+a", "-a", "+a", "+b", "+c"]
        nursery.cancel_scope.cancel()


async def test_a_child_that_fails_before_it_is_ready_is_tried_again_and_the_next_one_waits(
    stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("s", [stage.child("a", fails=2), stage.child("b")])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        assert trio.current_time() == pytest.approx(0.05 + 0.1)
        assert stage.diary == ["+a", "+b"]
        nursery.cancel_scope.cancel()


async def test_a_child_that_is_no_coroutine_or_says_ready_twice_has_fallen(
    stage: Any, autojump_clock: Any
) -> None:
    async def twice(*, task_status: trio.TaskStatus[Any]) -> None:
        task_status.started()
        task_status.started()

    with pytest.raises(TooManyRestarts) as info:
        await Supervisor("s", [Child("twice", twice)]).run()
    assert isinstance(info.value.__cause__, RuntimeError)
    with pytest.raises(TooManyRestarts) as info:
        await Supervisor("s", [Child("no", lambda *, task_status: None)]).run()  # pyright: ignore
    assert isinstance(info.value.__cause__, TypeError)


async def test_an_error_from_a_childs_own_nursery_is_told_without_its_group(
    stage: Any, autojump_clock: Any
) -> None:
    async def nested(*, task_status: trio.TaskStatus[Any]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            task_status.started()
            raise OSError("port in use")

    async def two(*, task_status: trio.TaskStatus[Any]) -> None:
        raise ExceptionGroup("two", [OSError(), ValueError()])

    with pytest.raises(TooManyRestarts) as info:
        await Supervisor("s", [Child("door", nested)]).run()
    assert isinstance(info.value.__cause__, OSError)
    with pytest.raises(TooManyRestarts) as info:
        await Supervisor("s", [Child("two", two)]).run()
    assert isinstance(info.value.__cause__, ExceptionGroup)


async def test_events_tell_the_story_in_order(stage: Any, autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", [stage.child("a")], on_event=stage.events.append).run)
        stage.fell("a", KeyError("x"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stage.events == [
        Started("s", "a", restarts=0),
        Ended("s", "a", asked=False, error="KeyError: 'x'"),
        Restarting("s", "a", delay=0.05, siblings=(), error="KeyError: 'x'"),
        Started("s", "a", restarts=1),
        Ended("s", "a", asked=True, error=None),
    ]
