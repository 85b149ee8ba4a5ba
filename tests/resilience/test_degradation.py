"""The next best answer, and that it says so."""

from typing import Any

import pytest
import trio

from mimo.errors import InvalidArguments, Unavailable
from mimo.resilience import Breaker, Chain, Failed, Link, Served


async def best(text: str) -> str:
    return f"best {text}"


async def plain(text: str) -> str:
    return f"plain {text}"


ERROR = OSError("no route")


async def broken(text: str) -> str:
    raise ERROR


async def slow(text: str) -> str:
    await trio.sleep_forever()
    return text


async def test_the_best_answer_is_not_degraded(autojump_clock: Any) -> None:
    answer = await Chain("embed", [Link("model", best), Link("words", plain)]).call("x")
    assert answer == Served("best x", "model")
    assert not answer.degraded


async def test_the_next_best_says_who_failed_before(autojump_clock: Any) -> None:
    links = [Link("slow", slow, within=2), Link("model", broken), Link("words", plain), Link("never", broken)]
    answer = await Chain("embed", links).call("x")
    assert (answer.value, answer.link, answer.degraded) == ("plain x", "words", True)
    assert [failed.link for failed in answer.failed] == ["slow", "model"]
    assert isinstance(answer.failed[0].error, trio.TooSlowError)
    assert answer.failed[1] == Failed("model", ERROR)
    assert trio.current_time() == pytest.approx(2)


async def test_when_nobody_can_answer_all_reasons_are_told(autojump_clock: Any) -> None:
    with pytest.raises(
        Unavailable, match=r"embed: nobody could answer \(a: OSError: no route; b: OSError"
    ) as info:
        await Chain("embed", [Link("a", broken), Link("b", broken)]).call("x")
    assert info.value.__cause__ is ERROR


@pytest.mark.parametrize("error", [InvalidArguments("too long"), TypeError("bug")])
async def test_a_mistake_does_not_fall_through(error: Exception, autojump_clock: Any) -> None:
    async def mistaken(text: str) -> str:
        raise error

    with pytest.raises(type(error)):
        await Chain("embed", [Link("a", mistaken), Link("b", plain)]).call("x")


async def test_the_callers_cancellation_ends_the_chain(autojump_clock: Any) -> None:
    with trio.move_on_after(1) as scope:
        await Chain("embed", [Link("slow", slow), Link("words", plain)]).call("x")
    assert scope.cancelled_caught


async def test_behind_an_open_breaker_the_next_link_answers_at_once(autojump_clock: Any) -> None:
    breaker = Breaker("model", failures=1)

    async def guarded(text: str) -> str:
        return await breaker.call(broken, text)

    chain = Chain("embed", [Link("model", guarded), Link("words", plain)])
    await chain.call("x")
    answer = await chain.call("x")
    assert answer.link == "words"
    assert isinstance(answer.failed[0].error, Unavailable)


def test_a_chain_has_links_with_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="embed: a chain has links"):
        Chain("embed", [])
    with pytest.raises(ValueError, match="embed: a chain has links"):
        Chain("embed", [Link("a", best), Link("a", plain)])
