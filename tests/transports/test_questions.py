"""A handler asks its client in the middle of a call, in both eras' manner."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from mimo.transports import desk as desk_module
from mimo.transports.desk import Desk

MODERN = "2026-07-28"
Meet = Callable[..., Awaitable[Any]]

ANSWERS: dict[str, dict[str, Any]] = {
    "elicitation/create": {"action": "accept", "content": {"name": "Ada"}},
    "roots/list": {"roots": [{"uri": "file:///a"}]},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "w"}, "model": "m"},
}


async def answer(talker: Any, request: dict[str, Any], **said: Any) -> None:
    frame = {"jsonrpc": "2.0", "id": request["id"], **said}
    await talker.write(desk_module.results.encode(frame) + b"\n")


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
async def test_a_legacy_client_is_sent_requests_while_the_call_waits(meet: Meet, revision: str) -> None:
    talker = await meet(revision)
    call = await talker.send("tools/call", name="asks")
    asked: list[str] = []
    while (heard := await talker.hear()).get("id") != call:
        asked.append(heard["method"])
        await answer(talker, heard, result=ANSWERS[heard["method"]])
    assert asked == ["elicitation/create", "roots/list", "sampling/createMessage", "roots/list"]
    assert '"name": "Ada"' in heard["result"]["content"][0]["text"]


async def test_both_questions_of_one_moment_are_out_before_either_is_answered(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="asks")
    await answer(talker, await talker.hear(), result=ANSWERS["elicitation/create"])
    roots, word = await talker.hear(), await talker.hear()
    await answer(talker, word, result=ANSWERS["sampling/createMessage"])
    await answer(talker, roots, result=ANSWERS["roots/list"])
    assert (await talker.hear())["method"] == "roots/list"


async def test_a_refusal_of_the_client_reaches_the_handler_and_what_is_open_is_withdrawn(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    call = await talker.send("tools/call", name="asks")
    await answer(talker, await talker.hear(), result=ANSWERS["elicitation/create"])
    roots, word = await talker.hear(), await talker.hear()
    await answer(talker, roots, error={"code": -1, "message": "not today"})
    withdrawn, told = await talker.hear(), await talker.hear()
    assert withdrawn["params"] == {"requestId": word["id"]}
    assert told["id"] == call
    assert "not today" in told["result"]["content"][0]["text"]


async def test_a_cancelled_call_takes_its_questions_back(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    call = await talker.send("tools/call", name="asks")
    question = await talker.hear()
    await talker.note("notifications/cancelled", requestId=call)
    withdrawn = await talker.hear()
    assert (withdrawn["method"], withdrawn["params"]) == (
        "notifications/cancelled",
        {"requestId": question["id"]},
    )
    await answer(talker, question, result=ANSWERS["elicitation/create"])
    assert (await talker.ask("ping"))["result"] == {}


async def test_answers_to_nothing_are_ignored(meet: Meet) -> None:
    talker = await meet("2025-11-25")
    for identity in ("ask-1", "x", 5):
        await answer(talker, {"id": identity}, result={})
    assert (await talker.ask("ping"))["result"] == {}
    assert talker.notes == []


async def test_a_modern_client_tries_again_with_its_answers_until_all_are_there(meet: Meet) -> None:
    talker = await meet(MODERN)
    more: dict[str, Any] = {}
    asked: list[list[str]] = []
    for _ in range(4):
        result = (await talker.ask("tools/call", name="asks", arguments={}, **more))["result"]
        if result["resultType"] == "complete":
            break
        requests = result["inputRequests"]
        asked.append(sorted(requests))
        more = {
            "requestState": result["requestState"],
            "inputResponses": {key: ANSWERS[request["method"]] for key, request in requests.items()},
        }
    assert asked == [["who"], ["roots", "word"], ["question-1"]]
    assert '"name": "Ada"' in result["content"][0]["text"]


async def test_what_is_no_answer_is_asked_for_again(meet: Meet) -> None:
    talker = await meet(MODERN)
    for responses in ({"who": 5}, {"other": {}}, {}):
        result = (await talker.ask("tools/call", name="asks", inputResponses=responses))["result"]
        assert list(result["inputRequests"]) == ["who"]
    assert (await talker.ask("tools/call", name="asks", inputResponses=None))["error"]["code"] == -32602
    assert (await talker.ask("tools/call", name="asks", requestState=5))["error"]["code"] == -32602


async def test_a_state_opens_only_for_the_request_and_the_client_it_was_given_to(
    meet: Meet, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    talker = await meet(MODERN)
    responses = {"who": ANSWERS["elicitation/create"]}
    first = (await talker.ask("tools/call", name="asks", arguments={}))["result"]["requestState"]

    async def code(who: Any = talker, **changed: Any) -> int | None:
        params = {
            "name": "asks",
            "arguments": {},
            "requestState": first,
            "inputResponses": responses,
        } | changed
        return (await who.ask("tools/call", **params)).get("error", {}).get("code")

    assert await code() is None
    assert await code(_meta={"progressToken": 1}) is None
    assert await code(requestState=first + "AAAA") == -32602
    assert await code(requestState=("B" if first[0] == "A" else "A") + first[1:]) == -32602
    assert await code(requestState="") == -32602
    assert await code(requestState="ä") == -32602
    assert await code(name="echo") == -32602
    assert await code(arguments={"text": "x"}) == -32602
    stranger = await meet(MODERN, principal="somebody else")
    assert await code(stranger) == -32602
    now = desk.now()
    monkeypatch.setattr(desk, "now", lambda: now + 3600)
    assert await code() == -32602


@pytest.mark.parametrize(("revision", "code"), [("2025-11-25", None), (MODERN, -32021)])
async def test_what_a_client_does_not_offer_is_not_asked(meet: Meet, revision: str, code: int | None) -> None:
    talker = await meet(revision, capabilities={"roots": {}})
    said = await talker.call("asks")
    if code is None:
        assert said["result"]["isError"]
        assert "elicitation" in said["result"]["content"][0]["text"]
    else:
        assert said["error"]["code"] == code
        assert said["error"]["data"]["requiredCapabilities"] == {"elicitation": {}}


async def test_a_client_that_leaves_ends_the_call_that_waits_for_it(
    meet: Meet, autojump_clock: trio.testing.MockClock
) -> None:
    talker = await meet("2025-11-25")
    await talker.send("tools/call", name="asks")
    await talker.hear()
    talker.stream.send_stream.close()
    assert await talker.hear() is None
