"""What clients watch of a skill's resources is watched there, whatever either of them speaks."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from mimo.services.skills.news import SkillStopped
from mimo.services.skills.skill import Patience

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]
URI = "fake://one"
ERAS = [(), ("modern",)]


async def seen_there(house: Any) -> set[str]:
    """What the skill knows to be watched; those who watch are told of it."""
    return set((await house.text("fake_touch")).split())


async def until_seen(house: Any, *uris: str) -> None:
    with trio.fail_after(20):
        while await seen_there(house) != set(uris):  # noqa: ASYNC110
            await trio.sleep(0.01)


async def told_of(client: Any, uri: str) -> None:
    with trio.fail_after(20):
        while True:
            message = await client.hear()
            if message.get("method") == "notifications/resources/updated":
                assert message["params"]["uri"] == uri
                return


@pytest.mark.parametrize("era", ERAS)
async def test_who_watches_a_skills_resource_is_told_that_it_changed(
    lot: Lot, fake: Fake, era: tuple[str, ...]
) -> None:
    async with lot(fake=fake(*era)) as house:
        await house.known("fake_touch")
        async with house.talking() as client:
            await client.hello()
            assert await seen_there(house) == set()
            await client.answer("resources/subscribe", {"uri": URI})
            await until_seen(house, URI)
            await told_of(client, URI)
            await client.answer("resources/subscribe", {"uri": "fake://two"})
            await until_seen(house, URI, "fake://two")
            await client.answer("resources/unsubscribe", {"uri": URI})
            await until_seen(house, "fake://two")
        await until_seen(house)  # it has left


async def test_a_modern_client_listens_through_us(lot: Lot, fake: Fake) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    async with lot(fake=fake()) as house, house.talking() as client:
        await house.known("fake_touch")
        wanted = {"notifications": {"resourceSubscriptions": [URI, "mimo://status"]}, "_meta": meta}
        listening = await client.ask("subscriptions/listen", wanted)
        await until_seen(house, URI)
        await told_of(client, URI)
        await client.say(method="notifications/cancelled", params={"requestId": listening})
        await until_seen(house)


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_watched_is_watched_again_after_a_crash_and_keeps_the_skill_awake(
    lot: Lot, fake: Fake, era: tuple[str, ...]
) -> None:
    async with lot(Patience(call=10, start=10, idle=0.2, drain=5), fake=fake(*era)) as house:
        await house.known("fake_touch")
        skill = house.service.skills["fake"]
        await house.until(lambda: skill.state == "asleep")
        async with house.talking() as client:
            await client.hello()
            await client.answer("resources/subscribe", {"uri": URI})
            await house.until(lambda: skill.state == "running")
            stopped = len(house.told(SkillStopped))
            await client.ask("tools/call", {"name": "fake_die", "arguments": {}})
            await house.until(lambda: skill.state != "running")
            await house.until(lambda: skill.state == "running")
            await until_seen(house, URI)
            await told_of(client, URI)
            awake_until = trio.current_time() + 0.4  # twice as long as is idle
            await house.until(lambda: trio.current_time() > awake_until)
            assert [each.reason == "idle" for each in house.told(SkillStopped)[stopped:]] == [False]
        await house.until(lambda: skill.state == "asleep")
