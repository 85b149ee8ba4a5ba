"""MCP over HTTP as a bare ASGI application: what the official suite does not look at."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import trio

from mimo.errors import Forbidden, Unauthorized
from mimo.protocol.mcp.events import Say
from mimo.tool import Client
from mimo.transports.desk import Desk
from mimo.transports.http import mcp, responses
from mimo.transports.http.mailbox import Mailbox
from mimo.transports.http.mcp import McpOverHttp

MODERN = "2026-07-28"
LOCAL = {"host": "127.0.0.1:4000", "content-type": "application/json"}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}


class Exchange:
    """One request and its response, as a server would drive them."""

    def __init__(self, app: McpOverHttp) -> None:
        self.app = app
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = trio.Event()
        self.left = trio.Event()
        self.send_body, self.body = trio.open_memory_channel[bytes](1000)

    async def run(self, method: str, headers: Mapping[str, str], body: bytes | list[bytes]) -> None:
        parts = [body] if isinstance(body, bytes) else list(body)

        async def receive() -> Mapping[str, Any]:
            await trio.lowlevel.checkpoint()
            if parts:
                part = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(parts)}
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            elif message["body"]:
                await self.send_body.send(message["body"])

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.app({"type": "http", "method": method, "headers": raw}, receive, send)
        self.send_body.close()
        self.done.set()

    async def frame(self) -> Any:
        """The next frame of the response; None at its end."""
        with trio.fail_after(20):
            async for part in self.body:
                if part.startswith(b":"):
                    continue
                text = part.decode()
                return json.loads(text.partition("data: ")[2] if text.startswith("event:") else text)
        return None

    async def hang_up(self) -> None:
        self.left.set()
        await trio.testing.wait_all_tasks_blocked()


Ask = Callable[..., Awaitable[Exchange]]


@pytest.fixture
async def app(desk: Desk, nursery: trio.Nursery) -> AsyncIterator[McpOverHttp]:
    def admit(headers: Mapping[str, str]) -> Client:
        match headers.get("authorization", "Bearer me"):
            case "Bearer me" | "Bearer other" as token:
                return Client(session=token)
            case "Bearer weak":
                raise Forbidden("this token may not do this")
            case _:
                raise Unauthorized("this token is not known")

    door = McpOverHttp(desk, admit)
    await nursery.start(door.run)
    yield door
    nursery.cancel_scope.cancel()


@pytest.fixture
async def ask(app: McpOverHttp, nursery: trio.Nursery) -> Ask:
    async def start(
        message: object = b"", method: str = "POST", raw: bytes | list[bytes] | None = None, **headers: str
    ) -> Exchange:
        exchange = Exchange(app)
        given = LOCAL | {name.replace("_", "-"): value for name, value in headers.items()}
        body = raw if raw is not None else json.dumps(message).encode()
        nursery.start_soon(exchange.run, method, given, body)
        await trio.testing.wait_all_tasks_blocked()
        return exchange

    return start


def modern(
    method: str, capabilities: dict[str, Any] | None = None, **params: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": capabilities or {}}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {**params, "_meta": {**meta, **params.get("_meta", {})}},
    }
    headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
    if name := params.get("name") or params.get("uri"):
        headers["mcp_name"] = name
    return message, headers


async def session(ask: Ask, **headers: str) -> dict[str, str]:
    begun = await ask(INITIALIZE, **headers)
    assert (await begun.frame())["result"]["protocolVersion"] == "2025-11-25"
    return {
        "mcp_session_id": begun.headers["mcp-session-id"],
        "mcp_protocol_version": "2025-11-25",
        **headers,
    }


def call(name: str, identity: int = 5, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments, "_meta": {"progressToken": identity}}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}


async def test_a_modern_answer_is_json_when_nothing_comes_before_it(ask: Ask) -> None:
    message, headers = modern("tools/call", name="echo", arguments={"text": "hi"})
    exchange = await ask(message, **headers)
    assert (exchange.status, exchange.headers["content-type"]) == (200, "application/json")
    assert (await exchange.frame())["result"]["content"][0]["text"] == "hi"
    assert "mcp-session-id" not in exchange.headers


async def test_a_modern_answer_is_a_stream_when_something_comes_before_it(ask: Ask) -> None:
    message, headers = modern("tools/call", name="noisy", _meta={"progressToken": 1})
    exchange = await ask(message, **headers)
    assert exchange.headers["content-type"] == "text/event-stream"
    assert exchange.headers["x-accel-buffering"] == "no"
    frames = [await exchange.frame() for _ in range(4)]
    assert [frame.get("method") for frame in frames] == ["notifications/progress"] * 3 + [None]
    assert await exchange.frame() is None


async def test_hanging_up_cancels_a_modern_call(ask: Ask, house: Any) -> None:
    message, headers = modern("tools/call", name="slow", arguments={"text": "a"})
    exchange = await ask(message, **headers)
    assert house.started == ["a"]
    await exchange.hang_up()
    assert house.cancelled == ["a"]
    assert exchange.done.is_set()


async def test_a_listener_hears_of_changes_until_it_hangs_up(ask: Ask, desk: Desk) -> None:
    message, headers = modern("subscriptions/listen", notifications={"toolsListChanged": True})
    exchange = await ask(message, **headers)
    assert (await exchange.frame())["method"] == "notifications/subscriptions/acknowledged"
    desk.changed("tools")
    assert (await exchange.frame())["method"] == "notifications/tools/list_changed"
    await exchange.hang_up()
    assert exchange.done.is_set()
    assert not desk._listeners


async def test_a_quiet_stream_is_kept_alive(ask: Ask, autojump_clock: trio.testing.MockClock) -> None:
    message, headers = modern("subscriptions/listen", notifications={"toolsListChanged": True})
    exchange = await ask(message, **headers)
    await exchange.frame()
    assert await exchange.body.receive() == b": \n\n"


async def test_a_call_that_takes_long_becomes_a_stream(
    ask: Ask, house: Any, autojump_clock: trio.testing.MockClock
) -> None:
    message, headers = modern("tools/call", name="slow", arguments={"text": "a"})
    exchange = await ask(message, **headers)
    await trio.sleep(responses.KEEP_ALIVE_SECONDS * 2.5)
    assert exchange.headers["content-type"] == "text/event-stream"
    house.go.set()
    assert (await exchange.frame())["result"]["content"][0]["text"] == "a"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer weak"}, 403),
    ],
)
async def test_strangers_are_turned_away_before_anything_is_read(
    ask: Ask, headers: dict[str, str], status: int
) -> None:
    exchange = await ask(INITIALIZE, **headers)
    assert exchange.status == status
    assert "error" in await exchange.frame()
    assert ("www-authenticate" in exchange.headers) == (status == 401)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"[]", 400),
        (b"7", 400),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', 400),
        ([b"x" * (3 << 20), b"x" * (3 << 20)], 413),
    ],
)
async def test_bad_bodies_get_their_error(ask: Ask, raw: bytes | list[bytes], status: int) -> None:
    exchange = await ask(raw=raw)
    assert exchange.status == status
    assert (await exchange.frame())["error"]["code"] in {-32700, -32600}


async def test_a_body_that_says_it_is_too_long_is_not_read(ask: Ask) -> None:
    exchange = await ask(raw=b"x", content_length=str(5 << 20))
    assert exchange.status == 413


async def test_a_body_in_pieces_is_one_body(ask: Ask) -> None:
    whole = json.dumps(INITIALIZE).encode()
    exchange = await ask(raw=[whole[:5], whole[5:20], whole[20:]])
    assert exchange.status == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_without_a_session_there_is_only_post(ask: Ask, method: str) -> None:
    exchange = await ask(method=method, raw=b"")
    assert (exchange.status, exchange.headers["allow"]) == (405, "POST")


async def test_without_a_session_or_terms_nothing_is_served(ask: Ask) -> None:
    exchange = await ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert exchange.status == 400
    assert "initialize" in (await exchange.frame())["error"]["message"]
    assert (await ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}, mcp_session_id="made-up")).status == 404


async def test_modern_notifications_are_accepted_and_batches_are_not(ask: Ask) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert (await ask(note, mcp_protocol_version=MODERN)).status == 202
    assert (await ask([note], mcp_protocol_version=MODERN)).status == 400


async def test_a_session_serves_calls_side_by_side(ask: Ask, house: Any) -> None:
    headers = await session(ask)
    slow = await ask(call("slow", 5, text="a"), **headers)
    quick = await ask(call("echo", 6, text="b"), **headers)
    assert (await quick.frame())["result"]["content"][0]["text"] == "b"
    taken = await ask(call("echo", 5, text="c"), **headers)
    assert taken.status == 400
    house.go.set()
    assert (await slow.frame())["result"]["content"][0]["text"] == "a"


async def test_a_legacy_cancel_closes_nothing_but_the_call(ask: Ask, house: Any) -> None:
    headers = await session(ask)
    slow = await ask(call("slow", 5, text="a"), **headers)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    assert (await ask(cancel, **headers)).status == 202
    await trio.testing.wait_all_tasks_blocked()
    assert house.cancelled == ["a"]
    await slow.hang_up()
    assert (await (await ask(call("echo", 5, text="b"), **headers)).frame())["result"]


async def test_a_lost_connection_cancels_nothing_in_a_session(ask: Ask, house: Any) -> None:
    headers = await session(ask)
    slow = await ask(call("slow", 5, text="a"), **headers)
    await slow.hang_up()
    assert slow.done.is_set()
    assert house.cancelled == []


async def test_what_belongs_to_no_request_goes_to_the_last_get(ask: Ask, desk: Desk) -> None:
    headers = await session(ask)
    first = await ask(method="GET", raw=b"", **headers)
    second = await ask(method="GET", raw=b"", **headers)
    assert await first.frame() is None
    desk.changed("prompts")
    assert (await second.frame())["method"] == "notifications/prompts/list_changed"
    await second.hang_up()
    assert second.done.is_set()


async def test_a_question_goes_out_on_the_call_s_stream_and_its_answer_comes_by_post(ask: Ask) -> None:
    begin = INITIALIZE | {"params": {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}}}
    begun = await ask(begin)
    headers = {"mcp_session_id": begun.headers["mcp-session-id"]}
    calling = await ask(call("asks"), **headers)
    question = await calling.frame()
    assert question["method"] == "elicitation/create"
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}
    assert (await ask(answer, **headers)).status == 202
    assert "roots" in (await calling.frame())["result"]["content"][0]["text"], "which it does not offer"


async def test_an_ended_session_is_gone_with_all_its_calls(ask: Ask, app: McpOverHttp, house: Any) -> None:
    headers = await session(ask)
    slow = await ask(call("slow", text="a"), **headers)
    listening = await ask(method="GET", raw=b"", **headers)
    assert (await ask(method="DELETE", raw=b"", **headers)).status == 204
    await trio.testing.wait_all_tasks_blocked()
    assert (slow.status, house.cancelled, app.sessions) == (404, ["a"], 0)
    assert await listening.frame() is None
    assert (await ask(call("echo", text="b"), **headers)).status == 404
    assert (await ask(method="DELETE", raw=b"", **headers)).status == 404


async def test_a_session_belongs_to_who_began_it(ask: Ask) -> None:
    headers = await session(ask)
    assert (await ask(call("echo", text="b"), **headers, authorization="Bearer other")).status == 404


async def test_an_unknown_version_in_a_session_is_refused(ask: Ask) -> None:
    headers = await session(ask) | {"mcp_protocol_version": "1999-01-01"}
    assert (await ask(call("echo", text="b"), **headers)).status == 400


async def test_a_failed_handshake_leaves_no_session(ask: Ask, app: McpOverHttp) -> None:
    exchange = await ask(
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 5}}
    )
    assert (await exchange.frame())["error"]["code"] == -32602
    assert app.sessions == 0


async def test_batches_work_where_they_are_part_of_the_revision(ask: Ask) -> None:
    begun = await ask(INITIALIZE | {"params": {"protocolVersion": "2025-03-26"}})
    headers = {"mcp_session_id": begun.headers["mcp-session-id"]}
    exchange = await ask([call("echo", 5, text="a"), call("echo", 6, text="b")], **headers)
    assert sorted(answer["id"] for answer in await exchange.frame()) == [5, 6]
    newer = await session(ask)
    assert (await ask([call("echo", 5, text="a")], **newer)).status == 400


async def test_the_oldest_idle_session_makes_room(
    ask: Ask,
    app: McpOverHttp,
    monkeypatch: pytest.MonkeyPatch,
    house: Any,
    autojump_clock: trio.testing.MockClock,
) -> None:
    monkeypatch.setattr(mcp, "MAX_SESSIONS", 2)
    first = await session(ask)
    await trio.sleep(1)
    second = await session(ask)
    await trio.sleep(1)
    await session(ask)
    assert (await ask(call("echo", text="b"), **first)).status == 404
    assert (await ask(call("echo", text="b"), **second)).status == 200
    assert app.sessions == 2


async def test_when_all_sessions_are_busy_a_new_one_waits(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, house: Any
) -> None:
    monkeypatch.setattr(mcp, "MAX_SESSIONS", 1)
    headers = await session(ask)
    await ask(call("slow", text="a"), **headers)
    refused = await ask(INITIALIZE)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")


async def test_a_session_that_nobody_uses_is_forgotten(
    ask: Ask, app: McpOverHttp, autojump_clock: trio.testing.MockClock
) -> None:
    await session(ask)
    await trio.sleep(mcp.SESSION_SECONDS * 0.5)
    assert app.sessions == 1
    await trio.sleep(mcp.SESSION_SECONDS)
    assert app.sessions == 0


async def test_a_mailbox_that_nobody_empties_is_closed_when_it_is_full() -> None:
    box = Mailbox()
    for _ in range(12):
        box.put(Say(b"x" * 1_000_000))
    kept = 0
    while await box.next() is not None:
        kept += 1
    assert kept == 9
    box.put(Say(b"late"))
    assert await box.next() is None


async def test_a_handler_waits_while_its_mailbox_is_crowded() -> None:
    box = Mailbox()
    box.put(Say(b"x" * 2_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.room)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        await box.next()


async def test_who_leaves_before_the_request_is_complete_changes_nothing(ask: Ask, app: McpOverHttp) -> None:
    exchange = Exchange(app)
    exchange.left.set()
    await exchange.run("POST", LOCAL, [])
    assert exchange.status == 400
