"""Children that come and go while the supervisor runs, and the view of all of them."""

import json
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from mimo.errors import Busy, Conflict, NotFound, Unavailable
from mimo.supervision import Child, Refused, Restart, State, Strategy, Supervisor, TooManyRestarts


async def test_an_added_child_is_ready_when_add_returns_and_is_restarted_like_the_others(
    stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("skills")
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await supervisor.add(stage.child("x", opening=2))
        assert trio.current_time() == pytest.approx(2)
        stage.fell("x")
        await trio.sleep(3)
        assert stage.diary == ["+x", "-x", "+x"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("strategy", Strategy)
async def test_a_child_that_cannot_start_is_not_kept_and_add_says_why(
    strategy: Strategy, stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("skills", [stage.child("a")], max_restarts=0, strategy=strategy)

    async def hasty(*, task_status: trio.TaskStatus[Any]) -> None:
        pass

    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for _ in range(5):
            with pytest.raises(ValueError, match="x cannot start"):
                await supervisor.add(stage.child("x", fails=1))
        with pytest.raises(Unavailable, match="hasty ended before it was ready"):
            await supervisor.add(Child("hasty", hasty))
        assert [branch.name for branch in supervisor.tree().children] == ["a"]
        assert stage.diary == ["+a"]
        nursery.cancel_scope.cancel()


async def test_beyond_its_limit_it_is_busy_and_counts(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("skills", [stage.child("a")], limit=2, on_event=stage.events.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await supervisor.add(stage.child("b"))
        with pytest.raises(Busy, match="skills has 2 children, and may have 2") as info:
            await supervisor.add(stage.child("c"))
        assert info.value.details == {"running": 2, "limit": 2}
        assert supervisor.refused == 1
        assert stage.told(Refused) == [Refused("skills", "c", 2)]
        await supervisor.remove("a")
        await supervisor.add(stage.child("c"))
        nursery.cancel_scope.cancel()


async def test_add_and_remove_refuse_what_makes_no_sense(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")])
    with pytest.raises(Unavailable, match="s is not running"):
        await supervisor.add(stage.child("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        with pytest.raises(Conflict, match="already has a child named a"):
            await supervisor.add(stage.child("a"))
        with pytest.raises(NotFound, match="no child named b; existing: a"):
            await supervisor.remove("b")
        nursery.cancel_scope.cancel()
    await supervisor.remove("a")
    assert supervisor.tree().children == ()


def test_the_constructor_refuses_what_makes_no_sense(stage: Any) -> None:
    a = stage.child("a")
    with pytest.raises(ValueError, match="same name"):
        Supervisor("s", [a, a])
    with pytest.raises(ValueError, match="limit is 0"):
        Supervisor("s", [a], limit=0)
    with pytest.raises(ValueError, match="within > 0"):
        Supervisor("s", [a], within=0)
    with pytest.raises(ValueError, match="max_restarts >= 0"):
        Supervisor("s", [a], max_restarts=-1)


async def test_remove_waits_for_the_end_and_may_be_asked_twice(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor(
        "s", [stage.child("a", closing=3), stage.child("b")], strategy=Strategy.ONE_FOR_ALL
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        async with trio.open_nursery() as both:
            both.start_soon(supervisor.remove, "a")
            both.start_soon(supervisor.remove, "a")
        assert stage.diary == ["+a", "+b", "-a"]
        assert trio.current_time() == pytest.approx(3)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_remove_still_removes(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a", closing=3)])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        with trio.move_on_after(1):
            await supervisor.remove("a")
        assert supervisor.tree().children[0].state is State.STOPPING
        await trio.sleep(3)
        assert supervisor.tree().children == ()
        nursery.cancel_scope.cancel()


async def test_a_child_may_remove_itself(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s")

    async def shy(*, task_status: trio.TaskStatus[Any]) -> None:
        task_status.started()
        await trio.sleep(1)
        await supervisor.remove("shy")

    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await supervisor.add(Child("shy", shy))
        await trio.sleep(2)
        assert supervisor.tree().children == ()
        nursery.cancel_scope.cancel()


async def test_a_child_in_its_backoff_is_removed_at_once(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("a")
        await trio.testing.wait_all_tasks_blocked()
        assert supervisor.tree().children[0].state is State.WAITING
        await supervisor.remove("a")
        await trio.sleep(1)
        assert stage.diary == ["+a", "-a"]
        nursery.cancel_scope.cancel()


async def test_a_cancelled_add_leaves_no_child_behind(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s")
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        with trio.move_on_after(1) as scope:
            await supervisor.add(stage.child("slow", opening=5))
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert supervisor.tree().children == ()
        with trio.CancelScope() as scope:
            scope.cancel()
            await supervisor.add(stage.child("late"))
        await trio.testing.wait_all_tasks_blocked()
        assert supervisor.tree().children == ()
        nursery.cancel_scope.cancel()


async def test_whoever_waits_in_add_hears_of_removal_and_of_the_end(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")], max_restarts=0)
    errors: list[Exception] = []

    async def add(child: Child) -> None:
        with pytest.raises((Conflict, Unavailable)) as info:
            await supervisor.add(child)
        errors.append(info.value)

    with pytest.RaisesGroup(TooManyRestarts):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            nursery.start_soon(add, stage.child("x", opening=5))
            nursery.start_soon(add, stage.child("y", opening=5))
            await trio.testing.wait_all_tasks_blocked()
            await supervisor.remove("x")
            await trio.testing.wait_all_tasks_blocked()
            assert "x was removed before it was ready" in str(errors[0])
            with trio.CancelScope(shield=True):
                stage.fell("a")
                await trio.lowlevel.checkpoint()
                await trio.testing.wait_all_tasks_blocked()
    assert "s stopped before y was ready" in str(errors[1])
    assert [branch.name for branch in supervisor.tree().children] == ["a"]


async def test_an_added_child_waits_behind_the_one_it_builds_on(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")], strategy=Strategy.REST_FOR_ONE)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        stage.fell("a")
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.add(stage.child("b"))
        assert stage.diary == ["+a", "-a", "+a", "+b"]
        nursery.cancel_scope.cancel()


async def test_a_siblings_fall_during_the_first_start_only_delays_it(stage: Any, autojump_clock: Any) -> None:
    supervisor = Supervisor("s", [stage.child("a")], strategy=Strategy.REST_FOR_ONE)
    failures: list[str] = []

    async def add(child: Child) -> None:
        try:
            await supervisor.add(child)
        except Unavailable as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        async with trio.open_nursery() as adding:
            adding.start_soon(add, stage.child("b", opening=2))
            await trio.testing.wait_all_tasks_blocked()
            adding.start_soon(add, stage.child("once", Restart.TEMPORARY, opening=2))
            await trio.sleep(1)
            stage.fell("a")  # b is opening
            await trio.sleep(3)
            stage.fell("a")  # once is opening
        await trio.sleep(3)
        assert failures == ["once was stopped before it was ready"]
        assert stage.diary == ["+a", "-a", "+a", "+b", "-a", "-b", "+a", "+b"]
        nursery.cancel_scope.cancel()


async def test_many_added_children_stop_together_and_before_the_first_ones(
    stage: Any, autojump_clock: Any
) -> None:
    supervisor = Supervisor("skills", [stage.child("a")])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for number in range(100):
            await supervisor.add(stage.child(str(number), closing=2))
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(2)
    assert stage.diary[-1] == "-a"


async def test_added_children_come_back_when_the_supervisor_runs_again(
    stage: Any, autojump_clock: Any
) -> None:
    inner = Supervisor("inner", [stage.child("a")], max_restarts=0)
    outer = Supervisor("outer", [inner.as_child()])
    async with trio.open_nursery() as nursery:
        await nursery.start(outer.run)
        await inner.add(stage.child("b", opening=60))
        await inner.add(stage.child("once", Restart.TEMPORARY))
        stage.returned("once")
        await trio.testing.wait_all_tasks_blocked()
        stage.fell("a")
        await trio.sleep(1)
        assert outer.tree().children[0].state is State.RUNNING  # added ones do not delay the others
        await trio.sleep(60)
        assert [branch.name for branch in inner.tree().children] == ["a", "b"]
        assert stage.diary[-2:] == ["+a", "+b"]
        nursery.cancel_scope.cancel()


async def test_the_tree_shows_everybody(stage: Any, autojump_clock: Any) -> None:
    inner = Supervisor("doors", [stage.child("http"), stage.child("socket")])
    root = Supervisor("root", [stage.child("db"), inner.as_child()], strategy=Strategy.REST_FOR_ONE)
    assert root.tree().state is State.ENDED
    assert root.tree().ago is None
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        await trio.sleep(2)
        stage.fell("http", OSError("reset\nby peer"))
        await trio.sleep(8)
        tree = dict(root.tree().walk())
        assert list(tree) == ["root", "root/db", "root/doors", "root/doors/http", "root/doors/socket"]
        assert tree["root"].strategy == "rest_for_one"
        assert tree["root/db"].strategy is None
        assert tree["root/doors"].strategy == "one_for_one"
        http = tree["root/doors/http"]
        assert (http.state, http.restarts, http.last_error) == (State.RUNNING, 1, "OSError: reset by peer")
        assert http.ago == pytest.approx(8 - 0.05)
        assert tree["root/db"].ago == pytest.approx(10)
        told = json.loads(json.dumps(root.tree().as_json()))
        assert told["children"][1]["children"][0]["last_error"] == "OSError: reset by peer"
        nursery.cancel_scope.cancel()
    assert {branch.state for _, branch in root.tree().walk()} == {State.ENDED}
