"""Each line gets exactly one right answer, or none where JSON-RPC forbids one."""

from typing import Any

import pytest

from mimo.protocol import jsonrpc
from mimo.protocol.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_DEPTH,
    MAX_LINE,
    PARSE_ERROR,
    TOO_DEEP,
    TOO_LONG,
    TORN,
    Batch,
    Failure,
    Lines,
    Malformed,
    Notification,
    Request,
    Response,
    parse,
)

MESSAGES: list[tuple[bytes, object]] = [
    (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', Request(1, "ping")),
    (b' {"jsonrpc":"2.0","id":"a","method":"m","params":{"x":[1]}} \r', Request("a", "m", {"x": [1]})),
    (b'{"jsonrpc":"2.0","method":"n","params":{}}', Notification("n")),
    (b'{"jsonrpc":"2.0","id":3,"result":{"a":1}}', Response(3, {"a": 1})),
    (
        b'{"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"no","data":[1]}}',
        Response(3, None, Failure(-1, "no", [1])),
    ),
    ('{"jsonrpc":"2.0","id":1,"method":"Ä😀"}'.encode(), Request(1, "Ä😀")),
]


@pytest.mark.parametrize(("line", "message"), MESSAGES)
def test_a_message_is_read_as_what_it_is(line: bytes, message: object) -> None:
    assert parse(line) == message


# What comes in; the code and the id of the one answer; or None when there must not be one.
BAD: list[tuple[bytes, tuple[int, object] | None]] = [
    (b"{", (PARSE_ERROR, None)),
    (b"nonsense", (PARSE_ERROR, None)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m"} x', (PARSE_ERROR, None)),
    (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', (INVALID_REQUEST, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', (INVALID_REQUEST, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"\\udc00"}', (INVALID_REQUEST, 1)),
    (b'{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":["\\ud83d"]}}', (INVALID_PARAMS, "a")),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"\\ud83d":1}}', (INVALID_PARAMS, 1)),
    (b'{"jsonrpc":"2.0","method":"m","params":{"x":"\\ud83d"}}', None),
    (b'{"jsonrpc":"2.0","id":1,"result":{"x":"\\ud83d"}}', None),
    (b'{"jsonrpc":"2.0","id":NaN,"method":"m"}', (PARSE_ERROR, None)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":Infinity}}', (PARSE_ERROR, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":-Infinity}}', (PARSE_ERROR, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":[1e999]}}', (PARSE_ERROR, 1)),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":' + b"9" * 400 + b".0}}", (PARSE_ERROR, 1)),
    (b"1", (INVALID_REQUEST, None)),
    (b'"text"', (INVALID_REQUEST, None)),
    (b"null", (INVALID_REQUEST, None)),
    (b"[]", (INVALID_REQUEST, None)),
    (b"{}", (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","id":7}', (INVALID_REQUEST, 7)),
    (b'{"id":7,"method":"m"}', (INVALID_REQUEST, 7)),
    (b'{"jsonrpc":"1.0","id":7,"method":"m"}', (INVALID_REQUEST, 7)),
    (b'{"jsonrpc":"2.0","id":null,"method":"m"}', (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","id":true,"method":"m"}', (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","id":[1],"method":"m"}', (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","id":7,"method":5}', (INVALID_REQUEST, 7)),
    (b'{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}', (INVALID_REQUEST, 7)),
    (b'{"jsonrpc":"2.0","id":7,"method":"m","params":null}', (INVALID_REQUEST, 7)),
    (b'{"jsonrpc":"2.0","method":5}', (INVALID_REQUEST, None)),
    (b'{"jsonrpc":"2.0","method":"m","params":[1]}', None),
    (b'{"method":"m"}', None),
    (b'{"jsonrpc":"2.0","id":7,"result":1}', None),
    (b'{"jsonrpc":"2.0","id":7,"result":{},"error":{}}', None),
    (b'{"jsonrpc":"2.0","id":7,"error":{"code":"x"}}', None),
    (b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}', None),
]


@pytest.mark.parametrize(("line", "answer"), BAD, ids=lambda value: repr(value)[:60])
def test_bad_input_gets_its_one_answer_or_none(line: bytes, answer: tuple[int, object] | None) -> None:
    message = parse(line)
    assert isinstance(message, Malformed)
    assert message.answered == (answer is not None)
    if answer is not None:
        assert (message.failure.code, message.id) == answer


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_allowed_up_to_the_limit_and_not_beyond(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        inside = opening * (depth - 2) + b"1" + closing * (depth - 2)
        return b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":' + inside + b"}}"

    assert isinstance(parse(nested(MAX_DEPTH)), Request)
    assert parse(nested(MAX_DEPTH + 1)) == Malformed(TOO_DEEP.failure, 1)
    assert parse(nested(100_000)) == Malformed(TOO_DEEP.failure, 1)


