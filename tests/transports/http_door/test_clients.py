"""Clients that others wrote, and ones that leave."""

import json

import httpx
import openai
import pytest
import trio

from ...houses import PATIENCE
from .conftest import TOOLS, Open, error


@pytest.mark.holds_up_the_loop
async def test_the_openai_package_embeds_and_lists_models(door: Open) -> None:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as client:
        models = [each.id async for each in client.models.list()]
        assert "all-minilm-l6-v2" in models
        assert (await client.models.retrieve("all-minilm-l6-v2")).owned_by == "mimo"
        texts = ["the cat sat on the mat", "a feline rested on a rug", "interest rates rose again"]
        told = await client.embeddings.create(model="all-minilm-l6-v2", input=texts)
        one, two, three = (each.embedding for each in told.data)
        assert len(one) == 384
        assert sum(a * b for a, b in zip(one, two, strict=True)) > sum(
            a * b for a, b in zip(one, three, strict=True)
        )
        plain = await client.embeddings.create(
            model="all-minilm-l6-v2", input=texts[0], encoding_format="float"
        )
        assert plain.data[0].embedding == pytest.approx(one, abs=1e-6)
        assert plain.usage.prompt_tokens == 8  # six words, and the two that stand around them


@pytest.mark.holds_up_the_loop
async def test_the_openai_package_gets_errors_that_it_knows(door: Open) -> None:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="mimo token"):
            await client.models.list()
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="all-minilm-l6-v2"):
            await client.embeddings.create(model="text-embedding-9", input="a")
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await client.embeddings.create(model="all-minilm-l6-v2", input="")
        assert refused.value.param == "input"
        with pytest.raises(openai.UnprocessableEntityError, match="384"):
            await client.embeddings.create(model="all-minilm-l6-v2", input="a", dimensions=8)


@pytest.mark.parametrize("given", [None, 5, [], [""], [5], [[1, 2]], {"a": 1}, ["a"] * 2049])
async def test_what_cannot_be_embedded_is_refused(door: Open, given: object) -> None:
    refused = await door.client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": given})
    assert error(refused, 422)["param"] == "input"


async def test_curl_speaks_to_it(door: Open) -> None:
    words = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {door.token}"]
    asked = [
        "-H",
        "Content-Type: application/json",
        "-d",
        '{"content": "by curl"}',
        f"{door.url}/v1/memories",
    ]
    done = await trio.run_process([*words, *asked], capture_stdout=True)
    assert json.loads(done.stdout)["results"][0]["outcome"] == "added"
    large = await trio.run_process(
        [*words, "-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "-d", "@-", asked[-1]],
        stdin=b'{"content": "' + b"x" * 2_000_000 + b'"}',
        capture_stdout=True,
        check=False,
    )
    assert json.loads(large.stdout)["error"]["type"] == "too_large"


async def test_mcp_is_spoken_at_its_path_with_a_key(door: Open) -> None:
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    said = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    accept = {"accept": "application/json, text/event-stream"}
    first = await door.client.post("/mcp", json=said, headers=accept)
    session = {"mcp-session-id": first.headers["mcp-session-id"], **accept}
    await door.client.post(
        "/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session
    )
    said = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
    listed = await door.client.post("/mcp", json=said, headers=session)
    assert [each["name"] for each in listed.json()["result"]["tools"]][: len(TOOLS)] == TOOLS
    other = {"authorization": f"Bearer {await door.key('read', 'write')}"}
    assert (await door.client.post("/mcp", json=said, headers=session | other)).status_code == 404


async def test_a_bug_of_ours_is_an_error_with_an_id_and_no_more(
    door: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("secret details")

    monkeypatch.setattr(door.house.database, "read", broken)
    told = error(await door.client.get("/v1/memories"), 500)
    assert told["type"] == "broken"
    assert "secret" not in told["message"]
    assert told["id"] in caplog.text


async def test_a_client_that_leaves_cancels_its_call(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    began, cancelled = trio.Event(), trio.Event()

    async def endless(*_: object) -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    monkeypatch.setattr(door.house.database, "read", endless)
    head = f"GET /v1/memories HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {door.token}\r\n\r\n"
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
            await stream.send_all(head.encode())
            await began.wait()
        await cancelled.wait()
