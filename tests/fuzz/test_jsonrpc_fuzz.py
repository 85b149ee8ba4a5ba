"""Whatever bytes come, in whatever pieces: `parse` gives a message and never raises, and the next line is heard."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mimo.protocol.jsonrpc import Batch, Lines, Malformed, Notification, Request, Response, encode, parse

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
MEMBERS = {
    "jsonrpc": st.just("2.0") | LEAVES,
    "id": st.integers() | st.text(max_size=4) | JSON,
    "method": st.sampled_from(["ping", "tools/call", ""]) | JSON,
    "params": st.dictionaries(st.text(max_size=4), JSON, max_size=3) | JSON,
    "result": JSON,
    "error": JSON | st.fixed_dictionaries({"code": st.integers(), "message": st.text(max_size=4)}),
}
NEARLY_MESSAGES = st.fixed_dictionaries({}, optional=MEMBERS)
LINES = (
    st.binary(max_size=60)
    | JSON.map(json.dumps).map(str.encode)
    | NEARLY_MESSAGES.map(json.dumps).map(str.encode)
    | st.lists(NEARLY_MESSAGES, max_size=3).map(json.dumps).map(str.encode)
)
PROBE = b'{"jsonrpc":"2.0","id":"probe","method":"ping"}'


@given(LINES)
def test_parse_never_raises_and_gives_one_message(line: bytes) -> None:
    message = parse(line)
    for each in message.messages if isinstance(message, Batch) else (message,):
        assert isinstance(each, Request | Notification | Response | Malformed)
        if isinstance(each, Request | Response):
            assert isinstance(each.id, str | int)
            assert not isinstance(each.id, bool)
        if isinstance(each, Malformed) and each.id is not None:
            # Even of what is not quite JSON, such as NaN, the id is the one that stands there.
            written: Any = json.loads(line)
            whole: list[Any] = written if isinstance(written, list) else [written]
            assert each.id in [one.get("id") for one in whole]
    encode_back = getattr(message, "params", None)
    if encode_back is not None:
        assert json.loads(encode(encode_back)) == encode_back


@given(st.lists(LINES, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_lines_do_not_depend_on_the_pieces_in_which_they_come(lines: list[bytes], sizes: list[int]) -> None:
    text = b"".join(line + b"\n" for line in lines) + PROBE + b"\n"
    whole, bytewise, piecewise = Lines(cap=50), Lines(cap=50), Lines(cap=50)

    def fed(framing: Lines, pieces: list[bytes]) -> list[Any]:
        return [
            line if isinstance(line, Malformed) else bytes(line)
            for piece in pieces
            for line in framing.feed(piece)
        ]

    pieces, at = list[bytes](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    seen = fed(whole, [text])
    assert seen == fed(bytewise, [bytes([byte]) for byte in text]) == fed(piecewise, pieces)
    assert seen[-1] == PROBE
    assert whole.end() is None


@given(JSON)
def test_what_is_written_reads_back(value: Any) -> None:
    written = encode(value)
    assert b"\n" not in written
    assert written == encode(json.loads(written))
