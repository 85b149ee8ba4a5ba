"""An event that is sent again under its key is one event: nobody approves twice who approved once."""

from __future__ import annotations

from typing import Any

import pytest
from trio.abc import Clock

from mimo.errors import Conflict
from mimo.tool import Call

ENDS = [{"event": "rejected", "to": "bad"}]
TWICE: dict[str, Any] = {
    "a": {
        "action": {"type": "await", "approval": "The first?"},
        "transitions": [{"event": "approved", "to": "b"}, *ENDS],
    },
    "b": {
        "action": {"type": "await", "approval": "The second, production?"},
        "transitions": [{"event": "approved", "to": "ok"}, *ENDS],
    },
}


async def test_an_approval_that_is_sent_twice_under_one_key_approves_once(
    idle: Any, autojump_clock: Clock
) -> None:
    async with idle.running():
        await idle.define(TWICE)
        run = await idle.start()
        for _ in range(2):
            told = await idle.data("signal", run=run, event="approved", key="one")
            assert (told["outcome"], told["state"]) == ("taken", "b")
    async with idle.restarted():
        assert (await idle.data("signal", run=run, event="approved", key="one"))["state"] == "b"
        assert (await idle.data("signal", run=run, event="approved", key="two"))["status"] == "completed"
        lines = len(await idle.lines(run))
        assert (await idle.data("signal", run=run, event="approved", key="two"))["outcome"] == "taken"
        assert len(await idle.lines(run)) == lines
        with pytest.raises(Conflict, match="comes too late"):
            await idle.data("signal", run=run, event="approved", key="three")


async def test_the_key_may_come_with_the_call_and_is_its_clients_own(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define(TWICE)
    run = await house.start()
    for _ in range(2):
        await house.call("signal", Call("1", house.client, key="one"), run=run, event="approved")
    assert (await house.data("status", run=run))["state"] == "b"


async def test_what_was_kept_is_kept_once_and_a_key_is_for_one_event(
    house: Any, autojump_clock: Clock
) -> None:
    await house.define({"a": {"action": {"type": "wait", "seconds": 900}, "transitions": [{"to": "ok"}]}})
    run = await house.start()
    for _ in range(3):
        assert (await house.data("signal", run=run, event="go", key="one"))["outcome"] == "kept"
    assert (await house.kinds(run)).count("kept") == 1
    with pytest.raises(Conflict, match="under this key the run was sent 'go'"):
        await house.data("signal", run=run, event="stop", key="one")
    assert (await house.data("signal", run=run, event="go"))["outcome"] == "kept"
    assert (await house.kinds(run)).count("kept") == 2
