"""Questions to an embedder: asked once, waited for a little, and no answer is lost that comes late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import trio
import trio.testing

from mimo.embedding.box import Box
from mimo.embedding.embedder import Vectors
from mimo.embedding.ollama import ollama
from mimo.embedding.openai import openai
from mimo.embedding.questions import PATIENCE, SHARE, Questions, once
from mimo.embedding.remote import MOST_QUESTIONS
from mimo.errors import Busy, TooSlow, Unavailable

from .conftest import DIM, Said, standing_in

pytestmark = pytest.mark.vectors


class Slow:
    """Answers after so many seconds, or with this error."""

    model = "slow"

    def __init__(self, seconds: float, error: Exception | None = None) -> None:
        self.seconds, self.error, self.answered = seconds, error, 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        await trio.sleep(self.seconds)
        self.answered += 1
        if self.error is not None:
            raise self.error
        return np.ones((len(texts), 3), np.float32)


@pytest.mark.parametrize("runs", [True, False])
async def test_an_answer_in_time_is_given_and_a_late_one_is_not_waited_for(
    runs: bool, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    for seconds, in_time in [(0.5, True), (45.0, False)]:
        slow = Slow(seconds)
        questions = Questions(slow)
        if runs:
            await nursery.start(questions.run)
        began = trio.current_time()
        if in_time:
            assert (await questions.embed(["x"])).shape == (1, 3)
        else:
            with pytest.raises(TooSlow, match="slow took longer than 2 s"):
                await questions.embed(["x"])
        assert trio.current_time() - began == pytest.approx(min(seconds, PATIENCE))
        await trio.sleep(60)
        assert slow.answered == (runs or in_time), "it goes on where it has somebody to wait for it"
    nursery.cancel_scope.cancel()


async def test_who_has_less_time_waits_less(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    questions = Questions(Slow(45))
    await nursery.start(questions.run)
    with trio.fail_after(1), pytest.raises(TooSlow):
        await questions.embed(["x"])
    assert trio.current_time() == pytest.approx(SHARE)
    nursery.cancel_scope.cancel()


async def test_an_error_is_told_to_who_asked_and_a_late_one_to_nobody(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    for seconds, told in [(0.1, Unavailable), (5.0, TooSlow)]:
        questions = Questions(Slow(seconds, Unavailable("away")))
        await nursery.start(questions.run)
        with pytest.raises(told):
            await questions.embed(["x"])
        await trio.sleep(60)
    nursery.cancel_scope.cancel()


async def asking(questions: Questions, expected: type[Exception]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(questions.run)
        with pytest.raises(expected):
            await questions.embed(["x"])
        await trio.sleep(60)
        nursery.cancel_scope.cancel()


async def test_a_bug_is_never_silent(autojump_clock: trio.testing.MockClock) -> None:
    await asking(Questions(Slow(0.1, ZeroDivisionError())), ZeroDivisionError)
    with pytest.raises(ExceptionGroup) as raised:
        await asking(Questions(Slow(5, ZeroDivisionError())), TooSlow)
    assert raised.value.split(ZeroDivisionError)[1] is None


async def test_when_it_ends_nobody_waits_on(autojump_clock: trio.testing.MockClock) -> None:
    questions = Questions(Slow(1))
    async with trio.open_nursery() as outer:

        async def ask() -> None:
            with pytest.raises(Unavailable):
                await questions.embed(["x"])

        async with trio.open_nursery() as inner:
            await inner.start(questions.run)
            outer.start_soon(ask)
            await trio.sleep(0.5)
            inner.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(0.5)


@pytest.mark.parametrize("make", [ollama, openai])
async def test_asked_once_means_once_and_says_the_same_of_itself(make: type) -> None:
    async with standing_in() as there:
        embedder = make("m", there.url, dim=DIM)
        asked = once(embedder)
        assert (asked.model, asked.dim) == (embedder.model, DIM)
        there.faults = [Said(503)]
        with pytest.raises(Unavailable):
            await asked.embed(["x"])
        assert len(there.asked) == 1
        assert asked.state is embedder.state
        assert (await asked.embed(["x"])).shape == (1, DIM)
        assert asked.state is embedder.state


async def test_what_makes_no_second_try_is_what_it_is() -> None:
    await trio.lowlevel.checkpoint()
    box = Box()
    assert once(box) is box


async def test_too_many_questions_at_once_are_not_asked() -> None:
    async with standing_in() as there, trio.open_nursery() as nursery:
        there.faults = [Said(after=3600)] * MOST_QUESTIONS
        asked = once(ollama("m", there.url))
        for _ in range(MOST_QUESTIONS):
            nursery.start_soon(asked.embed, ["x"])
        with trio.fail_after(10):
            while len(there.asked) < MOST_QUESTIONS:
                await trio.testing.wait_all_tasks_blocked(0.005)
        with pytest.raises(Busy, match="has not answered 64 questions yet"):
            await asked.embed(["x"])
        nursery.cancel_scope.cancel()
