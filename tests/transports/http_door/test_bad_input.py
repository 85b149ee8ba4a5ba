"""Bad input: a clear error, and nothing lost."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio

from mimo.transports.http import router

from ...houses import PATIENCE
from .conftest import JSON, Open, error


async def test_a_body_of_exactly_the_cap_is_read_and_one_byte_more_is_not(door: Open) -> None:
    start = b'{"tool": "memory_get", "arguments": {"ids": ["m1"]}, "x": "'
    for more, status in ((0, 422), (1, 413)):
        body = start + b"y" * (1024 * 1024 - len(start) - 2 + more) + b'"}'
        refused = await door.client.post("/v1/mimo/tool", content=body, headers=JSON)
        error(refused, status)


async def test_a_body_without_a_length_is_bounded_too(door: Open) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    error(await door.client.post("/v1/mimo/tool", content=pieces(), headers=JSON), 413)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        (b'{"tool": "\\ud800", "arguments": {}}', 422),
        (b'{"tool": NaN}', 400),
        (b'{"tool": 1e999}', 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"tool": 5}', 422),
        (b'{"tool": "memory_search", "argumets": {}}', 422),
        (b'{"tool": "memory_search", "arguments": []}', 422),
        (b'{"tool": "memory_search", "arguments": null}', 422),
        (b'{"tool": "' + b"x" * 10_000 + b'"}', 404),
    ],
)
async def test_bad_bodies_get_the_right_answer(door: Open, body: bytes, status: int) -> None:
    error(await door.client.post("/v1/mimo/tool", content=body, headers=JSON), status)


async def test_half_an_emoji_is_told_where_it_stands(door: Open) -> None:
    body = b'{"tool": "memory_add", "arguments": {"items": [{"content": "half: \\ud83d"}]}}'
    refused = error(await door.client.post("/v1/mimo/tool", content=body, headers=JSON), 422)
    assert refused["message"].startswith("arguments.items[0].content must be valid Unicode")
    assert refused["param"] == "arguments.items[0].content"


async def test_no_request_can_hide_in_another(door: Open) -> None:
    """A proxy that goes by one length, and we by the other, would not see the second request."""
    hidden = f"GET /v1/memories HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {door.token}\r\n\r\n"
    head = (
        "POST /v1/mimo/tool HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {door.token}\r\ncontent-length: {len(hidden) + 5}\r\n"
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    said = b""
    async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
        await stream.send_all((head + hidden).encode())
        with trio.fail_after(PATIENCE):
            while data := await stream.receive_some():
                said += data
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "MIMO"])
async def test_a_method_that_does_not_fit_is_told_which_does(door: Open, method: str) -> None:
    refused = await door.client.request(method, "/v1/mimo/tool")
    assert error(refused, 405)["type"] == "method_not_allowed"
    assert refused.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/memories/m1/x",
        "/v1/memories/",
        "//health",
        "/health/",
        "/..%2f..%2fetc",
        "/%00",
        "/v1/memories/%ff",
    ],
)
async def test_odd_paths_are_refused_and_break_nothing(door: Open, path: str) -> None:
    assert (await door.client.get(path)).status_code in {404, 422}


async def test_a_head_has_no_body(door: Open) -> None:
    answered = await door.client.head("/v1/mimo/tools")
    assert answered.status_code == 200
    assert answered.content == b""
    assert int(answered.headers["content-length"]) > 100


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    router_of: Any = door.house.http._router  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    router_of._body_seconds = 0.1
    monkeypatch.setattr(router, "DISCARD_SECONDS", 0.1)

    head = (
        "POST /v1/mimo/tool HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {door.token}\r\ncontent-length: 10\r\n\r\n{{"
    )
    said = b""
    async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(door.url).port or 0) as stream:
        await stream.send_all(head.encode())
        with trio.fail_after(PATIENCE):
            while data := await stream.receive_some():
                said += data
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in said
