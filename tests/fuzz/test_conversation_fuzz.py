"""Whatever a client says, in whatever order: nothing raises, each well-formed request gets exactly one answer, unless it was cancelled."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mimo.errors import Broken, Busy
from mimo.protocol.jsonrpc import Lines, Malformed, Request, parse
from mimo.protocol.mcp import results
from mimo.protocol.mcp.about import ServerInfo
from mimo.protocol.mcp.conversation import Conversation
from mimo.protocol.mcp.events import Do, Say, Stop, Work
from mimo.tool import Answer, JsonObject, Prompt, Resource, ResourceTemplate, Tool

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PREFIX = "io.modelcontextprotocol/"
VERSIONS = st.sampled_from(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "zzz"])
META = st.fixed_dictionaries(
    {},
    optional={
        f"{PREFIX}protocolVersion": VERSIONS | ANY,
        f"{PREFIX}clientCapabilities": st.just({}) | ANY,
        f"{PREFIX}clientInfo": ANY,
        f"{PREFIX}logLevel": st.sampled_from(["debug", "loud"]) | ANY,
        "progressToken": ANY,
    },
)
GOOD_META = st.just({f"{PREFIX}protocolVersion": "2026-07-28", f"{PREFIX}clientCapabilities": {}})
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "_meta": META | GOOD_META | ANY,
        "protocolVersion": VERSIONS | ANY,
        "capabilities": st.just({}) | ANY,
        "name": st.just("tool") | ANY,
        "arguments": st.just({}) | ANY,
        "uri": st.just("a://b") | ANY,
        "cursor": ANY,
        "level": st.sampled_from(["debug", "error"]) | ANY,
        "requestId": st.integers(0, 5) | ANY,
        "notifications": st.just({"toolsListChanged": True}) | ANY,
        "ref": st.just({"type": "ref/prompt", "name": "p"}) | ANY,
        "argument": st.just({"name": "a", "value": "v"}) | ANY,
        "inputResponses": ANY,
        "requestState": ANY,
    },
)
METHODS = st.sampled_from(
    [
        "initialize",
        "ping",
        "server/discover",
        "subscriptions/listen",
        "logging/setLevel",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "notifications/cancelled",
        "notifications/initialized",
        "nonsense",
    ]
)
MESSAGE = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": METHODS},
    optional={"id": st.integers(0, 5) | ANY, "params": PARAMS | ANY},
)
RESPONSE = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "id": st.sampled_from(["ask-1", 1])}, optional={"result": ANY}
)
HANDSHAKE = VERSIONS.map(
    lambda version: {
        "jsonrpc": "2.0",
        "id": "h",
        "method": "initialize",
        "params": {"protocolVersion": version},
    }
)
CALL = st.builds(
    lambda identity, meta: {
        "jsonrpc": "2.0",
        "id": identity,
        "method": "tools/call",
        "params": {"name": "tool", "_meta": meta},
    },
    st.integers(0, 5),
    GOOD_META | st.just({"progressToken": 1}),
)
CANCEL = st.integers(0, 5).map(
    lambda identity: {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": identity},
    }
)
LINES = st.lists(
    CALL | CANCEL | MESSAGE | HANDSHAKE | RESPONSE | st.lists(MESSAGE, max_size=3) | ANY, max_size=12
)


class Empty:
    def listed(self) -> Sequence[Tool]:
        return ()

    def schema(self, tool: Tool) -> JsonObject:
        return {}

    def resources(self) -> Sequence[Resource]:
        return ()

    def templates(self) -> Sequence[ResourceTemplate]:
        return ()

    def prompts(self) -> Sequence[Prompt]:
        return ()


class Driver:
    """Runs a conversation as a door would, with calls that end later."""

    def __init__(self) -> None:
        self.conversation = Conversation(ServerInfo("fuzz", "1"), Empty())
        self.waiting: list[Work] = []
        self.answered: Counter[Any] = Counter()
        self.stopped = self.acknowledged = self.ended = 0
        self.frames: list[bytes] = []

    def receive(self, line: bytes | bytearray) -> None:
        for event in self.conversation.receive(parse(line)):
            match event:
                case Say():
                    self.say([event])
                case Do(work):
                    self.waiting.append(work)
                case Stop(work):
                    self.stopped += 1
                    assert work in self.waiting
                    assert not self.conversation.is_open(work)
                    assert self.conversation.done(work, results.empty()) == []
                    self.waiting.remove(work)
                case _:
                    pass

    def say(self, frames: list[Say]) -> None:
        for said in frames:
            self.frames.append(said.frame)
            frame = json.loads(said.frame)
            for each in frame if isinstance(frame, list) else [frame]:
                if "method" not in each:
                    self.answered[each["id"]] += 1
                self.acknowledged += each.get("method") == "notifications/subscriptions/acknowledged"

    def finish(self) -> None:
        for number, work in enumerate(self.waiting):
            self.say(self.conversation.progress(work, 1, None, "m"))
            self.say(self.conversation.log(work, "error", "l", None))
            match number % 3:
                case 0:
                    self.say(self.conversation.done(work, results.called(Answer.text("x"))))
                case 1:
                    self.say(self.conversation.failed(work, Busy("x")))
                case _:
                    self.say(self.conversation.failed(work, Broken("x")))
            assert self.conversation.done(work, results.empty()) == []
        self.conversation.changed("tools")
        self.conversation.updated("a://b")
        goodbye = self.conversation.goodbye()
        self.ended = len(goodbye)
        self.say(goodbye)
        assert self.conversation.idle


def to_be_answered(line: Any) -> list[Any]:
    """The ids under which this line asks for answers; None where it has no proper one."""
    message = parse(json.dumps(line).encode())
    if isinstance(message, Request) or (isinstance(message, Malformed) and message.answered):
        return [message.id]
    return []


@settings(max_examples=150)
@given(LINES)
def test_each_request_has_one_answer_and_no_other_is_made_up(lines: list[Any]) -> None:
    driver = Driver()
    asked = Counter[Any]()
    for line in lines:
        for each in line if isinstance(line, list) and line else [line]:
            asked.update(to_be_answered(each))
        driver.receive(json.dumps(line).encode())
    driver.finish()
    for identity, count in driver.answered.items():
        if identity is not None:  # under which also those are refused whose id is in use, and whole batches
            assert count <= asked[identity]
    if not any(isinstance(line, list) for line in lines):
        silent = driver.stopped + driver.acknowledged - driver.ended
        assert driver.answered.total() == asked.total() - silent


@settings(max_examples=60)
@given(LINES)
def test_it_says_the_same_whole_and_byte_by_byte(lines: list[Any]) -> None:
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def heard(pieces: list[bytes]) -> list[bytes]:
        driver, framing = Driver(), Lines()
        for piece in pieces:
            for line in framing.feed(piece):
                assert not isinstance(line, Malformed)
                driver.receive(line)
        driver.finish()
        return driver.frames

    assert heard([text]) == heard([bytes([byte]) for byte in text])