def test_brackets_in_text_are_not_nesting() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"' + b"[{" * 500 + b'"}}'
    assert isinstance(parse(line), Request)


def test_a_large_but_finite_number_passes() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":[1e300, {"y":"1e999"}]}}')
    assert isinstance(message, Request)


def test_a_batch_keeps_what_is_good_in_it() -> None:
    message = parse(b'[{"jsonrpc":"2.0","id":1,"method":"m"}, 1]')
    assert isinstance(message, Batch)
    assert message.messages[0] == Request(1, "m")
    assert isinstance(message.messages[1], Malformed)


def test_an_endless_batch_is_refused() -> None:
    message = parse(b"[" + b",".join([b"1"] * 1001) + b"]")
    assert isinstance(message, Malformed)
    assert message.failure.code == INVALID_REQUEST


def test_what_is_too_long_is_refused_without_being_read() -> None:
    assert parse(b" " * (MAX_LINE + 1)) == TOO_LONG


def test_halves_of_characters_are_refused_where_they_stand() -> None:
    message = parse(
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"a":["x",{"b":"\\ud83d"}]}}}'
    )
    assert isinstance(message, Malformed)
    assert message.failure.message.startswith("a[1].b must be valid Unicode")
    assert message.without == Request(1, "m", {"arguments": {}})
    also = parse(
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"\\ud83d","arguments":{"a":"\\ud83d"}}}'
    )
    assert isinstance(also, Malformed)
    assert also.without is None


def test_what_is_whole_in_a_batch_is_kept_beside_what_is_half() -> None:
    message = parse(
        b'[{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"\\ud83d"}},{"jsonrpc":"2.0","id":2,"method":"m"}]'
    )
    assert isinstance(message, Batch)
    assert isinstance(message.messages[0], Malformed)
    assert message.messages[0].id == 1
    assert message.messages[1] == Request(2, "m")


MUCH = b'"' + b"x" * 50_000 + b'"'
LONG: list[tuple[bytes, object, bool]] = [
    (b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"id":1,"x":%s}}', 7, True),
    (b'{"method":"m","params":{"id":1,"x":%s,"id":2},"jsonrpc":"2.0","id":"a-\\u0062"}', "a-b", True),
    (b'{"params":{"x":%s},"id" : 7 , "method":"m" } \r', 7, True),
    (b'{"method":"m","params":[%s],"id":null}', None, True),
    # Neither at the beginning nor at the end, within a text, and where there may be none at all.
    (b'{"method":"m","a":%s,"id":7,"b":{"c":%s}}', None, True),
    (b'{"method":"m","params":{"x":%s,"y":",\\"id\\":7"}}', None, True),
    (b'{"method":"m","params":{"x":%s},"y":",\\"id\\":7}"}', None, True),
    (b'{"method":"m","params":{"x":%s,"id":7}}', None, True),
    (b'[{"jsonrpc":"2.0","id":7,"method":"m","params":{"x":%s}}]', None, True),
    (b"[" * 50_000 + b'{"id":7,"method":"m"}', None, True),
    (b'{"jsonrpc":"2.0","id":7,"result":{"method":1,"x":%s}}', 7, False),
    (b'{"id":7,"what":%s}', None, True),
]


