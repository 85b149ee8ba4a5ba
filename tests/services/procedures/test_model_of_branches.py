"""Branches at once, against a naive model: they end in any order, fail, are tried again, and mimo dies in between."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mimo.services.procedures.definition import Definition
from mimo.services.procedures.engine import advance, new_run
from mimo.services.procedures.happenings import (
    Act,
    Began,
    Failed,
    Finished,
    Granted,
    Happening,
    Recovered,
    Stop,
    TimePassed,
)
from mimo.services.procedures.runs import ENDED, Status, Trouble, from_json, to_json

ATTEMPTS, PAUSE = 2, 10_000
NAMES = ["a", "b", "c"]


def tool(what: str) -> dict[str, Any]:
    return {"type": "tool", "tool": "t", "arguments": {"what": what}, "idempotent": True}


FORK = Definition.model_validate_json(
    json.dumps(
        {
            "name": "fork",
            "version": "1.0",
            "initial": "all",
            "states": {
                "all": {
                    "action": {
                        "type": "parallel",
                        "save": "got",
                        "branches": {
                            name: {
                                "action": tool(name),
                                "retry": {"attempts": ATTEMPTS, "backoff": PAUSE / 1000},
                                "compensate": {"action": tool(f"not {name}")},
                            }
                            for name in NAMES
                        },
                    },
                    "transitions": [{"to": "end"}],
                },
                "end": {"terminal": "success", "output": "${got}"},
            },
        }
    )
)


class Fork(RuleBasedStateMachine):
    """The world does what it is asked once for each key."""

    @initialize()
    def begin(self) -> None:
        self.now = 1_000_000
        self.effects: list[str] = []
        self.answered: set[str] = set()
        self.flying: dict[int, Act] = {}
        self.old: list[Happening] = []
        self.place = True
        # The naive model.
        self.done: list[str] = []
        self.undone: list[str] = []
        self.tries = Counter[str]()
        self.broken = False
        self.over: set[str] = set()
        self.unsure: set[str] = set()  # what may have been done by an attempt before
        self.run = new_run(1, "uid", FORK, {}, self.now)
        self.happens(Began())

    def happens(self, happening: Happening) -> tuple[Any, ...]:
        advanced = advance(FORK, self.run, happening, self.now, may_act=self.place)
        self.run = advanced.run
        for intent in advanced.intents:
            if isinstance(intent, Act):
                self.flying[intent.step] = intent
            elif isinstance(intent, Stop):
                self.flying.pop(intent.step, None)
        return advanced.entries

    def effect(self, act: Act) -> str:
        what = str(act.arguments["what"])
        if act.key not in self.answered:
            self.answered.add(act.key)
            self.effects.append(what)
        return what

    @precondition(lambda self: bool(self.flying))
    @rule(data=st.data())
    def one_answers(self, data: st.DataObject) -> None:
        act = self.flying.pop(data.draw(st.sampled_from(sorted(self.flying))))
        what = self.effect(act)
        if what.startswith("not "):
            assert what == f"not {self.done[-1]}"  # the latest first
            self.undone.append(self.done.pop())
        else:
            self.done.append(what)
            self.over.add(what)
            self.unsure.discard(what)
            self.joins()
        self.old.append(Finished(act.step, act.attempt, what))
        self.happens(self.old[-1])

    @precondition(lambda self: any(act.arguments["what"] in NAMES for act in self.flying.values()))
    @rule(data=st.data(), retry=st.booleans(), unsure=st.booleans(), applied=st.booleans())
    def one_fails(self, data: st.DataObject, retry: bool, unsure: bool, applied: bool) -> None:
        """`unsure`: nobody knows whether it was done; `applied`: it was."""
        forward = sorted(step for step, act in self.flying.items() if act.arguments["what"] in NAMES)
        act = self.flying.pop(data.draw(st.sampled_from(forward)))
        name = str(act.arguments["what"])
        self.tries[name] += 1
        if unsure:
            self.unsure.add(name)
            if applied:
                self.effect(act)
        if not retry or self.tries[name] >= ATTEMPTS:
            self.broken = True
            self.in_doubt(name)
            self.joins()
        self.old.append(Failed(act.step, act.attempt, Trouble("x", "no", retry=retry, unsure=unsure)))
        self.happens(self.old[-1])

    def in_doubt(self, name: str) -> None:
        self.over.add(name)
        if name in self.unsure:
            self.unsure.discard(name)
            self.done.append(name)

    def joins(self) -> None:
        """Once one is broken, what is not in flight is not begun any more."""
        if self.broken:
            flying = {act.arguments["what"] for act in self.flying.values()}
            for name in NAMES:
                if name not in flying and name not in self.over:
                    self.in_doubt(name)

    @rule(seconds=st.sampled_from([0, 1, 30]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.happens(TimePassed())

    @rule(applied=st.sets(st.integers(0, 10)))
    def dies(self, applied: set[int]) -> None:
        """What was in flight is gone; some of it has had its effect."""
        for number, act in enumerate(self.flying.values()):
            if number in applied:
                self.effect(act)
            if act.arguments["what"] in NAMES:
                self.unsure.add(str(act.arguments["what"]))
        self.flying.clear()
        row = json.loads(json.dumps([to_json(self.run), self.run.context]))
        self.run = from_json(1, self.run.status.value, *row)
        self.happens(Recovered())

    @precondition(lambda self: bool(self.old))
    @rule(data=st.data())
    def an_old_answer_comes_again(self, data: st.DataObject) -> None:
        assert self.happens(data.draw(st.sampled_from(self.old))) == ()

    @rule()
    def there_is_no_place(self) -> None:
        self.place = False

    @rule()
    def there_is_a_place(self) -> None:
        self.place = True
        self.happens(Granted())

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        if not hasattr(self, "run"):
            return
        if self.run.status not in ENDED:
            assert [each.branch for each in self.run.done] == self.done
        names = [each.branch for each in self.run.activities]
        assert len(set(names)) == len(names)
        assert {act.arguments["what"].removeprefix("not ") for act in self.flying.values()} <= set(names)
        whole = not self.broken and len(self.done) == len(NAMES)
        assert (self.run.status is Status.COMPLETED) is whole
        if self.broken and not self.run.activities:
            assert self.run.status in {Status.ROLLED_BACK, Status.FAILED}

    @invariant()
    def at_the_end_all_is_done_or_all_that_was_done_is_not(self) -> None:
        if not hasattr(self, "run") or self.run.status not in ENDED:
            return
        assert not self.flying
        count = Counter(self.effects)
        if self.run.status is Status.COMPLETED:
            assert self.run.output == {name: name for name in NAMES}
            assert not self.undone
        else:
            assert self.done == []
            assert (self.run.status is Status.ROLLED_BACK) is bool(self.undone)
            assert all(count[f"not {name}"] == (name in self.undone) for name in NAMES)


Fork.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestFork = Fork.TestCase
