"""Conversations for clients of OpenAI's API: from memory, or passed on to a language model with what bears on them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from mimo.errors import MimoError, NotFound
from mimo.protocol.chat import (
    CHAT_GIVES,
    CHAT_TAKES,
    Conversation,
    broken_off,
    completion,
    pieces,
    read_conversation,
    usage,
)
from mimo.protocol.openapi import Operation
from mimo.protocol.rest import problem_of
from mimo.protocol.sse import MEDIA_TYPE
from mimo.tool import Call
from mimo.transports.http.exchange import Emit, Reply, Request, Route, reply_json

STREAM = {"x-accel-buffering": "no"}


class Chatting(Protocol):
    @property
    def models(self) -> Sequence[str]: ...

    def passes_on(self, model: str) -> bool: ...

    async def answer(self, question: str, before: Sequence[str], call: Call) -> str:
        """Raises: MimoError."""
        ...

    async def pass_on(
        self,
        body: Mapping[str, Any],
        question: str,
        before: Sequence[str],
        call: Call,
        emit: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Raises: MimoError, before the first piece or between two."""
        ...


def chat_routes(
    chatting: Chatting,
    count: Callable[[Sequence[str]], Awaitable[int]],
    admit: Callable[[str | None], None],
) -> Sequence[Route]:
    """`count` gives tokens; `admit` is asked before what costs, and raises `Busy` or `Unavailable`."""

    async def chat(request: Request) -> Reply:
        asked = read_conversation(request.object())
        if chatting.passes_on(asked.model):
            admit(request.client.key)
            return await _passed_on(asked, request)
        if asked.model not in chatting.models:
            raise NotFound(
                f"no model {asked.model[:100]!r} can talk here; there is: {', '.join(chatting.models)}",
                field="model",
            )
        text = await chatting.answer(asked.question, asked.before, request.call())
        cost = None if asked.stream and not asked.tells_usage else await counted(asked, text)
        told = request.id, asked.model, int(time.time()), text, cost
        if not asked.stream:
            return reply_json(completion(*told))

        async def stream(emit: Emit) -> None:
            for piece in pieces(*told):
                await emit(piece)

        return Reply(media=MEDIA_TYPE, headers=STREAM, stream=stream)

    async def counted(asked: Conversation, text: str) -> dict[str, int]:
        return usage(await count(asked.texts), await count([text]))

    async def _passed_on(asked: Conversation, request: Request) -> Reply:
        wanted = asked.body, asked.question, asked.before, request.call()
        if not asked.stream:
            whole = bytearray()

            async def keep(piece: bytes) -> None:
                whole.extend(piece)

            await chatting.pass_on(*wanted, keep)
            return Reply(body=bytes(whole))

        async def stream(emit: Emit) -> None:
            begun = False

            async def on(piece: bytes) -> None:
                nonlocal begun
                begun = True
                await emit(piece)

            try:
                await chatting.pass_on(*wanted, on)
            except MimoError as error:
                if not begun:
                    raise
                await emit(b"\n\n" + broken_off(problem_of(error, request.id)))

        return Reply(media=MEDIA_TYPE, headers=STREAM, stream=stream)

    operation = Operation(
        "POST",
        "/v1/chat/completions",
        "create_chat_completion",
        "As OpenAI's: the model mimo answers from memory; others are the upstream's, which is told what bears on it.",
        takes=CHAT_TAKES,
        gives=CHAT_GIVES,
        may_stream=True,
    )
    return [Route(operation, chat)]
