"""A conversation: answered from memory, or passed on to a language model with what bears on it.

A model's name is a promise. `mimo` is the memory itself; any other name is the upstream's to know, and when that is
down nothing is said in its name: who wants the memory instead asks for `mimo`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trio

from mimo.errors import MimoError
from mimo.services.ask.asking import Asking
from mimo.services.ask.texts import answer_text, preface
from mimo.tool import Call

if TYPE_CHECKING:
    from mimo.services.ask.upstream import Upstream

NAME = "mimo"
SECONDS = 10.0
# The model's answer takes seconds; to remember something first may take a part of one of them.
SECONDS_BEFORE = 2.0


class Chatting:
    def __init__(self, asking: Asking, upstream: Upstream | None) -> None:
        self._asking = asking
        self._upstream = upstream

    @property
    def models(self) -> Sequence[str]:
        return (NAME,) if self._upstream is None else tuple(dict.fromkeys([NAME, self._upstream.model]))

    def passes_on(self, model: str) -> bool:
        """Whether this model is the upstream's."""
        return self._upstream is not None and model != NAME

    async def answer(self, question: str, before: Sequence[str], call: Call) -> str:
        """What is remembered of it. Raises: MimoError."""
        if not question.strip():
            return answer_text(())
        until = trio.current_time() + SECONDS
        return answer_text((await self._asking.gather(question, call, before, until=until)).pieces)

    async def pass_on(
        self,
        body: Mapping[str, Any],
        question: str,
        before: Sequence[str],
        call: Call,
        emit: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """The upstream's answer, byte by byte. Raises: MimoError, as `Upstream.pass_on`."""
        assert self._upstream is not None
        if told := await self._remembered(question, before, call):
            messages = list(body["messages"])
            # Behind the system messages that are there: those say what the conversation is.
            at = next((n for n, each in enumerate(messages) if each.get("role") != "system"), len(messages))
            body = {
                **body,
                "messages": [*messages[:at], {"role": "system", "content": told}, *messages[at:]],
            }
        await self._upstream.pass_on(body, emit)

    async def _remembered(self, question: str, before: Sequence[str], call: Call) -> str:
        """What to tell the model. Where the memory fails, the conversation goes on without it."""
        if not question.strip():
            return ""
        until = trio.current_time() + SECONDS_BEFORE
        try:
            return preface((await self._asking.gather(question, call, before, until=until)).pieces)
        except MimoError:
            return ""
