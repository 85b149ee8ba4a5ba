"""The engine against a naive model: whatever happens, in whatever order, and however often mimo dies in between."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mimo.errors import Conflict
from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import (
    Act,
    Advanced,
    Again,
    Began,
    Failed,
    Finished,
    Granted,
    Happening,
    Interrupt,
    Pause,
    Recovered,
    Resume,
    Signalled,
    TimePassed,
)
from mimo.services.procedures.outcomes import UNDO_AGAIN
from mimo.services.procedures.runs import ENDED, Phase, Status, Trouble, from_json, to_json

LENGTH, ATTEMPTS, PAUSE = 4, 2, 10_000
NAMES = [f"s{n}" for n in range(LENGTH)]


def tool(what: str) -> dict[str, Any]:
    return {"type": "tool", "tool": "t", "arguments": {"what": what}, "idempotent": True}


CHAIN = Definition.model_validate_json(
    json.dumps(
        {
            "name": "chain",
            "version": "1.0",
            "initial": "s0",
            "states": {
                **{
                    name: {
                        "action": tool(name),
                        "retry": {"attempts": ATTEMPTS, "backoff": PAUSE / 1000},
                        "compensate": {"action": tool(f"not {name}")},
                        "transitions": [{"to": following}],
                    }
                    for name, following in zip(NAMES, [*NAMES[1:], "end"], strict=True)
                },
                "end": {"terminal": "success"},
            },
        }
    )
)


class Chain(RuleBasedStateMachine):
    """A chain of tools, each tried twice and with a way back, which is tried again where it was not begun. The world does what it is asked once for each key."""

    @initialize()
    def begin(self) -> None:
        self.now = 1_000_000
        self.effects: list[str] = []
        self.answered: set[str] = set()
        self.flying: dict[int, Act] = {}
        self.old: list[Happening] = []
        # The naive model.
        self.done: list[str] = []
        self.left = list(NAMES)
        self.tries = 0
        self.back = False
        self.stuck = False
        self.held = False
        self.unsure = False  # whether the step that is tried may have been done by an attempt before
        self.doubt: set[str] = set()  # what may have been done, and is taken back
        self.place = True
        self.run = new_run(1, "uid", CHAIN, {}, self.now)
        self.happens(Began())

    def happens(self, happening: Happening, *, may_act: bool | None = None) -> Advanced:
        may = self.place if may_act is None else may_act
        advanced = advance(CHAIN, self.run, happening, self.now, may_act=may)
        self.run = advanced.run
        for intent in advanced.intents:
            if isinstance(intent, Act):
                self.flying[intent.step] = intent
            else:
                self.flying.pop(intent.step, None)
        return advanced

    def effect(self, act: Act) -> str:
        what = str(act.arguments["what"])
        if act.key not in self.answered:
            self.answered.add(act.key)
            self.effects.append(what)
        return what

    def ended(self) -> bool:
        return self.run.status in ENDED

    @precondition(lambda self: bool(self.flying))
    @rule()
    def answers(self) -> None:
        (act,) = self.flying.values()
        what = self.effect(act)
        del self.flying[act.step]
        self.old.append(Finished(act.step, act.attempt, what))
        if self.back:
            self.done.pop()
        else:
            self.done.append(self.left.pop(0))
        self.tries, self.unsure = 0, False
        self.happens(self.old[-1])

    @precondition(lambda self: bool(self.flying))
    @rule(retry=st.booleans(), unsure=st.booleans(), applied=st.booleans(), refused=st.booleans())
    def fails(self, retry: bool, unsure: bool, applied: bool, refused: bool) -> None:
        """`unsure`: nobody knows whether it was done; `applied`: it was; `refused`: it was not begun."""
        refused = refused and not unsure
        (act,) = self.flying.values()
        if unsure and applied:
            self.effect(act)
        del self.flying[act.step]
        self.old.append(
            Failed(act.step, act.attempt, Trouble("x", "no", retry=retry, unsure=unsure, refused=refused))
        )
        self.tries += 1
        self.unsure = not self.back and (self.unsure or unsure)
        if self.back:
            self.stuck = not (refused and retry and self.tries < UNDO_AGAIN.attempts)
        elif not retry or self.tries >= ATTEMPTS:
            self.turns_back()
        self.happens(self.old[-1])

    def turns_back(self) -> None:
        if self.unsure:
            self.doubt.add(self.left[0])
            self.done.append(self.left[0])
        self.back, self.tries, self.unsure = True, 0, False

    def nobody_hears(self) -> None:
        """What is in flight goes on alone, or not."""
        self.unsure = not self.back and (self.unsure or bool(self.flying))
        self.flying.clear()

    @precondition(lambda self: not self.back and not self.ended())
    @rule()
    def is_called_off(self) -> None:
        self.nobody_hears()
        self.turns_back()
        self.held = False
        self.happens(Interrupt(rollback=True))

    @rule(seconds=st.sampled_from([0, 1, 30]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.happens(TimePassed())

    @rule(applied=st.booleans(), set_back=st.booleans())
    def dies(self, applied: bool, set_back: bool) -> None:
        """What was in flight is gone; it may have had its effect."""
        for act in self.flying.values():
            if applied:
                self.effect(act)
        self.nobody_hears()
        row = json.loads(json.dumps([to_json(self.run), self.run.context]))
        again = from_json(1, self.run.status.value, *row)
        assert again == self.run or json.dumps(to_json(again)) == json.dumps(to_json(self.run))
        self.run = again
        if set_back:
            self.now -= 500_000
        self.happens(Recovered())

    @precondition(lambda self: bool(self.old))
    @rule(data=st.data())
    def an_old_answer_comes_again(self, data: st.DataObject) -> None:
        before = self.run.state, self.run.status, len(self.run.done)
        told = data.draw(st.sampled_from(self.old))
        advanced = self.happens(told)
        assert advanced.entries == ()
        assert (self.run.state, self.run.status, len(self.run.done)) == before

    @rule()
    def there_is_no_place(self) -> None:
        self.place = False

    @rule()
    def there_is_a_place(self) -> None:
        self.place = True
        assert not self.happens(Granted()).run.needs_place

    @rule(event=st.sampled_from(["go", "stop"]))
    def somebody_signals(self, event: str) -> None:
        try:
            if len(self.run.mailbox) < 100:
                assert self.happens(Signalled(event)).said == "kept"
        except Conflict:
            assert self.ended()

    @rule(interrupt=st.booleans())
    def stands_still(self, interrupt: bool) -> None:
        if self.ended():
            return
        if interrupt and self.run.interrupted:
            return
        if interrupt:
            self.nobody_hears()
        self.happens(Interrupt() if interrupt else Pause())
        self.held = True

    @precondition(lambda self: self.held)
    @rule()
    def goes_on(self) -> None:
        self.held = False
        if not self.ended():
            self.happens(Resume())

    @precondition(lambda self: self.stuck and not self.held)
    @rule(by_hand=st.booleans())
    def a_person_helps(self, by_hand: bool) -> None:
        self.stuck = False
        if by_hand:
            self.effects.append(f"not {self.done[-1]}")
            self.done.pop()
            self.tries = 0
            self.happens(Signalled("done"))
        else:
            self.happens(Again())

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        if not hasattr(self, "run"):
            return
        assert [each.state for each in self.run.done] == self.done
        assert len(self.run.activities) <= 1
        assert self.run.holds_place == bool(self.flying) or self.run.interrupted
        queued = any(each.phase is Phase.QUEUED for each in self.run.activities)
        assert self.run.needs_place is (queued and not self.held)
        # The end itself begins nothing, so who stands still comes to it, too; taking back has to be begun.
        over = (not self.done and not self.held) if self.back else not self.left
        assert self.ended() is over, (self.run.status, self.back, self.done, self.left)
        if self.ended():
            assert (self.run.status is Status.COMPLETED) is not self.back
            assert self.run.wake is None
            assert not self.run.activities
        else:
            needs = self.stuck and not self.run.interrupted
            assert (self.run.status is Status.NEEDS_ATTENTION) is needs

    @invariant()
    def no_effect_is_missing(self) -> None:
        if not hasattr(self, "run") or not self.ended():
            return
        count = Counter(self.effects)
        for name in NAMES:
            taken_back = self.back and (name not in self.left or name in self.doubt)
            assert count[name] >= 1 or name in self.left
            assert (count[f"not {name}"] >= 1) is taken_back


Chain.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestChain = Chain.TestCase