@pytest.mark.parametrize(("line", "identity", "answered"), LONG, ids=[repr(line[:40]) for line, _, _ in LONG])
@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_the_id_of_a_line_that_is_too_long_is_looked_for_at_both_ends(
    line: bytes, identity: object, answered: bool, size: int
) -> None:
    lines, text = Lines(cap=40_000), line.replace(b"%s", MUCH) + b"\n"
    seen = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
    assert seen == [Malformed(TOO_LONG.failure, identity, answered)]  # pyright: ignore[reportArgumentType]


def test_a_line_that_breaks_off_while_it_is_skipped_is_known_by_its_beginning_alone() -> None:
    lines = Lines(cap=100)
    list(lines.feed(b'{"id":7,"method":"m","params":{"x":' + MUCH + b',"id":1}'))
    assert lines.end() == Malformed(TOO_LONG.failure, 7)


def test_lines_are_the_same_whole_and_byte_by_byte() -> None:
    text = b"one\ntwo\r\n\n   \nthree"
    whole, bytewise = Lines(), Lines()
    assert [bytes(line) for line in whole.feed(text) if not isinstance(line, Malformed)] == [b"one", b"two\r"]
    seen = [
        bytes(line)
        for byte in text
        for line in bytewise.feed(bytes([byte]))
        if not isinstance(line, Malformed)
    ]
    assert seen == [b"one", b"two\r"]
    assert whole.end() is bytewise.end() is TORN


def test_an_end_between_lines_is_no_error() -> None:
    lines = Lines()
    list(lines.feed(b"one\n  "))
    assert lines.end() is None


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_after_a_line_that_is_too_long_the_next_one_is_heard(size: int) -> None:
    lines, text = Lines(cap=10), b"12345678901234567890\nnext\n" + b"x" * 11 + b"\nlast\n"
    seen = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
    assert seen == [TOO_LONG, b"next", TOO_LONG, b"last"]


def test_a_line_that_is_too_long_and_never_ends_keeps_no_memory() -> None:
    lines = Lines(cap=10)
    for _ in range(1000):
        list(lines.feed(b"x" * 100))
    assert not lines._begun  # pyright: ignore[reportPrivateUsage]
    assert len(lines._tail) <= 1024  # pyright: ignore[reportPrivateUsage]
    assert lines.end() == TOO_LONG
    assert lines.end() is None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": float("nan"), "b": [float("inf")]}, b'{"a":null,"b":[null]}'),
        ({"\ud800": ["x\udfff", ("\ud800",)]}, '{"\ufffd":["x\ufffd",["\ufffd"]]}'.encode()),
        ({"a": "line\nbreak\u2028"}, '{"a":"line\\nbreak\u2028"}'.encode()),
    ],
)
def test_what_json_cannot_say_is_said_as_well_as_can_be(value: Any, written: bytes) -> None:
    assert jsonrpc.encode(value) == written


def test_frames_have_no_newline_and_read_back() -> None:
    assert parse(jsonrpc.request(1, "m", {"x": "a\nb"})) == Request(1, "m", {"x": "a\nb"})
    assert parse(jsonrpc.request(1, "m")) == Request(1, "m")
    assert parse(jsonrpc.notification("n", {"y": 1})) == Notification("n", {"y": 1})
    assert parse(jsonrpc.notification("n")) == Notification("n")
    assert parse(jsonrpc.result("r", {"z": None})) == Response("r", {"z": None})
    assert parse(jsonrpc.error(2, Failure(-5, "f", {"d": 1}))) == Response(
        2, None, Failure(-5, "f", {"d": 1})
    )
    assert (
        jsonrpc.error(None, Failure(-5, "f"))
        == b'{"jsonrpc":"2.0","id":null,"error":{"code":-5,"message":"f"}}'
    )
