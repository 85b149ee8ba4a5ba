"""Conversations with the official openai package: from memory, and through a language model's service."""

import json
import logging
from typing import Any

import openai
import pytest
import trio

from ...houses import PATIENCE
from .conftest import KEY, Open, Service

HARBOUR = "The harbour closes at nine in the evening"
ASKS: Any = [{"role": "user", "content": "When does the harbour close?"}]


@pytest.fixture
def silence() -> float:
    """How long the service may say nothing."""
    return 1.0


@pytest.fixture
def upstream(service: Service, silence: float, request: pytest.FixtureRequest) -> dict[str, Any]:
    if "model" not in request.fixturenames:
        return {}
    return {"url": service.url, "model": "whale-1", "key": KEY, "silence_seconds": silence}


GONE = pytest.mark.parametrize(
    "embedding", [{"provider": "openai", "url": "http://127.0.0.1:1/v1", "model": "gone", "dimension": 8}]
)


@pytest.fixture
def model(service: Service) -> Service:
    """Named by a test that wants the service to be configured."""
    return service


async def test_chat_answers_from_memory(door: Open) -> None:
    await door.remember(HARBOUR)
    told = await door.openai.chat.completions.create(model="mimo", messages=ASKS)
    assert told.object == "chat.completion"
    assert told.model == "mimo"
    assert HARBOUR in (told.choices[0].message.content or "")
    assert told.choices[0].finish_reason == "stop"
    assert told.usage is not None
    expected = await door.openai.embeddings.create(model="all-minilm-l6-v2", input=ASKS[0]["content"])
    assert told.usage.prompt_tokens == expected.usage.prompt_tokens
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens
    none = await door.openai.chat.completions.create(
        model="mimo", messages=[{"role": "user", "content": "quarks?"}]
    )
    assert "Nothing" in (none.choices[0].message.content or "")


@GONE
async def test_without_its_embedder_it_answers_by_words(door: Open, embedding: dict[str, Any]) -> None:
    await door.remember(HARBOUR)
    told = await door.openai.chat.completions.create(model="mimo", messages=ASKS)
    assert HARBOUR in (told.choices[0].message.content or "")
    assert HARBOUR in json.dumps((await door.ask("When does the harbour close?"))["results"])


@GONE  # so that nothing is embedded between one question and the next
async def test_chat_streams_from_memory(door: Open) -> None:
    await door.remember(
        HARBOUR, "The harbour master is called Ilse, and closes the harbour " + "gladly " * 60
    )
    chunks, _ = await door.streamed(model="mimo", messages=ASKS, stream_options={"include_usage": True})
    assert chunks[0].choices[0].delta.role == "assistant"
    said = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    whole = await door.openai.chat.completions.create(model="mimo", messages=ASKS)
    assert said == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    raw = await door.client.post(
        "/v1/chat/completions", json={"model": "mimo", "messages": ASKS, "stream": True}
    )
    assert raw.headers["content-type"] == "text/event-stream"
    assert raw.content.endswith(b"data: [DONE]\n\n")


async def test_a_conversation_goes_on_from_what_was_asked_before(door: Open) -> None:
    await door.remember(HARBOUR)
    talk: Any = [*ASKS, {"role": "assistant", "content": "At nine."}, {"role": "user", "content": "and why?"}]
    told = await door.openai.chat.completions.create(model="mimo", messages=talk)
    assert HARBOUR in (told.choices[0].message.content or "")


async def test_the_models_are_those_that_there_are(door: Open) -> None:
    models = [each.id async for each in door.openai.models.list()]
    assert models[0] == "mimo"
    assert "all-minilm-l6-v2" in models
    assert (await door.openai.models.retrieve("mimo")).id == "mimo"
    with pytest.raises(openai.NotFoundError, match="mimo"):
        await door.openai.chat.completions.create(model="gpt-9", messages=ASKS)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": ASKS}, "model"),
        ({"model": 5, "messages": ASKS}, "model"),
        ({"model": "mimo"}, "messages"),
        ({"model": "mimo", "messages": []}, "messages"),
        ({"model": "mimo", "messages": ["x"]}, "messages"),
        ({"model": "mimo", "messages": [{"content": "x"}]}, "messages"),
        ({"model": "mimo", "messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"model": "mimo", "messages": [{"role": "user", "content": [5]}]}, "messages"),
        ({"model": "mimo", "messages": ASKS, "stream": "yes"}, "stream"),
        ({"model": "mimo", "messages": ASKS, "stream_options": 5}, "stream_options"),
    ],
)
async def test_what_is_no_conversation_is_refused(door: Open, body: dict[str, Any], param: str) -> None:
    refused = await door.client.post("/v1/chat/completions", json=body)
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["param"] == param


async def test_a_wrong_key_is_an_error_that_the_package_knows(door: Open) -> None:
    stranger = door.openai.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model="mimo", messages=ASKS)


# With a language model behind.


