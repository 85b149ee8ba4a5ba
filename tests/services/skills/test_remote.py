"""Skills that run elsewhere: our own HTTP door as the server, in both eras, and servers that misbehave."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import MimoError, Unavailable
from mimo.protocol.jsonrpc import Request
from mimo.protocol.mcp.headers import mismatch, repeated
from mimo.protocol.sse import Heard
from mimo.services.skills import news
from mimo.services.skills.configuration import Declared
from mimo.services.skills.kept import Kept, Shelf
from mimo.services.skills.names import prefix_of

Lot = Callable[..., AbstractAsyncContextManager[Any]]
FIXTURE = Path(__file__).parent.parent.parent / "conformance" / "fixture_server.py"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real MCP server, over HTTP, in a process of its own."""
    with subprocess.Popen([sys.executable, FIXTURE], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_elsewhere_is_a_skill_in_both_eras(
    lot: Lot, url: str, era: str, tmp_path: Path
) -> None:
    declared = Declared("far", prefix_of("far"), url=url)
    Shelf(tmp_path / "home" / "skills" / "kept").save("far", Kept(declared.digest, era=era))
    async with lot(far={"url": url}) as house, house.talking() as client:
        await house.known("far_test_simple_text")
        assert house.told(news.SkillStarted)[-1].era == era
        assert "simple text" in await house.text("far_test_simple_text")
        assert await house.text("far_test_header_region", region="Größe =?base64?") == "Größe =?base64?"
        await client.hello(elicitation={}, sampling={})
        params = {"name": "far_test_tool_with_progress", "_meta": {"progressToken": 7}}
        await client.answer("tools/call", params)
        told = [
            each["params"]["progress"] for each in client.told if each["method"] == "notifications/progress"
        ]
        assert told == [0, 50, 100]
        read = await client.answer("resources/read", {"uri": "test://static-binary"})
        assert read["result"]["contents"][0]["mimeType"] == "image/png"
        number = await client.ask(
            "tools/call", {"name": "far_test_elicitation", "arguments": {"message": "m"}}
        )
        question = await client.hear()
        assert question["method"] == "elicitation/create"
        await client.say(id=question["id"], result={"action": "accept", "content": {"username": "Ilse"}})
        answer = await client.hear()
        assert answer["id"] == number
        assert "Ilse" in answer["result"]["content"][0]["text"]


async def test_many_calls_at_once_come_back_to_their_callers(lot: Lot, url: str) -> None:
    async with lot(far={"url": url}) as house:
        await house.known("far_test_header_region")
        async with trio.open_nursery() as nursery:

            async def call(number: int) -> None:
                assert await house.text("far_test_header_region", region=str(number)) == str(number)

            for number in range(20):
                nursery.start_soon(call, number)


ANSWERS = {
    "cuts": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "html": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<hi>",
    "broken": b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    "locked": b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    "nowhere": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"220 smtp.example.org\r\n",
    "stream ends": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n",
    "nothing": b"",
}


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            if answer:
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/mcp"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("manner", ANSWERS)
async def test_a_server_that_misbehaves_fails_its_callers_and_nothing_else(lot: Lot, manner: str) -> None:
    async with answering(ANSWERS[manner]) as address, lot(far={"url": address}) as house:
        with pytest.raises(MimoError) as raised:
            await house.service.skills["far"].connected()
        assert isinstance(raised.value, Unavailable)
        if manner == "locked":
            assert "does not let us in" in raised.value.message


async def test_nobody_there_is_said(lot: Lot) -> None:
    async with lot(far={"url": "http://127.0.0.1:1/mcp"}) as house:
        with pytest.raises(Unavailable, match="did not answer") as raised:
            await house.service.skills["far"].connected()
        assert raised.value.details["done"] is False


@given(
    name=st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()),
    value=st.text(max_size=20) | st.integers() | st.booleans(),
)
def test_the_headers_that_we_send_are_those_that_a_server_expects(name: str, value: object) -> None:
    schema = {"properties": {"a": {"x-mcp-header": "Region"}}}
    params: dict[str, Any] = {"name": name, "arguments": {"a": value}}
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return
    said = {key.lower(): text for key, text in repeated("tools/call", params, schema).items()}
    assert all(text.isascii() and text == text.strip() for text in said.values())
    assert mismatch(Request(1, "tools/call", params), said, schema) is None


@given(
    events=st.lists(st.lists(st.binary(max_size=9).filter(lambda b: not set(b) & {10, 13}), min_size=1, max_size=3), max_size=5),
    end=st.sampled_from([b"\n", b"\r\n"]),
    cut=st.integers(1, 7),
)  # fmt: skip
def test_events_are_the_same_however_they_arrive(events: list[list[bytes]], end: bytes, cut: int) -> None:
    stream = b"".join(
        b": hi" + end + b"".join(b"data: " + line + end for line in each) + end for each in events
    )
    wanted = [b"\n".join(each) for each in events]
    assert list(Heard(1000).feed(stream)) == wanted
    heard = Heard(1000)
    parts = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert [event for part in parts for event in heard.feed(part)] == wanted


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    with pytest.raises(ValueError, match="more than 1000"):
        list(Heard(1000).feed((b"data: " + b"x" * 50 + b"\n") * 100))
    with pytest.raises(ValueError, match="more than 1000"):
        list(Heard(1000).feed(b"x" * 2000))
