"""What is nested too deeply is refused at every door: a run that holds it could not be read again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.abc import Clock

from mimo.errors import Conflict, InvalidArguments
from mimo.services.procedures.written import MOST_NESTED, is_deep


def nested(deep: int) -> Any:
    """A list in a list, and so on; the odd ones are objects."""
    value: Any = 1
    for level in range(deep):
        value = {"a": value} if level % 2 else [value]
    return value


def do(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": "work", "arguments": {"what": what}, **more}


ERROR = {"event": "error", "to": "bad"}


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_value_is_as_deep_as_the_deepest_that_stands_in_it(one: int, other: int) -> None:
    assert is_deep([nested(one), 5, {"x": nested(other)}]) == (max(one, other + 1) >= MOST_NESTED)


def test_what_holds_nothing_is_a_level_too() -> None:
    empty: Any = []
    for _ in range(MOST_NESTED - 1):
        empty = [empty]
    assert not is_deep(empty)
    assert is_deep([empty])


@pytest.mark.parametrize("pause", [True, False])
async def test_what_is_wrapped_again_and_again_in_a_loop_fails_and_stays_readable(
    house: Any, autojump_clock: Clock, pause: bool
) -> None:
    wrap = {"type": "set", "values": {"a": ["${a}"], "n": "${n + 1}"}}
    wait = {"type": "wait", "seconds": 0} if pause else {"type": "set", "values": {"b": 1}}
    await house.define(
        {
            "z": {"action": {"type": "set", "values": {"a": 1, "n": 0}}, "transitions": [{"to": "s"}]},
            "s": {"action": wrap, "max_visits": 2_000, "transitions": [{"to": "w"}, ERROR]},
            "w": {"action": wait, "transitions": [{"to": "s"}]},
            "bad": {"terminal": "failure", "output": {"kind": "${error.kind}", "n": "${n}"}},
        }
    )
    told = await house.ended(await house.start())
    assert (told["status"], told["output"]) == ("failed", {"kind": "too_deep", "n": MOST_NESTED})
    assert "'a' would be nested more than 100 deep" in told["error"]["message"]


async def test_an_action_whose_result_is_nested_too_deeply_has_failed_and_is_taken_back(
    house: Any, autojump_clock: Clock
) -> None:
    house.hand.answers["deep"] = nested(MOST_NESTED + 1)
    house.hand.answers["not deep"] = nested(MOST_NESTED + 1)  # nobody keeps what a way back gives
    retry = {"attempts": 3, "backoff": 1}
    state = {"action": do("deep"), "retry": retry, "compensate": {"action": do("not deep")}}
    await house.define({"a": {**state, "transitions": [{"to": "ok"}]}})
    run = await house.start()
    told = await house.ended(run)
    assert (told["status"], told["error"]["kind"]) == ("rolled_back", "too_deep")
    assert house.hand.done == ["deep", "not deep"]
    assert await house.kinds(run)


async def test_a_result_may_be_nested_as_deeply_as_that(house: Any, autojump_clock: Clock) -> None:
    house.hand.answers["deep"] = nested(MOST_NESTED)
    await house.define(
        {
            "a": {"action": do("deep", save="kept"), "transitions": [{"to": "ok"}]},
            "ok": {"terminal": "success", "output": "${kept}"},
        }
    )
    assert (await house.ended(await house.start()))["output"] == nested(MOST_NESTED)


async def test_what_a_child_gives_is_not_nested_too_deeply_either(house: Any, autojump_clock: Clock) -> None:
    house.hand.answers["deep"] = nested(MOST_NESTED)
    work = {"action": do("deep", save="kept"), "transitions": [{"to": "ok"}]}
    await house.define({"a": work, "ok": {"terminal": "success", "output": ["${kept}"]}}, name="inner")
    call = {"type": "procedure", "procedure": "inner"}
    await house.define({"a": {"action": call, "transitions": [{"to": "ok"}]}})
    assert (await house.ended(await house.start()))["error"]["kind"] == "too_deep"


async def test_what_is_given_to_a_child_is_not_nested_too_deeply_either(
    house: Any, autojump_clock: Clock
) -> None:
    call = {"type": "procedure", "procedure": "inner", "input": {"v": ["${input.v}"]}}
    await house.define({"a": {"action": do("never"), "transitions": [{"to": "ok"}]}}, name="inner")
    await house.define({"a": {"action": call, "transitions": [{"to": "ok"}]}})
    run = await house.start(v=nested(MOST_NESTED - 1))
    told = await house.ended(run)
    assert (told["status"], told["error"]["kind"]) == ("failed", "child")
    assert "nested" in told["error"]["message"]


async def test_an_input_that_is_nested_too_deeply_begins_nothing(house: Any, autojump_clock: Clock) -> None:
    await house.define({"a": {"action": do("never"), "transitions": [{"to": "ok"}]}})
    with pytest.raises(InvalidArguments, match="the input is nested more than 100 deep"):
        await house.start(v=nested(MOST_NESTED))
    assert house.hand.done == []


@pytest.mark.parametrize("key", [None, "one"])
async def test_an_event_whose_data_are_nested_too_deeply_is_refused_and_the_run_goes_on(
    house: Any, autojump_clock: Clock, key: str | None
) -> None:
    await house.define(
        {"a": {"action": {"type": "await", "events": ["go"]}, "transitions": [{"event": "go", "to": "ok"}]}}
    )
    run = await house.start()
    for deep in (MOST_NESTED, 400):
        with pytest.raises(InvalidArguments, match="the data are nested more than 100 deep"):
            await house.data("signal", run=run, event="go", data={"v": nested(deep)}, key=key)
    told = await house.data("signal", run=run, event="go", data={"v": nested(MOST_NESTED - 1)}, key=key)
    assert told["status"] == "completed"
    with pytest.raises(Conflict):
        await house.data("signal", run=run, event="stop", key="two")
