"""Less trodden ways: clocks that jump, letters that come early, arguments that cannot be made, a disk that is away."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.abc import Clock as TrioClock

from mimo.errors import Conflict, StorageFull, Unavailable
from mimo.services.procedures.clock import Clock
from mimo.services.procedures.shapes import misfits, unknown_words
from mimo.services.procedures.timers import Timers
from mimo.storage.sql import run as execute


def do(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": "work", "arguments": {"what": what}, **more}


def to(*names: str) -> list[dict[str, str]]:
    return [{"to": each} for each in names]


def test_the_clock_goes_ahead_with_the_wall_and_never_back() -> None:
    wall, steady = 1_000_000_000_000, 0
    clock = Clock(lambda: wall, lambda: steady)
    assert clock() == 1_000_000
    wall, steady = wall + 5_000_000, steady + 5_000_000
    assert clock() == 1_000_005
    wall, steady = wall - 3_600_000_000_000, steady + 1_000_000_000  # set back by an hour
    assert clock() == 1_001_005
    wall += 7_200_000_000_000  # the laptop has slept
    assert clock() == 4_600_005


async def test_timers_ring_in_order_once_and_follow_their_changes(autojump_clock: TrioClock) -> None:
    rung: list[tuple[int, float]] = []
    timers = Timers(
        lambda: round(trio.current_time() * 1000), lambda id_: rung.append((id_, trio.current_time()))
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.set(1, 50_000)
        timers.set(2, 10_000)
        timers.set(3, 20_000)
        timers.set(3, None)
        timers.set(1, 15_000)
        for n in range(500):  # as a run that is often put off does
            timers.set(4, 60_000 + n)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert [id_ for id_, _ in rung] == [2, 1, 4]
    assert rung[0][1] == pytest.approx(10, abs=0.01)
    assert len(timers) == 0


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "b": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "c": {"type": "string", "minLength": 2, "maxLength": 3},
        "d": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "e": {"const": 5},
        "f": {"enum": ["x", "y"]},
        "g": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "h": {"type": ["string", "null"]},
        "i": {"type": "integer", "minimum": 1, "maximum": 2},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": "x"}, "v.a must be integer, not a text"),
        ({"b": []}, "v.b has at least 1 items"),
        ({"b": ["1", "2", "3"]}, "v.b has at most 2 items"),
        ({"b": [1]}, "v.b[0] must be string"),
        ({"c": "x"}, "v.c has at least 2 characters"),
        ({"c": "xxxx"}, "v.c has at most 3"),
        ({"d": 0}, "v.d must be over 0"),
        ({"d": 1}, "v.d must be under 1"),
        ({"e": 6}, "v.e must be 5"),
        ({"f": "z"}, "v.f must be one of x, y"),
        ({"g": {"k": 1}}, "v.g.k must be boolean"),
        ({"h": 1}, "v.h must be string or null"),
        ({"i": 0}, "v.i must be at least 1"),
        ({"i": 3}, "v.i must be at most 2"),
        ({"z": 1}, "v has no 'z'"),
    ],
)
def test_what_does_not_fit_a_schema_is_told(value: Any, problem: str) -> None:
    (told,) = misfits(SCHEMA, value, "v")
    assert told.startswith(problem)


def test_what_fits_a_schema_fits_and_schemas_that_say_more_are_refused() -> None:
    good = {
        "a": None,
        "b": ["x"],
        "c": "ab",
        "d": 0.5,
        "e": 5.0,
        "f": "x",
        "g": {"k": True},
        "h": None,
        "i": 2.0,
    }
    assert list(misfits(SCHEMA, good, "v")) == []
    assert list(unknown_words(SCHEMA, "input")) == []
    for wrong in (5, {"required": 1}, {"properties": 1}, {"minimum": "1"}, {"items": 5}, {"anyOf": [1]}):
        assert list(unknown_words(wrong, "input"))


async def test_a_wait_may_last_until_a_time(house: Any, autojump_clock: TrioClock) -> None:
    action = {"type": "wait", "until": "${input.at}"}
    await house.define({"a": {"action": action, "transitions": to("ok")}})
    run = await house.start(at="2030-03-17T17:48:40")
    assert (await house.ended(run))["status"] == "completed"
    assert 110 < trio.current_time() < 125
    for at in ("tomorrow", "2030-02-31", 5):
        told = await house.ended(await house.start(at=at))
        assert (told["status"], told["error"]["kind"]) == ("failed", "template")


async def test_what_only_computes_goes_through_at_once_and_can_be_taken_back(
    house: Any, autojump_clock: TrioClock
) -> None:
    await house.define(
        {
            "a": {
                "action": {"type": "set", "values": {"n": "${input.n + 1}"}},
                "transitions": to("b"),
                "compensate": {"action": {"type": "log", "message": "unset ${n}"}},
            },
            "b": {"action": {"type": "log", "message": "n is ${n}"}, "transitions": to("c")},
            "c": {
                "action": {"type": "fail", "message": "because of ${n}", "kind": "counted"},
                "transitions": [{"event": "error", "to": "d", "guard": "error.kind != 'counted'"}],
            },
            "d": {"terminal": "success"},
        }
    )
    run = await house.start(n=1)
    told = await house.ended(run)
    assert (told["status"], told["error"]) == ("rolled_back", {"kind": "counted", "message": "because of 2"})
    logged = [
        line["detail"] for line in (await house.data("history", run=run))["history"] if line["kind"] == "log"
    ]
    assert logged == ["n is 2", "unset 2"]


async def test_a_letter_that_came_early_is_there_when_it_is_asked_for(
    house: Any, autojump_clock: TrioClock
) -> None:
    held = house.hand.hold("one")
    branches = {
        "x": {"action": {"type": "await", "events": ["go"]}},
        "y": {"action": {"type": "await", "events": ["on"]}},
    }
    await house.define(
        {
            "a": {"action": do("one"), "transitions": to("both")},
            "both": {"action": {"type": "parallel", "branches": branches}, "transitions": to("c")},
            "c": {
                "action": {"type": "wait", "seconds": 500},
                "transitions": [
                    {"to": "late"},
                    {"event": "skip", "to": "ok", "guard": "event.data.n > 5"},
                ],
            },
            "late": {"action": do("late"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    await house.hand.begun["one"].wait()
    for event, data in (("on", {}), ("go", {}), ("skip", {"n": "six"}), ("skip", {"n": 6})):
        await house.data("signal", run=run, event=event, data=data)
    held.set()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["one"]
    assert trio.current_time() < 400
    assert (await house.kinds(run)).count("blocked") == 1


async def test_arguments_that_cannot_be_made_fail_a_branch_and_hold_up_a_way_back(
    house: Any, autojump_clock: TrioClock
) -> None:
    branches = {"x": {"action": do("${input.nobody}")}, "y": {"action": do("y")}}
    await house.define({"a": {"action": {"type": "parallel", "branches": branches}, "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "template")
    house.hand.fail("b", Conflict("no"))
    house.hand.answers["a"] = {"id": None}
    await house.define(
        {
            "a": {
                "action": do("a"),
                "transitions": to("b"),
                "compensate": {"action": do("not ${result.name}")},
            },
            "b": {"action": do("b"), "transitions": to("ok")},
        },
        name="back",
    )
    run = await house.start("back")
    assert (await house.ended(run))["status"] == "needs_attention"
    assert (await house.data("retry", run=run))["status"] == "needs_attention"
    await house.data("signal", run=run, event="done")
    assert (await house.ended(run))["status"] == "rolled_back"


async def test_an_output_that_cannot_be_made_is_none_and_is_told(
    house: Any, autojump_clock: TrioClock
) -> None:
    await house.define(
        {"a": {"transitions": to("end")}, "end": {"terminal": "success", "output": "${input.nobody}"}}
    )
    run = await house.start()
    told = await house.ended(run)
    assert (told["status"], told["output"]) == ("completed", None)
    assert "failed" in await house.kinds(run)


async def test_while_the_database_is_away_what_happened_is_kept_and_saved_later(
    house: Any, autojump_clock: TrioClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = house.hand.hold("one")
    await house.define({"a": {"action": do("one"), "transitions": to("ok")}})
    run = await house.start()
    await house.hand.begun["one"].wait()
    write = house.database.write
    away = [Unavailable("away"), StorageFull("full"), Unavailable("away")]

    async def refusing(*args: Any, **more: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if away:
            raise away.pop(0)
        return await write(*args, **more)

    monkeypatch.setattr(house.database, "write", refusing)
    held.set()
    assert (await house.ended(run))["status"] == "completed"
    assert away == []
    other = await house.start("job")
    await house.ended(other)


async def test_an_answer_that_was_lost_though_it_was_saved_is_found_out(
    house: Any, autojump_clock: TrioClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = house.hand.hold("one")
    await house.define(
        {
            "a": {"action": do("one"), "transitions": to("b")},
            "b": {"action": do("two"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    await house.hand.begun["one"].wait()
    write = house.database.write
    lost = [Unavailable("the commit's answer was lost")]

    async def losing(*args: Any, **more: Any) -> Any:
        done = await write(*args, **more)
        if lost:
            raise lost.pop()
        return done

    monkeypatch.setattr(house.database, "write", losing)
    held.set()
    assert (await house.ended(run))["status"] == "completed"
    assert house.hand.done == ["one", "two"]


async def test_while_the_disk_is_full_a_request_is_refused_and_changes_nothing(
    house: Any, autojump_clock: TrioClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = {"type": "await", "events": ["go"]}
    await house.define(
        {
            "a": {"action": wait, "transitions": [{"event": "go", "to": "b"}]},
            "b": {"action": do("one"), "transitions": to("ok")},
        }
    )
    run = await house.start()
    write = house.database.write

    async def full(*args: Any, **more: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise StorageFull("full")

    monkeypatch.setattr(house.database, "write", full)
    with pytest.raises(StorageFull):
        await house.data("signal", run=run, event="go")
    monkeypatch.setattr(house.database, "write", write)
    assert house.parts.runner.places.running == 0
    assert (await house.data("status", run=run))["state"] == "a"
    await house.data("signal", run=run, event="go")
    assert (await house.ended(run))["status"] == "completed"


FAR = ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.9999Z", "0001-01-01T00:00:00+14:00"]


@pytest.mark.parametrize("until", FAR)
async def test_a_time_that_no_calendar_has_is_no_time_to_wait_for(
    house: Any, autojump_clock: TrioClock, until: str
) -> None:
    wait = {"type": "wait", "until": "${input.until}"}
    await house.define({"a": {"action": wait, "transitions": to("ok")}})
    told = await house.ended(await house.start(until=until))
    assert (told["status"], told["error"]["kind"]) == ("failed", "template")
    assert "from the year 1 to the year 9999" in told["error"]["message"]


async def test_the_last_second_of_the_calendar_may_be_waited_for(
    house: Any, autojump_clock: TrioClock
) -> None:
    last = "9999-12-31T23:59:59.000Z"
    await house.define({"a": {"action": {"type": "wait", "until": last}, "transitions": to("ok")}})
    run = await house.start()
    assert (await house.data("status", run=run))["waits_for"][0]["until"] == last


async def test_seconds_that_lead_past_the_calendar_are_refused_too(
    house: Any, autojump_clock: TrioClock
) -> None:
    house.set_back = house.clock() - (253_402_300_799_999 - 60_000)  # it is a minute before the end
    await house.define({"a": {"action": {"type": "wait", "seconds": 3_600}, "transitions": to("ok")}})
    told = await house.ended(await house.start())
    assert (told["status"], told["error"]["kind"]) == ("failed", "template")


async def test_a_run_that_waits_for_a_time_past_the_calendar_can_be_read(
    idle: Any, autojump_clock: TrioClock
) -> None:
    """As runs of before may."""
    async with idle.running():
        await idle.define({"a": {"action": {"type": "wait", "seconds": 9}, "transitions": to("ok")}})
        run = await idle.start()
    await idle.database.write(_wait_for_ever, int(run[1:]))
    async with idle.restarted():
        assert "waiting until after the year 9999" in await idle.text("status", run=run)
        (waits,) = (await idle.data("status", run=run))["waits_for"]
        assert waits["until"] == "after the year 9999"


def _wait_for_ever(db: Any, id_: int) -> None:
    far = 253_402_344_000_000
    execute(
        db,
        "UPDATE procedure_executions SET wake_at = ?, run = json_set(run, '$.activities[0].due', ?) WHERE id = ?",
        (far, far, id_),
    )
