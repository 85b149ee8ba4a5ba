"""Conversations as OpenAI's API has them: what is asked, and an answer whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mimo.errors import InvalidArguments
from mimo.protocol import jsonrpc

MOST_MESSAGES = 2_000
LONGEST_QUESTION = 20_000
# A piece of a stream. What is said from memory is there at once; pieces are for who shows them as they come.
PIECE = 200
DONE = b"data: [DONE]\n\n"

CHAT_TAKES: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "description": "As OpenAI's. What mimo does not know is passed on to the upstream, and else means nothing.",
    "properties": {
        "model": {"type": "string", "minLength": 1, "maxLength": 200, "description": "see /v1/models"},
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_MESSAGES,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"type": "string"},
                    "content": {
                        "anyOf": [
                            {"type": "string"},
                            {"type": "array", "items": {"type": "object"}},
                            {"type": "null"},
                        ]
                    },
                },
            },
        },
        "stream": {"type": ["boolean", "null"], "default": False},
        "stream_options": {"type": ["object", "null"]},
    },
}
CHAT_GIVES: dict[str, Any] = {
    "type": "object",
    "required": ["choices"],
    "properties": {"choices": {"type": "array", "items": {"type": "object"}}},
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked now, what was asked before, and everything else as it came."""

    model: str
    body: Mapping[str, Any]
    question: str
    before: Sequence[str]
    texts: Sequence[str]  # all that was said, for who counts it
    stream: bool = False
    tells_usage: bool = False  # in the stream, too


def read_conversation(body: dict[str, Any]) -> Conversation:
    """Raises: InvalidArguments."""
    model: object = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= 200:
        raise _wrong("model", "model must be the name of one; /v1/models lists them")
    given: object = body.get("messages")
    messages = cast("list[object]", given) if isinstance(given, list) else []
    if not 1 <= len(messages) <= MOST_MESSAGES:
        raise _wrong("messages", f"messages must be 1..{MOST_MESSAGES} messages")
    said = [_message(each) for each in messages]
    asked = [text for role, text in said if role == "user" and text.strip()]
    stream: object = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong("stream", "stream must be true or false")
    options: object = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong("stream_options", "stream_options must be an object")
    usage = cast("dict[str, Any]", options or {}).get("include_usage") is True
    return Conversation(
        model,
        body,
        asked[-1][-LONGEST_QUESTION:] if asked else "",
        asked[-2:-1],
        [text for _, text in said],
        stream is True,
        usage,
    )


def completion(
    id_: str, model: str, created: int, text: str, usage: Mapping[str, int] | None
) -> dict[str, Any]:
    """An answer that is whole."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _told(id_, "chat.completion", model, created, [choice]) | {"usage": usage}


def pieces(id_: str, model: str, created: int, text: str, usage: Mapping[str, int] | None) -> Iterator[bytes]:
    """The same as a stream of events, with its end; what it cost only where that is given."""

    def piece(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(_told(id_, "chat.completion.chunk", model, created, [choice]))

    yield piece({"role": "assistant", "content": ""})
    for at in range(0, len(text), PIECE):
        yield piece({"content": text[at : at + PIECE]})
    yield piece({}, "stop")
    if usage is not None:
        yield _event(_told(id_, "chat.completion.chunk", model, created, []) | {"usage": usage})
    yield DONE


def broken_off(error: Mapping[str, Any]) -> bytes:
    """Why a stream that has begun ends before its end. No `[DONE]` follows."""
    return _event({"error": error})


def usage(prompt: int, said: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def _told(id_: str, kind: str, model: str, created: int, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{id_}",
        "object": kind,
        "created": created,
        "model": model,
        "choices": choices,
    }


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + jsonrpc.encode(value) + b"\n\n"


def _message(given: object) -> tuple[str, str]:
    """Who says it, and its text; pictures and the like have none."""
    if not isinstance(given, dict):
        raise _wrong("messages", "each message must be an object with role and content")
    message = cast("dict[str, object]", given)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise _wrong("messages", "each message must say its role: system, user, assistant")
    if content is None:
        return role, ""
    if isinstance(content, str):
        return role, _whole(content)
    if not isinstance(content, list):
        raise _wrong("messages", "content must be text, or a list of parts")
    texts = list[str]()
    for part in cast("list[object]", content):
        if not isinstance(part, dict):
            raise _wrong("messages", "each part of a content must be an object")
        text = cast("dict[str, object]", part).get("text")
        if isinstance(text, str):
            texts.append(_whole(text))
    return role, "\n".join(texts)


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _wrong("messages", "half a character (a lone surrogate); send whole ones") from error
    return text


def _wrong(field: str, message: str) -> InvalidArguments:
    return InvalidArguments(message, field=field)
