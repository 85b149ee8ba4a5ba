"""What may have been done is neither done again unasked nor forgotten when all is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from trio.abc import Clock

from mimo.errors import (
    Broken,
    Busy,
    Conflict,
    Forbidden,
    InvalidArguments,
    MimoError,
    NotFound,
    TooSlow,
    Unavailable,
    UnknownTool,
)
from mimo.services.procedures.calling import trouble_of


def do(what: str, tool: str = "work", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": tool, "arguments": {"what": what}, **more}


def step(what: str, *to: str | Mapping[str, Any], **more: Any) -> dict[str, Any]:
    ways = [{"to": each} if isinstance(each, str) else dict(each) for each in to]
    return {"action": do(what), "transitions": ways, **more}


def undo(what: str) -> dict[str, Any]:
    return {"action": do(what)}


@pytest.mark.parametrize(
    ("error", "unsure"),
    [
        (UnknownTool("gone"), False),
        (Forbidden("no"), False),
        (InvalidArguments("no"), False),
        (NotFound("no"), False),
        (Conflict("no"), False),
        (Busy("full"), False),
        (Unavailable("was never started", done=False), False),
        (Unavailable("has ended"), True),
        (TooSlow("not in time"), True),
        (Broken("a bug"), True),
    ],
)
def test_only_who_says_that_nothing_was_done_is_believed(error: MimoError, unsure: bool) -> None:
    assert trouble_of(error).unsure is unsure


@pytest.mark.parametrize("error", [Unavailable("the skill has ended"), TooSlow("late"), Broken("a bug")])
async def test_an_effect_of_unknown_outcome_is_not_repeated(
    house: Any, autojump_clock: Clock, error: MimoError
) -> None:
    house.hand.lose("pay", error)
    await house.define({"a": step("pay", "ok", retry={"attempts": 3, "backoff": 1})})
    told = await house.ended(await house.start())
    assert told["status"] == "failed"
    assert house.hand.done == ["pay"]


@pytest.mark.parametrize("error", [Unavailable("the skill has ended"), TooSlow("late"), Broken("a bug")])
async def test_an_effect_of_unknown_outcome_is_taken_back(
    house: Any, autojump_clock: Clock, error: MimoError
) -> None:
    house.hand.lose("pay", error)
    await house.define({"a": step("pay", "ok", compensate=undo("refund"))})
    run = await house.start()
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["pay", "refund"]
    assert "unsure" in await house.kinds(run)


async def test_an_answer_that_cannot_be_kept_was_an_effect(house: Any, autojump_clock: Clock) -> None:
    house.hand.answers["pay"] = "x" * 300_000
    await house.define({"a": step("pay", "ok", compensate=undo("refund"))})
    assert (await house.ended(await house.start()))["error"]["kind"] == "too_large"
    assert house.hand.done == ["pay", "refund"]


async def test_what_is_harmless_to_repeat_keeps_its_key_until_an_attempt_is_known_to_be_the_first(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.lose("a", Unavailable("has ended"), Busy("full"), Busy("full"))
    action = do("a", idempotent=True)
    await house.define(
        {
            "a": {
                "action": action,
                "transitions": [{"to": "ok"}],
                "retry": {"attempts": 5, "backoff": 1},
            }
        }
    )
    assert (await house.ended(await house.start()))["status"] == "completed"
    assert len(set(house.hand.keys)) == 1


PAUSING: dict[str, Any] = {
    "action": do("effect", idempotent=True),
    "retry": {"attempts": 3, "backoff": 3_600},
    "compensate": undo("no effect"),
    "transitions": [{"to": "ok"}, {"event": "leave", "to": "other"}],
}
OTHER = step("other", "bad")


async def in_the_pause(house: Any, **more: Any) -> str:
    """A run whose first attempt was done, as nobody knows, and that pauses before its second."""
    house.hand.lose("effect", Unavailable("the skill has ended"))
    await house.define({"a": PAUSING, "other": OTHER}, **more)
    run = await house.start()
    await house.until(run, "waiting", "a")
    return run


async def test_an_interruption_in_the_pause_after_an_effect_takes_it_back(
    house: Any, autojump_clock: Clock
) -> None:
    run = await in_the_pause(house)
    await house.data("interrupt", run=run, rollback=True)
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["effect", "no effect"]


async def test_the_overall_timeout_in_the_pause_after_an_effect_takes_it_back(
    house: Any, autojump_clock: Clock
) -> None:
    run = await in_the_pause(house, timeout=60)
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["effect", "no effect"]


async def test_an_event_that_leads_away_in_the_pause_after_an_effect_does_not_forget_it(
    house: Any, autojump_clock: Clock
) -> None:
    run = await in_the_pause(house)
    await house.data("signal", run=run, event="leave")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["effect", "other", "no effect"]


async def test_an_attempt_that_fails_for_sure_says_nothing_of_the_one_before(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.lose("effect", Unavailable("the skill has ended"))
    await house.define({"a": PAUSING, "other": OTHER})
    run = await house.start()
    await house.until(run, "waiting", "a")
    house.hand.fail("effect", Conflict("never again"))
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["effect", "no effect"]


async def test_a_branch_in_the_pause_after_an_effect_is_taken_back_when_another_fails(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.lose("effect", Unavailable("the skill has ended"))
    branches = {
        "a": {key: PAUSING[key] for key in ("action", "retry", "compensate")},
        "b": {"action": {"type": "await", "approval": "Go on?"}},
    }
    await house.define(
        {"p": {"action": {"type": "parallel", "branches": branches}, "transitions": [{"to": "ok"}]}}
    )
    run = await house.start()
    await house.until(run, "waiting", "p")
    await house.data("signal", run=run, event="rejected")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["effect", "no effect"]


async def test_what_was_in_flight_when_mimo_ended_is_taken_back_though_its_repetition_fails(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define({"a": PAUSING, "other": OTHER})
        idle.hand.hold("effect")
        run = await idle.start()
        await idle.hand.begun["effect"].wait()
    idle.hand.held.clear()
    idle.hand.fail("effect", Conflict("never again"))
    async with idle.restarted():
        assert (await idle.ended(run))["status"] == "rolled_back"
    assert idle.hand.done == ["no effect"]


PAY: dict[str, Any] = {
    "a": step("pay", "b", compensate=undo("refund")),
    "b": {
        "action": {"type": "await", "events": ["go"]},
        "transitions": [{"event": "go", "to": "bad"}],
    },
}


async def in_flight(house: Any) -> str:
    await house.define(PAY)
    house.hand.hold("pay")
    run = await house.start()
    await house.hand.begun["pay"].wait()
    await house.data("interrupt", run=run)
    house.hand.held.clear()
    return run


async def test_who_begins_anew_from_a_step_of_unknown_outcome_has_both_taken_back(
    house: Any, autojump_clock: Clock
) -> None:
    run = await in_flight(house)
    await house.data("resume", run=run)
    assert (await house.data("status", run=run))["status"] == "needs_attention"
    await house.data("retry", run=run, state="a")
    await house.until(run, "waiting", "b")
    await house.data("signal", run=run, event="go")
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["pay", "refund", "refund"]


async def test_an_interrupted_action_that_may_harm_is_repeated_only_where_its_state_is_named(
    house: Any, autojump_clock: Clock
) -> None:
    run = await in_flight(house)
    with pytest.raises(Conflict, match=r"not known.*resume.*state"):
        await house.data("retry", run=run)
    assert (await house.data("status", run=run))["status"] == "interrupted"
    assert house.hand.done == []
    await house.data("retry", run=run, state="a")
    await house.until(run, "waiting", "b")
    assert house.hand.done == ["pay"]
    await house.data("interrupt", run=run, rollback=True)
    assert (await house.ended(run))["status"] == "rolled_back"
    assert house.hand.done == ["pay", "refund", "refund"]


async def test_an_interrupted_action_that_is_harmless_is_done_again_under_its_key(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({"a": {"action": do("one", "read"), "transitions": [{"to": "ok"}]}})
    house.hand.hold("one")
    run = await house.start()
    await house.hand.begun["one"].wait()
    await house.data("interrupt", run=run)
    house.hand.held.clear()
    await house.data("retry", run=run)
    assert (await house.ended(run))["status"] == "completed"
    assert [key.split()[2:] for key in house.hand.keys] == [["2", "1"]]
    assert trio.current_time() < 60
