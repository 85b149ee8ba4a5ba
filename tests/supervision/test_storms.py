"""Random falls, returns, additions and removals under every strategy: what must hold in any order of events."""

from dataclasses import dataclass
from typing import Any, Literal

import trio
import trio.lowlevel
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.errors import MimoError
from mimo.supervision import (
    Child,
    Ended,
    GaveUp,
    Restart,
    Started,
    State,
    Strategy,
    SupervisionEvent,
    Supervisor,
    TooManyRestarts,
)

SECONDS = st.sampled_from([0.0, 0.0, 0.02, 0.3, 2.0])


@dataclass(frozen=True)
class Nature:
    """How a child behaves when nobody interferes."""

    restart: Restart
    opening: float
    closing: float
    lasting: float  # and then it falls
    stumbles: int  # falls before it is ready, in its first runs


@dataclass(frozen=True)
class Act:
    what: Literal["fell", "returned", "add", "remove", "wait"]
    whom: int
    pause: float


NATURES = st.builds(
    Nature,
    st.sampled_from(Restart),
    SECONDS,
    SECONDS,
    st.sampled_from([0.5, 7.0, 1e9, 1e9]),
    st.integers(0, 2),
)
ACTS = st.builds(
    Act, st.sampled_from(["fell", "fell", "returned", "add", "remove", "wait"]), st.integers(0, 5), SECONDS
)


class Storm:
    def __init__(self, strategy: Strategy, natures: list[Nature]) -> None:
        self.natures = natures
        self.alive: dict[str, trio.Event] = {}
        self.wishes: dict[str, Exception | None] = {}
        self.violations: list[str] = []  # an assertion in a child would be taken for a fall
        self.events: list[SupervisionEvent] = []
        self.supervisor = Supervisor(
            "s",
            [self.child(number) for number in range(len(natures) // 2)],
            strategy=strategy,
            max_restarts=6,
            on_event=self.events.append,
        )

    def child(self, number: int) -> Child:
        name, nature, runs = str(number), self.natures[number], [0]

        async def run(*, task_status: trio.TaskStatus[Any]) -> None:
            if name in self.alive:
                self.violations.append(f"{name} runs twice at once")
            self.nobody_before_is_down(name)
            wish = self.alive[name] = trio.Event()
            runs[0] += 1
            try:
                await trio.sleep(nature.opening)
                if runs[0] <= nature.stumbles:
                    raise OSError("stumbled")
                task_status.started()
                with trio.move_on_after(nature.lasting):
                    await wish.wait()
                    error = self.wishes.get(name)
                    if error is None:
                        return
                    raise error
                raise OSError("tired")
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(nature.closing)
                del self.alive[name]

        return Child(name, run, nature.restart, grace=1)

    def nobody_before_is_down(self, name: str) -> None:
        if self.supervisor.strategy is Strategy.ONE_FOR_ONE:
            return
        for branch in self.supervisor.tree().children:
            if branch.name == name:
                return
            if branch.state not in (State.RUNNING, State.ENDED):
                self.violations.append(f"{name} starts while {branch.name} is {branch.state}")

    async def act(self, act: Act, nursery: trio.Nursery) -> None:
        name = str(act.whom % len(self.natures))
        match act.what:
            case "fell" | "returned":
                self.wishes[name] = ValueError("fell") if act.what == "fell" else None
                if name in self.alive:
                    self.alive[name].set()
            case "add":
                nursery.start_soon(self.try_to, self.supervisor.add, self.child(int(name)), act.pause)
            case "remove":
                nursery.start_soon(self.try_to, self.supervisor.remove, name, act.pause)
            case "wait":
                await trio.testing.wait_all_tasks_blocked()
                self.at_rest()
        if act.pause:
            await trio.sleep(act.pause)

    async def try_to(self, do: Any, what: Child | str, patience: float) -> None:
        try:
            with trio.move_on_after(patience + 0.1):
                await do(what)
        except (MimoError, OSError, ValueError):
            pass

    def at_rest(self) -> None:
        """With every task blocked, the view is true, and in an ordered strategy nobody stands on nothing."""
        children = self.supervisor.tree().children
        in_order = self.supervisor.strategy is not Strategy.ONE_FOR_ONE
        # While somebody stops, those before it that are to stop as well wait for their turn.
        settled = not any(branch.state is State.STOPPING for branch in children)
        somebody_is_down = False
        for branch in children:
            assert (branch.name in self.alive) == (
                branch.state in (State.STARTING, State.RUNNING, State.STOPPING)
            ), branch
            if in_order and settled:
                assert not (somebody_is_down and branch.state is State.RUNNING), branch
            somebody_is_down = somebody_is_down or branch.state in (State.WAITING, State.STARTING)

    async def rage(self, acts: list[Act], rest: float) -> None:
        gave_up = False
        with trio.move_on_after(1000) as scope:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.supervisor.run)
                    await trio.lowlevel.checkpoint()
                    for act in acts:
                        await self.act(act, nursery)
                    await trio.sleep(rest)
                    await trio.testing.wait_all_tasks_blocked()
                    self.at_rest()
                    nursery.cancel_scope.cancel()
            except* TooManyRestarts:
                gave_up = True
        assert not scope.cancelled_caught, "it hangs"
        assert not self.violations
        assert not self.alive
        assert gave_up <= sum(isinstance(event, GaveUp) for event in self.events) <= 1
        assert {branch.state for _, branch in self.supervisor.tree().walk()} == {State.ENDED}
        self.the_story_makes_sense()

    def the_story_makes_sense(self) -> None:
        up: set[str] = set()
        for event in self.events:
            if isinstance(event, Started):
                assert event.child not in up
                up.add(event.child)
            elif isinstance(event, Ended):
                up.discard(event.child)
        assert not up


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(Strategy),
    st.lists(NATURES, min_size=2, max_size=6),
    st.lists(ACTS, max_size=20),
    st.sampled_from([0.0, 0.01, 1.0, 40.0]),
)
def test_in_any_storm_order_is_kept_and_everybody_is_stopped(
    strategy: Strategy, natures: list[Nature], acts: list[Act], rest: float
) -> None:
    storm = Storm(strategy, natures)
    trio.run(storm.rage, acts, rest, clock=trio.testing.MockClock(autojump_threshold=0))
