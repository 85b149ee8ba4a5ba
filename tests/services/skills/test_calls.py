"""Calls of skills' tools, through dispatch and to a client on a pipe."""

import json
import resource
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from mimo.errors import InvalidArguments, TooSlow, Unavailable, UnknownTool
from mimo.observability.news import ToolCalled
from mimo.services.skills.exchange import Refused
from mimo.services.skills.skill import Patience
from mimo.tool import Call, Client

Lot = Callable[..., AbstractAsyncContextManager[Any]]
Fake = Callable[..., dict[str, Any]]
META = "io.modelcontextprotocol/"
MODERN = {
    f"{META}protocolVersion": "2026-07-28",
    f"{META}clientCapabilities": {"elicitation": {"form": {}}},
    f"{META}clientInfo": {"name": "test", "version": "1"},
}


async def test_a_tool_of_a_skill_answers_under_the_skills_prefix(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_echo")
        assert await house.text("fake_echo", text="hello") == "hello"


async def test_an_answer_is_forwarded_with_all_that_we_do_not_understand(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await house.known("fake_echo")
        await client.hello()
        answer = await client.answer("tools/call", {"name": "fake_echo", "arguments": {"text": "x"}})
        result = answer["result"]
        assert result["x-more"] == {"deep": [1]}
        assert result["content"][0] == {"type": "text", "text": "x", "x-unknown": [1.5, None]}
        assert result["content"][1] == {"type": "x-new", "data": 1}


async def test_a_definition_is_listed_word_for_word_under_our_name(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake(expose=True)) as house, house.talking() as client:
        await house.known("fake_echo")
        await client.hello()
        listed = (await client.answer("tools/list", {}))["result"]["tools"]
        echo = next(tool for tool in listed if tool["name"] == "fake_echo")
        assert echo["x-of-its-own"] == {"kept": True}
        assert echo["_meta"] == {"mimo/skill": "fake", "mimo/name": "echo"}
        odd = next(tool for tool in listed if tool.get("_meta", {}).get("mimo/name") == "odd.name/of a tool")
        assert odd["name"].startswith("fake_odd_name_of_a_tool_")
        assert (await house.text(odd["name"])) == "called odd.name/of a tool"


async def test_a_skills_tools_are_not_in_the_list_unless_it_is_exposed(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_echo")
        assert [tool.name for tool in house.toolbox.listed()] == ["gateway_find_tools", "gateway_call"]


async def test_calls_run_side_by_side(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_sleep")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(lambda: house.call("fake_sleep", seconds=0.3))
        assert trio.current_time() - began < 1.5


async def test_progress_reaches_the_client_that_wants_it(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await house.known("fake_count")
        await client.hello()
        params = {"name": "fake_count", "arguments": {"to": 3}, "_meta": {"progressToken": "mine"}}
        await client.answer("tools/call", params)
        told = [each["params"] for each in client.told if each["method"] == "notifications/progress"]
        assert [each["progress"] for each in told] == [1, 2, 3]
        assert told[0] == {"progressToken": "mine", "progress": 1, "total": 3, "message": "at 1"}


async def test_a_cancelled_call_is_cancelled_in_the_skill(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_sleep")
        await house.service.skills["fake"].connected()
        with trio.move_on_after(0.2):
            await house.call("fake_sleep", seconds=5)
        skill = house.service.skills["fake"]
        await house.until(lambda: any("cancelled" in line for line in skill.words.lines))
        assert skill.busy == 0
        assert house.told(ToolCalled)[-1].outcome == "cancelled"


async def test_a_call_that_takes_too_long_is_ended(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake(timeout=0.2)) as house:
        await house.known("fake_sleep")
        with pytest.raises(TooSlow, match=r"within 0\.2 s"):
            await house.call("fake_sleep", seconds=5)


async def test_a_skill_that_says_no_is_quoted_and_not_left_alone_for_it(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_fail")
        for _ in range(7):
            with pytest.raises(Refused, match="no, and this is why"):
                await house.call("fake_fail")
        assert await house.text("fake_echo", text="still there") == "still there"


async def test_a_skill_sees_none_of_the_daemons_environment_but_what_its_file_lists(
    lot: Lot, fake: Fake
) -> None:
    env = {"TOKEN": "x ${WANTED}"}
    async with lot(fake=fake(env=env, variables=["WANTED"])) as house:
        await house.known("fake_environment")
        seen = json.loads(await house.text("fake_environment"))
        assert seen["TOKEN"] == "x wanted value"
        assert "HOME" in seen
        assert not {"UNWANTED", "MIMO_KEY", "WANTED"} & set(seen)


async def test_a_crash_in_the_middle_of_an_answer_fails_this_call_and_the_next_one_works(
    lot: Lot,
    fake: Fake,
) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_die")
        with pytest.raises(Unavailable, match="ended") as raised:
            await house.call("fake_die")
        assert raised.value.retry
        assert await house.text("fake_echo", text="again") == "again"


async def test_a_line_without_an_end_fails_the_call_and_nothing_else(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_huge")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(Refused, match="too long"):
            await house.call("fake_huge", size=100_000_000)
        assert await house.text("fake_echo", text="still the same process") == "still the same process"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB, of 100 MB


async def test_a_second_answer_is_dropped(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_twice")
        assert await house.text("fake_twice") == "first"
        assert await house.text("fake_echo", text="x") == "x"
        assert any("nobody waits for" in line for line in house.service.skills["fake"].words.lines)


async def test_a_long_answer_is_cut_and_its_rest_is_a_resource(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake(), cap=1000) as house, house.talking() as client:
        await house.known("fake_long")
        await client.hello()
        answer = await client.answer("tools/call", {"name": "fake_long", "arguments": {"size": 2500}})
        cut, told, link = answer["result"]["content"]
        assert len(cut["text"]) == 1000
        assert link["uri"] in told["text"]
        part = (await client.answer("resources/read", {"uri": link["uri"]}))["result"]["contents"][0]["text"]
        assert part.startswith("x" * 1000)
        following = part.partition("more: ")[2].removesuffix(")")
        rest = (await client.answer("resources/read", {"uri": following}))["result"]["contents"][0]["text"]
        assert rest == "x" * 500
        assert "error" in await client.answer("resources/read", {"uri": following[:-1] + "3"})


async def test_a_program_gets_a_long_answer_whole(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake(), cap=1000) as house:
        await house.known("fake_long")
        call = Call("1", Client(namespace="here"), whole=True)
        answer = await house.dispatch.call("fake_long", {"size": 2500}, call)
        assert answer.as_text() == "x" * 2500


@pytest.mark.parametrize("manner", ["modern", "legacy"])
async def test_a_question_is_asked_of_a_legacy_client_while_the_call_waits(
    lot: Lot, fake: Fake, manner: str
) -> None:
    async with lot(fake=fake(manner)) as house, house.talking() as client:
        await house.known("fake_ask")
        await client.hello(elicitation={})
        number = await client.ask("tools/call", {"name": "fake_ask"})
        while "id" not in (question := await client.hear()):
            pass  # that the list of tools is another one is told meanwhile
        assert question["method"] == "elicitation/create"
        await client.say(id=question["id"], result={"action": "accept", "content": {"name": "Ilse"}})
        while "id" not in (answer := await client.hear()):
            pass
        assert answer["id"] == number
        assert answer["result"]["content"][0]["text"].startswith("Hello Ilse")


@pytest.mark.parametrize("manner", ["modern", "legacy"])
async def test_a_question_is_the_answer_of_a_modern_client_that_tries_again(
    lot: Lot, fake: Fake, manner: str
) -> None:
    async with lot(fake=fake(manner)) as house, house.talking() as client:
        await house.known("fake_ask")
        params = {"name": "fake_ask", "arguments": {}, "_meta": MODERN}
        first = (await client.answer("tools/call", params))["result"]
        assert first["resultType"] == "input_required"
        (key,) = first["inputRequests"]
        said = {key: {"action": "accept", "content": {"name": "Ilse"}}}
        again = params | {"inputResponses": said, "requestState": first["requestState"]}
        second = (await client.answer("tools/call", again))["result"]
        assert second["content"][0]["text"].startswith("Hello Ilse")


async def test_what_a_client_cannot_be_asked_is_refused_to_the_skill(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await house.known("fake_ask")
        await client.hello()
        answer = await client.answer("tools/call", {"name": "fake_ask"})
        assert "does not offer elicitation" in answer["result"]["content"][0]["text"]


async def test_resources_prompts_and_completion_come_from_the_skill(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house, house.talking() as client:
        await house.known("fake_echo")
        await client.hello()
        listed = (await client.answer("resources/list", {}))["result"]["resources"]
        assert {"uri": "fake://one", "name": "one", "size": 3} in listed
        for uri in ("fake://one", "fake://of-the-template"):
            read = (await client.answer("resources/read", {"uri": uri}))["result"]["contents"]
            assert read == [{"uri": uri, "text": "what is in it", "x-unknown": True}]
        got = await client.answer("prompts/get", {"name": "fake_greet", "arguments": {"whom": "Ilse"}})
        assert got["result"]["messages"][0]["content"]["text"] == "Greet Ilse."
        ref = {"type": "ref/prompt", "name": "fake_greet"}
        asked = {"ref": ref, "argument": {"name": "whom", "value": "Il"}}
        assert (await client.answer("completion/complete", asked))["result"]["completion"]["values"] == [
            "Ilse"
        ]


async def test_a_new_tool_of_a_skill_is_told_to_clients_once(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake(expose=True)) as house, house.talking() as client:
        await house.known("fake_grow")
        await client.hello()
        await trio.sleep(0.2)
        await client.answer("ping", {})
        client.told.clear()
        await client.answer("tools/call", {"name": "fake_grow"})
        await house.known("fake_grown")
        await trio.sleep(0.2)
        await client.answer("ping", {})
        assert [each["method"] for each in client.told].count("notifications/tools/list_changed") == 1
        assert await house.text("fake_grown") == "called grown"


async def test_gateway_call_finds_its_way_and_calls_only_skills(lot: Lot, fake: Fake) -> None:
    async with lot(fake=fake()) as house:
        await house.known("fake_echo")
        said = await house.text("gateway_call", name="fake_echo", arguments={"text": "round"})
        assert said == "round"
        with pytest.raises(UnknownTool, match="fake_echo"):
            await house.text("gateway_call", name="fake_ecco")
        with pytest.raises(Exception, match="no tool of a skill"):
            await house.text("gateway_call", name="gateway_call")
        with pytest.raises(InvalidArguments):
            await house.text("gateway_call", name="fake_echo", arguments="text")


async def test_an_idle_skill_is_stopped_and_started_again_when_called(lot: Lot, fake: Fake) -> None:
    async with lot(patience=Patience(call=10, start=10, idle=0.3), fake=fake()) as house:
        await house.known("fake_pid")
        (first,) = json.loads(await house.text("fake_pid"))
        await house.until(lambda: not house.alive(first))
        assert house.service.skills["fake"].state == "asleep"
        (second,) = json.loads(await house.text("fake_pid"))
        assert second != first
