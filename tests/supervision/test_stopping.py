"""The ways in which a supervisor ends, and that it may run again."""

import logging
from typing import Any

import pytest
import trio
import trio.testing

from mimo.supervision import (
    Backoff,
    Child,
    Restart,
    State,
    Strategy,
    Stuck,
    SupervisionEvent,
    Supervisor,
    TooManyRestarts,
)


async def test_cancelled_while_a_child_is_starting(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a"), stage.child("slow", opening=100), stage.child("c")])
    with trio.move_on_after(1) as scope:
        await supervisor.run()
    assert scope.cancelled_caught
    assert stage.diary == ["+a", "-a"]
    assert {child.state for child in supervisor.tree().children} == {State.ENDED}


async def test_cancelled_during_a_backoff_stops_at_once(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a"), stage.child("b", fails=9)], backoff=Backoff(first=30))
    with trio.move_on_after(1):
        await supervisor.run()
    assert trio.current_time() == pytest.approx(1)
    assert stage.diary == ["+a", "-a"]


async def test_cancelled_before_anything_began(stage: Any, autojump_clock: Any) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await Supervisor("s", [stage.child("a")]).run()
    assert scope.cancelled_caught
    assert stage.diary.count("+a") == stage.diary.count("-a")


async def test_cancelled_while_it_gives_up_it_still_stops_in_order(stage: Any, autojump_clock: Any) -> None:
    children = [stage.child("a"), stage.child("b", closing=2), stage.child("bad", fails=9)]
    with trio.move_on_after(1) as scope:
        await Supervisor("s", children, max_restarts=0).run()
    assert scope.cancelled_caught
    assert stage.diary == ["+a", "+b", "-b", "-a"]
    assert trio.current_time() == pytest.approx(2)


async def test_what_a_child_does_under_its_own_shield_is_finished_first(
    stage: Any, autojump_clock: Any
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(
            Supervisor("s", [stage.child("db", closing=1), stage.child("door", closing=1)]).run
        )
        nursery.cancel_scope.cancel()
    assert stage.diary[-2:] == ["-door", "-db"]
    assert trio.current_time() == pytest.approx(2)


async def test_a_child_that_ignores_cancellation_is_named_once_after_its_grace(
    stage: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    children = [stage.child("db"), stage.child("stubborn", closing=60, grace=2)]
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor("s", children, on_event=stage.events.append).run)
        nursery.cancel_scope.cancel()
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL] == [
        "s/stubborn was cancelled 2 s ago; waiting on"
    ]
    assert stage.told(Stuck) == [Stuck("s", "stubborn", 2)]
    assert stage.diary[-2:] == ["-stubborn", "-db"]


async def test_a_child_that_fails_while_stopping_is_told_and_not_restarted(
    stage: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def clumsy(*, task_status: trio.TaskStatus[Any]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("cannot flush")

    supervisor = Supervisor("s", [stage.child("a"), Child("clumsy", clumsy)])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        nursery.cancel_scope.cancel()
    assert stage.diary == ["+a", "-a"]
    assert supervisor.tree().children[1].last_error == "OSError: cannot flush"
    assert "s/clumsy failed while stopping" in caplog.text


async def test_it_waits_for_cancellation_also_when_nobody_is_left(stage: Any, autojump_clock: Any) -> None:
    with trio.move_on_after(100) as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(Supervisor("s", [stage.child("once", Restart.TRANSIENT)]).run)
            stage.returned("once")
    assert scope.cancelled_caught


async def test_it_can_be_run_again_with_the_same_children(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a"), stage.child("once", Restart.TEMPORARY)], max_restarts=0)
    for _ in range(2):
        with pytest.RaisesGroup(TooManyRestarts):
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                stage.fell("a")
    assert stage.diary == ["+a", "+once", "-a", "-once"] * 2
    assert supervisor.tree().restarts == 1
    assert [child.restarts for child in supervisor.tree().children] == [1, 1]


async def test_it_cannot_be_run_twice_at_once(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        with pytest.raises(RuntimeError, match="s runs already"):
            await supervisor.run()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("strategy", Strategy)
async def test_an_inner_supervisor_that_gives_up_is_restarted_whole(
    strategy: Strategy, stage: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    inner = Supervisor("inner", [stage.child("x", fails=3), stage.child("y")], max_restarts=1)
    outer = Supervisor(
        "outer", [stage.child("db"), inner.as_child()], strategy=strategy, on_event=stage.events.append
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(outer.run)
        assert stage.diary[-2:] == ["+x", "+y"]
        assert outer.tree().children[1].restarts == 1
        assert "TooManyRestarts: inner: x was the last of 2" in (outer.tree().children[1].last_error or "")
        nursery.cancel_scope.cancel()
    assert stage.diary[-3:] == ["-y", "-x", "-db"]


async def test_a_crash_loop_climbs_to_the_root_with_every_cause(stage: Any, autojump_clock: Any) -> None:
    inner = Supervisor("inner", [stage.child("x", fails=999)], max_restarts=1)
    outer = Supervisor("outer", [stage.child("db"), inner.as_child()], max_restarts=1)
    with pytest.raises(TooManyRestarts, match="outer: inner was the last of 2") as info:
        await outer.run()
    assert isinstance(info.value.__cause__, TooManyRestarts)
    assert isinstance(info.value.__cause__.__cause__, ValueError)
    assert stage.diary == ["+db", "-db"]


async def test_a_listener_that_raises_ends_it_without_leaving_anybody_behind(
    stage: Any, autojump_clock: Any
) -> None:
    def bad(event: SupervisionEvent) -> None:
        if len(stage.diary) >= 2:
            raise LookupError("a bug in a listener")

    supervisor = Supervisor("s", [stage.child("a"), stage.child("b")], on_event=bad)
    with trio.fail_after(5), pytest.raises(ExceptionGroup):
        await supervisor.run()
    assert sorted(stage.diary) == ["+a", "+b", "-a", "-b"]
    stage.diary.clear()
    with trio.move_on_after(0):
        await supervisor.run()


async def test_a_keyboard_interrupt_in_a_child_goes_up_after_an_ordered_stop(
    stage: Any, autojump_clock: Any
) -> None:
    async def interrupted(*, task_status: trio.TaskStatus[Any]) -> None:
        task_status.started()
        await trio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as info:
        await Supervisor("s", [stage.child("a"), stage.child("b"), Child("c", interrupted)]).run()
    assert isinstance(info.value.exceptions[0], KeyboardInterrupt)
    assert stage.diary == ["+a", "+b", "-b", "-a"]
