"""Calls of skills' tools by a client on a pipe that no task of ours runs, and those that a task takes up on the way."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from mimo.errors import Unavailable
from mimo.observability.news import ToolCalled
from mimo.services.skills.skill import Patience
from mimo.tool import Call, Capacity, Client

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]


class Spawned(trio.abc.Instrument):
    """The names of all tasks that were begun."""

    def __init__(self) -> None:
        self.names = list[str]()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)

    @property
    def calls(self) -> int:
        return sum(name.startswith("tools/call") for name in self.names)


@pytest.fixture
def spawned() -> Any:
    return Spawned()


def flying(house: Any) -> int:
    return house.dispatch.loads()[Capacity.OUTSIDE].running


async def heard(client: Any) -> dict[str, Any]:
    """The next message that is no notification."""
    while "id" not in (message := await client.hear()):
        pass
    return message


async def awake(house: Any, client: Any, *tools: str) -> None:
    await house.known("fake_echo", *tools)
    await client.hello()
    await house.service.skills["fake"].connected()


async def test_a_short_call_needs_no_task_and_is_counted_like_any_other(
    lot: Lot, fake: Fake, spawned: Spawned
) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client)
        trio.lowlevel.add_instrument(spawned)
        answer = await client.answer("tools/call", {"name": "fake_echo", "arguments": {"text": "x"}})
        trio.lowlevel.remove_instrument(spawned)
        assert answer["result"]["content"][0]["text"] == "x"
        assert spawned.calls == 0
        assert [(told.tool, told.outcome) for told in house.told(ToolCalled)] == [("fake_echo", "ok")]
        assert house.dispatch.loads()[Capacity.OUTSIDE].entered == 1
        assert flying(house) == house.desk.sessions.in_flight == 0
        assert house.service.skills["fake"].calls == 1


async def test_what_cannot_be_passed_on_is_told_in_the_same_words(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client)
        unknown = await client.answer("tools/call", {"name": "fake_ecko", "arguments": {}})
        assert "did you mean 'fake_echo'" in unknown["error"]["message"]
        no = await client.answer("tools/call", {"name": "fake_fail", "arguments": {}})
        assert no["result"]["isError"] is True
        assert "no, and this is why" in no["result"]["content"][0]["text"]
        assert [told.outcome for told in house.told(ToolCalled)] == ["unknown_tool", "skill_refused"]
        assert house.service.skills["fake"].breaker.state.value == "closed"


async def test_a_call_that_is_called_off_is_cancelled_in_the_skill_and_not_answered(
    lot: Lot, fake: Fake, spawned: Spawned
) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep")
        trio.lowlevel.add_instrument(spawned)
        number = await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 15}})
        await house.until(lambda: flying(house) == 1)
        assert house.desk.sessions.in_flight == 1
        await client.say(method="notifications/cancelled", params={"requestId": number})
        await house.until(lambda: flying(house) == 0)
        trio.lowlevel.remove_instrument(spawned)
        assert spawned.calls == 0
        assert house.desk.sessions.in_flight == house.service.skills["fake"].busy == 0
        assert [told.outcome for told in house.told(ToolCalled)] == ["cancelled"]
        await client.answer("ping", {})
        assert not any("result" in each for each in client.told)


async def test_the_calls_of_a_client_that_leaves_are_called_off(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        async with house.talking() as client:
            await awake(house, client, "fake_sleep")
            await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 15}})
            await house.until(lambda: flying(house) == 1)
        assert flying(house) == house.desk.sessions.in_flight == house.service.skills["fake"].busy == 0
        assert [told.outcome for told in house.told(ToolCalled)] == ["cancelled"]
        assert await house.text("fake_echo", text="still here") == "still here"


async def test_a_call_whose_skill_tells_how_far_it_is_is_taken_up_and_sent_and_counted_once(
    lot: Lot, fake: Fake, spawned: Spawned
) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_count")
        trio.lowlevel.add_instrument(spawned)
        params = {"name": "fake_count", "arguments": {"to": 3}, "_meta": {"progressToken": "mine"}}
        answer = await client.answer("tools/call", params)
        trio.lowlevel.remove_instrument(spawned)
        assert spawned.calls == 1
        assert answer["result"]["content"][0]["text"] == "counted"
        told = [each["params"]["progress"] for each in client.told if "params" in each]
        assert told == [1, 2, 3]
        assert [told.outcome for told in house.told(ToolCalled)] == ["ok"]
        assert house.service.skills["fake"].calls == 1
        assert flying(house) == house.desk.sessions.in_flight == 0


async def test_a_call_that_is_taken_up_is_timed_from_its_beginning(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_count")
        arguments = {"to": 1, "after": 0.3}
        params = {"name": "fake_count", "arguments": arguments, "_meta": {"progressToken": "mine"}}
        await client.answer("tools/call", params)
        [told] = house.told(ToolCalled)
        assert 0.3 <= told.seconds < 10


async def counting(house: Any, client: Any) -> int:
    """A call that is on its way, and will be taken up when its skill tells how far it is."""
    params = {"name": "fake_count", "arguments": {"to": 1, "after": 0.3}, "_meta": {"progressToken": "mine"}}
    number = await client.ask("tools/call", params)
    await house.until(lambda: flying(house) == 1)
    return number


async def test_a_call_that_is_taken_up_goes_on_with_its_skill_even_if_that_is_replaced_meanwhile(
    lot: Lot, fake: Fake
) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_count")
        number = await counting(house, client)
        before = house.service.skills["fake"]
        house.declare(fake=fake("changed"))
        await house.service.reload()
        answer = await heard(client)
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (number, "counted")
        assert (before.calls, house.service.skills["fake"].calls) == (1, 0)
        assert flying(house) == house.desk.sessions.in_flight == 0


async def test_a_call_that_is_taken_up_goes_on_even_if_its_skill_is_left_alone_meanwhile(
    lot: Lot, fake: Fake
) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_count")
        breaker = house.service.skills["fake"].breaker
        number = await counting(house, client)
        for _ in range(5):
            breaker.over(breaker.admit(), Unavailable("ill"))
        answer = await heard(client)
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (number, "counted")
        assert breaker.state.value == "open"


async def test_a_call_of_another_door_with_the_same_id_is_another_call(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep")
        await client.answer("tools/call", {"name": "fake_echo", "arguments": {"text": "x"}})
        following = f"{int(house.told(ToolCalled)[-1].call, 16) + 1:x}"
        number = await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 0.3}})
        await house.until(lambda: flying(house) == 1)
        other = await house.dispatch.call("fake_echo", {"text": "mine"}, Call(following, Client()))
        assert other.as_text() == "mine"
        answer = await heard(client)
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (number, "slept")
        assert [told.call for told in house.told(ToolCalled)][1:] == [following, following]
        assert flying(house) == house.desk.sessions.in_flight == 0


async def test_a_taken_up_call_can_still_be_called_off(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_ask")
        await client.hello(elicitation={})
        number = await client.ask("tools/call", {"name": "fake_ask", "arguments": {}})
        question = await heard(client)
        assert question["method"] == "elicitation/create"
        assert house.desk.sessions.in_flight == 1
        await client.say(method="notifications/cancelled", params={"requestId": number})
        await house.until(lambda: flying(house) == 0)
        assert house.desk.sessions.in_flight == house.service.skills["fake"].busy == 0
        assert [told.outcome for told in house.told(ToolCalled)] == ["cancelled"]


async def test_a_skill_that_does_not_answer_a_passed_call_is_too_slow_and_left_alone_in_the_end(
    lot: Lot, fake: Fake
) -> None:
    async with lot(Patience(call=0.1, start=10, drain=5), fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep")
        for _ in range(5):
            late = await client.answer("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 1}})
            assert "did not answer within 0.1 s" in late["result"]["content"][0]["text"]
        left = await client.answer("tools/call", {"name": "fake_sleep", "arguments": {}})
        assert "keeps failing" in left["result"]["content"][0]["text"]
        assert [told.outcome for told in house.told(ToolCalled)] == [*["too_slow"] * 5, "unavailable"]


async def test_a_skill_that_dies_fails_the_calls_that_are_on_their_way(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep", "fake_die")
        for _ in range(3):
            await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 15}})
        await house.until(lambda: flying(house) == 3)
        dead = await client.answer("tools/call", {"name": "fake_die", "arguments": {}})
        others = [each["result"] for each in client.told if "result" in each]
        while len(others) < 3:
            others.append((await heard(client))["result"])
        assert all(each["isError"] for each in [dead["result"], *others])
        assert flying(house) == house.desk.sessions.in_flight == 0


async def test_more_calls_than_there_are_places_wait_and_all_are_answered(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep")
        asked = {
            await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 0.3}})
            for _ in range(40)
        }
        await house.until(lambda: house.dispatch.loads()[Capacity.OUTSIDE].waiting > 0)
        assert flying(house) == house.dispatch.loads()[Capacity.OUTSIDE].limit
        assert {(await heard(client))["id"] for _ in asked} == asked
        assert flying(house) == house.desk.sessions.in_flight == 0


async def test_a_drain_waits_for_a_call_that_is_on_its_way(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await awake(house, client, "fake_sleep")
        number = await client.ask("tools/call", {"name": "fake_sleep", "arguments": {"seconds": 0.3}})
        await house.until(lambda: flying(house) == 1)
        await house.desk.sessions.drain()
        assert flying(house) == 0
        assert (await heard(client))["id"] == number