async def test_what_bears_on_it_is_told_to_the_model(
    door: Open, model: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await door.remember(HARBOUR)
    talk: Any = [{"role": "system", "content": "Be brief."}, *ASKS]
    with caplog.at_level(logging.DEBUG):
        told = await door.openai.chat.completions.create(model="whale-1", messages=talk, temperature=0.5)
    assert told.choices[0].message.content == "blue whale"
    assert told.usage is not None
    assert told.usage.total_tokens == 5  # as the service counts
    sent = model.asked[0]
    assert (sent["model"], sent["temperature"]) == ("whale-1", 0.5)
    assert [each["role"] for each in sent["messages"]] == ["system", "system", "user"]
    assert sent["messages"][0] == talk[0]
    assert HARBOUR in sent["messages"][1]["content"]
    assert model.keys == [f"Bearer {KEY}"]
    assert KEY not in "".join(str(each.__dict__) for each in caplog.records)
    assert [each.id async for each in door.openai.models.list()][:2] == ["mimo", "whale-1"]


async def test_a_stream_is_passed_on(door: Open, model: Service) -> None:
    chunks, error = await door.streamed(model="whale-1", messages=ASKS)
    assert error is None
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == "blue whale"
    assert [each["role"] for each in model.asked[0]["messages"]] == ["user"]  # nothing bears on it


@pytest.mark.parametrize("encrypted", [True])
async def test_a_service_behind_tls_is_asked_when_its_certificate_is_trusted(
    door: Open, model: Service, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(openai.InternalServerError, match="certificate verify failed"):
        await door.openai.chat.completions.create(model="whale-1", messages=ASKS)
    assert model.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    told = await door.openai.chat.completions.create(model="whale-1", messages=ASKS)
    assert told.choices[0].message.content == "blue whale"
    chunks, error = await door.streamed(model="whale-1", messages=ASKS)
    assert error is None
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == "blue whale"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.UnprocessableEntityError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (401, openai.InternalServerError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_the_services_errors_are_told(
    door: Open, model: Service, status: int, error: type[openai.APIStatusError], streaming: bool
) -> None:
    model.status, model.retry_after = status, "7"
    model.error = {"message": f"bad key {KEY}" if status == 401 else "no such thing"}
    with pytest.raises(error) as told:
        await door.openai.chat.completions.create(model="whale-1", messages=ASKS, stream=streaming)
    assert KEY not in str(told.value)
    assert told.value.status_code == {400: 422, 401: 503, 500: 503}.get(status, status)
    if status == 429:
        assert told.value.response.headers["retry-after"] == "7"
    if status != 401:
        assert "no such thing" in str(told.value)


async def test_a_service_that_is_down_is_left_alone_and_memory_still_answers(
    door: Open, model: Service
) -> None:
    await door.remember(HARBOUR)
    model.status = 500
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            await door.openai.chat.completions.create(model="whale-1", messages=ASKS)
    with pytest.raises(openai.InternalServerError, match="left alone") as told:
        await door.openai.chat.completions.create(model="whale-1", messages=ASKS)
    assert told.value.status_code == 503
    assert len(model.asked) == 3
    memory = await door.openai.chat.completions.create(model="mimo", messages=ASKS)
    assert HARBOUR in (memory.choices[0].message.content or "")


async def test_a_service_that_is_silent_is_not_waited_for(door: Open, model: Service) -> None:
    model.silent_after = 0
    with pytest.raises(openai.InternalServerError, match="silent") as told:
        await door.openai.chat.completions.create(model="whale-1", messages=ASKS)
    assert told.value.status_code == 504
    with trio.fail_after(PATIENCE):
        await model.left.wait()


@pytest.mark.parametrize("how", ["cut_after", "silent_after"])
async def test_a_stream_that_breaks_off_says_so(door: Open, model: Service, how: str) -> None:
    setattr(model, how, 2)
    chunks, error = await door.streamed(model="whale-1", messages=ASKS)
    assert [each.choices[0].delta.content for each in chunks] == ["blue", " "]
    assert isinstance(error, openai.APIError)


@pytest.mark.parametrize("silence", [600.0])
async def test_who_leaves_makes_us_hang_up(door: Open, model: Service, silence: float) -> None:
    model.silent_after = 1
    body = json.dumps({"model": "whale-1", "messages": ASKS, "stream": True})
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {door.token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    async with await trio.open_tcp_stream("127.0.0.1", int(door.url.rpartition(":")[2])) as wire:
        await wire.send_all("\r\n".join([*head, "", body]).encode())
        heard = b""
        with trio.fail_after(PATIENCE):
            while b"blue" not in heard:
                heard += await wire.receive_some(65536)
    with trio.fail_after(PATIENCE):
        await model.left.wait()


async def test_a_language_model_says_it_in_a_few_words(door: Open, model: Service) -> None:
    await door.remember(HARBOUR)
    told = await door.ask("When does the harbour close?")
    assert told["synthesis"] == "blue whale"
    assert HARBOUR in json.dumps(model.asked[0])
    model.status = 500
    told = await door.ask("When does the harbour close?")
    assert told["synthesis"] is None
    assert told["results"]
    assert "failed" in told["router_decision"]["synthesis"]
    model.status, model.silent_after = 200, 0
    told = await door.ask("When does the harbour close?", timeout_ms=500)
    assert told["synthesis"] is None
    assert "cut" in told["router_decision"]["synthesis"]
