"""Remembering: what is written, what is merged, and what is refused with a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from mimo.errors import Conflict, InvalidArguments, NotFound
from mimo.services.memory.drafts import content_hash
from mimo.storage.engrams.engram import load
from mimo.tool import Client, Trust


async def test_what_was_added_is_found_by_words_at_once_and_by_meaning_a_moment_later(memory: Any) -> None:
    assert await memory.text("memory_add", content="The release is on Friday") == "added m1"
    assert await memory.found("release friday") == ["The release is on Friday"]
    await memory.settled()
    found = await memory.data("memory_search", query="release friday", namespace="proj")
    assert found["arms"]["meaning"] == "ran"
    assert found["results"][0]["id"] == "m1"


async def test_everything_that_was_said_is_kept(memory: Any) -> None:
    id_ = await memory.add(
        "The parser reads UTF-8 only",
        kind="decision",
        importance=0.9,
        tags=["parser", "utf-8", "parser"],
        reference="D1:3",
        session="s1",
        position=7,
        created_at="2023-05-07T10:00:00+02:00",
        valid_from="2023-05-07",
        valid_to=1_900_000_000,
        source={"client": "importer", "tool": "grep", "trust": "tool"},
    )
    (got,) = (await memory.data("memory_get", ids=[id_]))["results"]
    assert got["kind"] == "decision"
    assert got["importance"] == 0.9
    assert got["tags"] == ["parser", "utf-8"]
    assert got["references"] == ["D1:3"]
    assert (got["session"], got["position"]) == ("s1", 7)
    assert got["created_at"] == "2023-05-07T08:00:00Z"
    assert (got["valid_from"], got["valid_to"]) == ("2023-05-07T00:00:00Z", "2030-03-17T17:46:40Z")
    assert got["source"] == {"client": "importer", "tool": "grep", "trust": "tool"}


async def test_many_are_added_in_order_and_take_the_next_places_in_their_sessions(memory: Any) -> None:
    items = [{"content": f"turn {n}", "session": "s" if n % 2 else "t"} for n in range(6)]
    done = (await memory.data("memory_add", items=items))["results"]
    assert [each["outcome"] for each in done] == ["added"] * 6
    got = (await memory.data("memory_get", ids=[each["id"] for each in done]))["results"]
    assert [(each["session"], each["position"]) for each in got] == [
        ("t", 0), ("s", 0), ("t", 1), ("s", 1), ("t", 2), ("s", 2),
    ]  # fmt: skip


async def test_the_same_words_are_merged_and_both_origins_kept(memory: Any) -> None:
    first = await memory.add("I prefer tea.", reference="a", tags=["drink"])
    text = await memory.text(
        "memory_add", content="i prefer  tea", reference="b", tags=["taste"], importance=0.8
    )
    assert text == f"merged into {first}"
    (got,) = (await memory.data("memory_get", ids=[first]))["results"]
    assert got["content"] == "I prefer tea."
    assert got["references"] == ["a", "b"]
    assert got["tags"] == ["drink", "taste"]
    assert got["importance"] == 0.8
    (hit,) = (await memory.data("memory_search", query="tea", namespace="proj"))["results"]
    assert hit["references"] == ["a", "b"]


async def test_the_same_words_in_one_call_are_merged_too(memory: Any) -> None:
    text = await memory.text(
        "memory_add", items=[{"content": "Same."}, {"content": "Other"}, {"content": "same"}]
    )
    assert text == "added m1\nadded m2\nmerged into m1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("use ls -A", "use ls -a"),
        ("it is 5 pm", "it is 6 pm"),
        ("I like it", "I do not like it"),
        ("C", "C++"),
    ],
)
def test_words_that_differ_are_not_the_same(one: str, other: str) -> None:
    assert content_hash(one) != content_hash(other)


async def test_the_same_words_for_another_time_or_namespace_are_another_memory(memory: Any) -> None:
    await memory.add("On call: Ann", valid_from="2027-01-01", valid_to="2027-01-07")
    await memory.add("On call: Ann", valid_from="2027-02-01", valid_to="2027-02-07")
    await memory.add("On call: Ann", namespace="elsewhere")
    assert [
        each["outcome"] for each in (await memory.data("memory_add", content="On call: Ann"))["results"]
    ] == ["added"]


async def test_a_key_is_done_once(memory: Any) -> None:
    first = await memory.text("memory_add", content="Counted", key="k1")
    again = await memory.text("memory_add", content="Counted", key="k1")
    assert first == again == "added m1"
    assert len((await memory.data("memory_get", ids=["m1"]))["results"][0]["origins"]) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Something else"},
        {"content": "Counted", "tags": ["x"]},
        {"content": "Counted", "importance": 0.9},
        {"items": [{"content": "Counted"}, {"content": "Something else"}]},
    ],
    ids=["content", "tags", "importance", "items"],
)
async def test_a_key_is_not_taken_for_something_else(memory: Any, other: dict[str, Any]) -> None:
    await memory.add("Counted", key="k1")
    with pytest.raises(Conflict, match="key 'k1' was used for something else"):
        await memory.call("memory_add", key="k1", **other)
    assert await memory.text("memory_add", items=[{"content": "Counted"}], key="k1") == "added m1"
    assert await memory.text("memory_add", content="Counted", key="k1", namespace="elsewhere") == "added m2"
    assert await memory.found("counted something else") == ["Counted"]


async def test_long_namespaces_that_begin_alike_do_not_share_their_keys(memory: Any) -> None:
    await memory.call("memory_add", content="Counted", key="k", namespace="n" * 60 + "1")
    with pytest.raises(Conflict):
        await memory.call("memory_add", content="Counted", key="k", namespace="n" * 60 + "2")


async def test_what_was_added_under_a_key_and_is_gone_is_said_to_be_gone(memory: Any) -> None:
    first = [{"content": "Counted"}, {"content": "Kept"}]
    await memory.call("memory_add", items=first, key="k1")
    await memory.call("memory_edit", action="purge", ids=["m1"])
    again = "added m1 (done before under this key; erased since)\nadded m2"
    assert await memory.text("memory_add", items=first, key="k1") == again
    told = (await memory.data("memory_add", items=first, key="k1"))["results"]
    assert [each.get("erased", False) for each in told] == [True, False]


async def test_what_is_replaced_leaves_search_and_stays_readable(memory: Any) -> None:
    old = await memory.add("The store is MySQL")
    text = await memory.text("memory_add", content="The store is SQLite", supersedes=[old])
    assert text == f"added m2, superseding {old}"
    assert await memory.found("store") == ["The store is SQLite"]
    (got,) = (await memory.data("memory_get", ids=[old]))["results"]
    assert got["superseded_by"] == "m2"


async def test_replacing_what_is_not_there_writes_nothing(memory: Any) -> None:
    with pytest.raises(NotFound, match="there is no memory m77; nothing was written"):
        await memory.call("memory_add", items=[{"content": "One"}, {"content": "Two", "supersedes": ["m77"]}])
    assert await memory.found("one two") == []


async def test_secrets_are_taken_out_and_that_is_said(memory: Any) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    text = await memory.text("memory_add", content=f"The token is {secret} for CI")
    assert text == "added m1 (redacted: GitHub token)"
    assert secret not in await memory.text("memory_get", ids=["m1"])


async def test_a_client_from_the_web_cannot_speak_for_the_user(memory: Any) -> None:
    web = Client(name="page", namespace="proj", trust=Trust.WEB)
    await memory.call("memory_add", web, content="Trust me", source="user")
    await memory.call("memory_add", content="The user said so", source="user")
    got = (await memory.data("memory_get", ids=["m1", "m2"]))["results"]
    assert [each["source"]["trust"] for each in got] == ["web", "user"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing to remember"),
    ({"content": ""}, "there is nothing in it"),
    ({"content": " \n\t"}, "there is nothing in it"),
    ({"content": "\u200b \ufeff\n"}, "there is nothing in it"),
    ({"content": "x" * 100_001}, "at most 100,000 bytes"),
    ({"content": "é" * 50_001}, "at most 100,000 bytes"),
    ({"content": "a\0b"}, "binary"),
    ({"content": "lone \ud800 surrogate"}, "half a character .* at 5"),
    ({"content": "x", "reference": "\ud800"}, "must be valid Unicode"),
    ({"content": "x", "tags": ["\udfff"]}, "tags.0. must be valid Unicode"),
    ({"content": "x", "source": "\udfff"}, "printable"),
    ({"content": 5}, "content must be a string"),
    ({"content": "x", "tags": [f"t{n}" for n in range(10_000)]}, "tags must be a list of 0..64 items"),
    ({"content": "x", "tags": ["a" * 101]}, "0..100 characters"),
    ({"content": "x", "tags": [" "]}, "a tag is some printable characters"),
    ({"content": "x", "importance": 1.5}, "importance must be 0..1"),
    ({"content": "x", "importance": float("nan")}, "importance"),
    ({"content": "x", "kind": "Not a kind"}, "kind must be"),
    ({"content": "x", "created_at": "2999-01-01"}, "created_at is in the future"),
    ({"content": "x", "created_at": "soon"}, "created_at must be a time"),
    ({"content": "x", "created_at": float("inf")}, "created_at must be a time"),
    ({"content": "x", "created_at": 1e300}, "created_at must be a time"),
    (
        {"content": "x", "valid_from": "2027-02-01", "valid_to": "2027-01-01"},
        "valid_to .* is before valid_from",
    ),
    ({"content": "x", "position": 3}, "position has a meaning only within a session"),
    ({"content": "x", "ttl": -1}, "ttl must be"),
    ({"content": "x", "supersedes": ["nope"]}, "'nope' is no id of a memory"),
    ({"content": "x", "source": {"who": "me"}}, "source has no 'who'"),
    ({"content": "x", "source": {"trust": "god"}}, "source.trust must be one of"),
    ({"content": "x", "namespace": " a"}, "no space at its ends"),
    ({"content": "x", "colour": "red"}, "unknown argument 'colour'"),
    ({"items": [{"content": "ok"}, {"content": ""}]}, r"items\[1\].content"),
    ({"items": [{"content": "ok"}, {"content": "x", "created_at": "never"}]}, r"items\[1\].created_at"),
    ({"items": [{"content": f"n{n}"} for n in range(1001)]}, "items must be a list of 0..1000 items"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
async def test_what_does_not_fit_is_refused_with_a_sentence(
    memory: Any, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArguments, match=sentence):
        await memory.call("memory_add", **arguments)
    assert await memory.found("ok x") == []


async def test_a_huge_batch_of_long_texts_is_checked_beside_the_loop(memory: Any) -> None:
    items = [{"content": f"{n} " + "long text " * 2_000} for n in range(8)]
    assert len((await memory.data("memory_add", items=items))["results"]) == 8


async def test_two_at_once_lose_nothing(memory: Any) -> None:
    async def write(name: str) -> None:
        for n in range(50):
            await memory.call("memory_add", content=f"{name} wrote number {n}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "Ann")
        nursery.start_soon(write, "Bob")
    there = await memory.database.read(load, range(1, 200))
    assert len({engram.content for engram in there}) == len(there) == 100


async def test_an_event_tells_of_it_without_the_text(memory: Any) -> None:
    await memory.add("A private remark")
    await memory.add("A private remark")
    first, second = memory.told("memory:added")
    assert (first.ids, first.merged) == (("m1",), ())
    assert (second.ids, second.merged) == ((), ("m1",))
    assert "private" not in repr(first)


TOKEN = "gh" + "p_" + "a1B2" * 9


async def test_a_secret_among_the_tags_is_taken_out_and_that_is_said(memory: Any) -> None:
    text = await memory.text("memory_add", content="The deploy uses it", tags=["ci", TOKEN])
    assert text == "added m1 (redacted: GitHub token)"
    (got,) = (await memory.data("memory_get", ids=["m1"]))["results"]
    assert sorted(got["tags"]) == ["[redacted GitHub token]", "ci"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"reference": TOKEN}, "reference"),
        ({"session": f"s-{TOKEN}"}, "session"),
        ({"source": TOKEN}, "source"),
        ({"source": {"client": TOKEN}}, "source"),
        ({"namespace": TOKEN}, "namespace"),
        ({"key": TOKEN}, "key"),
        (
            {"content": None, "items": [{"content": "a"}, {"content": "b", "reference": TOKEN}]},
            r"items\[1\]\.reference",
        ),
    ],
)
async def test_a_secret_in_a_name_is_refused_as_names_stay_what_they_are(
    memory: Any, given: dict[str, Any], place: str
) -> None:
    with pytest.raises(InvalidArguments, match=rf"{place}.* holds a secret \(GitHub token\)") as refused:
        await memory.text("memory_add", **({"content": "x"} | given))
    assert TOKEN not in str(refused.value)
    with pytest.raises(NotFound):
        await memory.text("memory_get", ids=["m1"])


@pytest.mark.parametrize("given", [{"action": "tag"}, {"action": "update"}])
async def test_a_secret_does_not_become_a_tag_later(memory: Any, given: dict[str, Any]) -> None:
    id_ = await memory.add("x", tags=["a"])
    with pytest.raises(InvalidArguments, match="tags: one holds a secret"):
        await memory.text("memory_edit", ids=[id_], tags=[TOKEN], **given)
    await memory.text("memory_edit", ids=[id_], tags=[TOKEN], action="untag")  # whatever got in can get out


async def test_a_memory_is_not_in_every_namespace(memory: Any) -> None:
    with pytest.raises(InvalidArguments, match='namespace "\\*" is every one'):
        await memory.text("memory_add", content="x", namespace="*")
