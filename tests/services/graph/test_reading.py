"""A language model that reads facts beside the patterns: a stand-in on a real socket, right and wrong in every way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import Unavailable, Unusable
from mimo.services.graph.extraction import Extracted
from mimo.services.graph.reading import PORTION, Model, facts_in, portions

from ...heard import heard

Living = Any  # conftest's
TEXT = "Atlas was bought by Initech in spring. Bob uses Git."
BOUGHT = {
    "subject": "Atlas",
    "predicate": "Bought By",
    "object": "Initech",
    "sentence": "Atlas was bought by Initech in spring.",
}


def saying(*facts: Any) -> bytes:
    content = "Here you are:\n```json\n" + json.dumps({"facts": facts}) + "\n```"
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@dataclass
class StandIn:
    """Answers what it is told to, as an OpenAI-compatible service would."""

    url: str = ""
    says: bytes = saying(BOUGHT)
    status: int = 200
    after: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        if (request := await heard(connection, stream)) is None:
            return
        path, key, asked = request
        assert path == "/v1/chat/completions"
        self.keys.append(key)
        self.asked.append(asked)
        await trio.sleep(self.after)
        head = h11.Response(status_code=self.status, headers=[("Content-Length", str(len(self.says)))])
        for event in (head, h11.Data(data=self.says), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")


@pytest.fixture
async def there(nursery: trio.Nursery) -> AsyncIterator[StandIn]:
    made = StandIn()

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await made.serve(stream)

    async with trio.open_nursery() as mine:
        listeners = await mine.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        made.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        yield made
        mine.cancel_scope.cancel()


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """One that jumps at once would jump over what is on its way through a socket."""
    return trio.testing.MockClock(autojump_threshold=0.1)


async def test_what_the_model_reads_is_taught_beside_the_patterns_and_marked(
    graph: Living, there: StandIn
) -> None:
    graph.door._reader = lambda: Model(there.url, "tiny", "k3y")
    told = await graph.data("teach", text=TEXT, source="a letter")
    assert [(each["subject"], each["predicate"], each["object"]) for each in told["results"]] == [
        ("Bob", "uses", "Git"),
        ("Atlas", "bought_by", "Initech"),
    ]
    assert told["results"][1]["source"] == "a letter, llm:tiny"
    [fact] = (await graph.data("why", subject="Atlas", predicate="bought_by"))["results"]
    assert fact["said"][0]["evidence"] == BOUGHT["sentence"]
    assert fact["said"][0]["source"] == "a letter, llm:tiny"
    assert fact["confidence"] == 0.7
    assert there.keys == ["Bearer k3y"]
    assert there.asked[0]["model"] == "tiny"
    assert "(read by llm:tiny)" in await graph.text("teach", text=TEXT)


async def test_no_secret_is_sent(graph: Living, there: StandIn) -> None:
    graph.door._reader = lambda: Model(there.url, "tiny")
    await graph.call(
        "teach", text=f"{TEXT} The password: hunter2hunter2, key sk-abcdefghijklmnopqrstuvwx1234."
    )
    assert there.asked
    assert "sk-abcdefghijklmnopqrstuvwx1234" not in json.dumps(there.asked)


async def test_a_text_without_a_model_is_read_by_its_forms(graph: Living) -> None:
    told = await graph.data("teach", text=TEXT)
    assert [each["object"] for each in told["results"]] == ["Git"]
    assert "unheard" not in told


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (500, b"{}"),
        (404, b'{"error": "no such model"}'),
        (200, b"nonsense"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [{"message": {"content": null}}]}'),
        (200, b'{"choices": [{"message": {"content": "I cannot do that"}}]}'),
        (200, b'{"choices": [{"message": {"content": "{\\"facts\\": 3}"}}]}'),
        (200, b"[]"),
    ],
)
async def test_a_model_that_fails_costs_only_what_it_would_have_read(
    graph: Living, there: StandIn, status: int, says: bytes
) -> None:
    there.status, there.says = status, says
    graph.door._reader = lambda: Model(there.url, "tiny")
    told = await graph.data("teach", text=TEXT)
    assert [each["object"] for each in told["results"]] == ["Git"]
    assert told["unheard"]
    assert "not by the language model" in await graph.text("teach", text=TEXT)


async def test_a_model_that_keeps_failing_is_left_alone_for_a_while(
    there: StandIn, mock_clock: trio.testing.MockClock
) -> None:
    there.status = 500
    changes: list[str] = []
    model = Model(there.url, "tiny", rest=30, on_change=lambda change: changes.append(change.after.value))
    for _ in range(5):
        assert (await model.read(TEXT))[1]
    assert len(there.asked) == 3
    assert "is left alone" in (await model.read(TEXT))[1]
    there.status = 200
    mock_clock.jump(31)
    found, why = await model.read(TEXT)
    assert ([each.object for each in found], why) == (["Initech"], "")
    assert changes == ["open", "half_open", "closed"]


async def test_a_model_that_says_nothing_is_not_waited_for(
    there: StandIn, patient_clock: trio.testing.MockClock
) -> None:
    there.after = 100
    model = Model(there.url, "tiny", seconds=20)
    began = trio.current_time()
    assert (await model.read(TEXT))[0] == []
    assert trio.current_time() - began == pytest.approx(20, abs=1)
    with trio.fail_after(10):  # half of what the caller has is for teaching what there is
        assert "took too long" in (await model.read(TEXT))[1]
    assert (await model.read(TEXT))[0] == []
    assert "is left alone" in (await model.read(TEXT))[1]


async def test_nobody_there_is_no_error(graph: Living) -> None:
    with trio.socket.socket() as closed:
        await closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        graph.door._reader = lambda: Model(f"http://127.0.0.1:{port}", "tiny")
        told = await graph.data("teach", text=TEXT)
    assert [each["op"] for each in told["results"]] == ["added"]
    with pytest.raises(Unusable):
        Model("ftp://nowhere", "tiny")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sentence": "Atlas was sold to Initech."},  # not in the text
        {"object": "Globex"},  # not in the sentence
        {"subject": ""},
        {"subject": None},
        {"predicate": "!!"},
        {"object": "Atlas"},
        {"subject": "x" * 300},
        {"subject": "A\0tlas"},
        {"object": "\ud800"},
    ],
)
def test_what_the_text_does_not_bear_out_is_left_out(wrong: dict[str, Any]) -> None:
    said = json.dumps({"facts": [BOUGHT | wrong, "no fact", None, BOUGHT]})
    assert facts_in(said, TEXT, "llm:x") == [
        Extracted("Atlas", "bought_by", "Initech", BOUGHT["sentence"], 0.7, "llm:x")
    ]


def test_a_question_is_no_fact() -> None:
    asked = BOUGHT | {"sentence": "Was Atlas bought by Initech?"}
    assert facts_in(json.dumps({"facts": [asked]}), "Was Atlas bought by Initech?", "llm:x") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
told = st.dictionaries(st.sampled_from([*BOUGHT, "more"]), st.sampled_from([*BOUGHT.values()]) | json_values)


@given(st.text(max_size=200) | json_values.map(json.dumps) | st.lists(told | json_values, max_size=4).map(
    lambda facts: json.dumps({"facts": facts})
))  # fmt: skip
def test_whatever_a_model_says_is_facts_of_the_text_or_an_error(said: str) -> None:
    """Facts whose sentence stands in the text and names both, or Unavailable."""
    try:
        found = facts_in(said, TEXT, "llm:x")
    except Unavailable:
        return
    for each in found:
        assert each.sentence.lower() in TEXT.lower()
        assert each.subject.lower() in each.sentence.lower()


@given(st.lists(st.sampled_from(["word ", "Sentence. ", "\n", "x" * 500]), max_size=200).map("".join))
def test_the_portions_of_a_text_are_the_text(text: str) -> None:
    """Joined they are the text, but for blanks at its end; none is too long."""
    parts = list(portions(text))
    assert "".join(parts).rstrip() == text.rstrip()
    assert all(len(part) <= PORTION for part in parts)
