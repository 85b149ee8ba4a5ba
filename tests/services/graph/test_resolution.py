"""What a mention stands for: by name, by words with a typo, by meaning, or one of several; and names joined and parted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mimo.errors import Busy, Conflict, InvalidArguments, MimoError, NotFound, Unavailable
from mimo.services.graph.resolution import likeness
from mimo.storage.sql import value

Living = Any  # conftest's


async def by(graph: Living, mention: str) -> tuple[str | None, str]:
    found = await graph.data("resolve", subject=mention)
    return found.get("name"), found.get("by", "several" if found["ambiguous"] else "nothing")


async def test_a_name_in_any_spelling_is_the_same_thing(graph: Living) -> None:
    await graph.teach(("Zoë  Müller", "likes", "tea"))
    for mention in ("zoe muller", "ZOË MÜLLER", "Zoë Müller", " zoë müller "):
        assert await by(graph, mention) == ("Zoë  Müller", "name")


async def test_an_alias_is_a_name(graph: Living) -> None:
    await graph.call("teach", subject="Payments Team", aliases=["team-pay", "the money people"])
    assert await by(graph, "The Money People") == ("Payments Team", "name")
    await graph.teach(("team-pay", "owns", "ledger"))
    assert await graph.facts(subject="Payments Team") == {("Payments Team", "owns", "ledger")}


async def test_a_typo_is_forgiven_and_a_digit_is_not(graph: Living) -> None:
    await graph.teach(("Kubernetes", "runs", "server1"), ("Alice", "likes", "tea"))
    assert await by(graph, "Kubernets") == ("Kubernetes", "words")
    assert await by(graph, "Alcie") == ("Alice", "words")
    assert await by(graph, "server2") == (None, "nothing")
    assert await by(graph, "Alonso") == (None, "nothing")


async def test_meaning_finds_what_no_word_does_if_it_leads(graph: Living) -> None:
    graph.embedder.same = {"automobile": "car"}
    await graph.teach(("car", "has", "wheels"), ("boat", "has", "sails"))
    assert await by(graph, "automobile") == ("car", "meaning")
    graph.embedder.same |= {"auto": "car", "wagon": "car"}
    await graph.teach(("wagon", "has", "doors"))
    asked = graph.embedder.asked
    assert await by(graph, "auto") == (None, "several")
    assert graph.embedder.asked - asked == 3  # the two that are new, and the mention


@pytest.mark.parametrize("error", [Busy("429"), InvalidArguments("400"), Unavailable("500")])
async def test_an_embedder_that_refuses_is_no_fault_of_who_asks(
    graph: Living, error: MimoError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(texts: Sequence[str]) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise error

    monkeypatch.setattr(graph.embedder, "embed", refuse)
    await graph.teach(("car", "has", "wheels"))
    assert await by(graph, "automobile") == (None, "nothing")


async def test_several_are_an_answer_and_nothing_is_taught_of_them(graph: Living) -> None:
    await graph.call("teach", subject="Ann Smith", aliases=["Ann"])
    await graph.call("teach", subject="Ann Jones", aliases=["Ann"])
    text = await graph.text("query", subject="ann")
    assert text == "'ann' could be 'Ann Smith', 'Ann Jones'; say which"
    told = (await graph.data("teach", triples=[["Ann", "likes", "tea"], ["Bob", "likes", "tea"]]))["results"]
    assert [(each["op"], each.get("candidates")) for each in told] == [
        ("ambiguous", ["Ann Smith", "Ann Jones"]),
        ("added", None),
    ]
    assert await graph.facts() == {("Bob", "likes", "tea")}


async def test_asking_makes_nothing(graph: Living) -> None:
    await graph.teach(("a", "p", "b"))
    for operation in ("query", "neighbours", "closure", "impact", "resolve"):
        await graph.call(operation, subject="somebody new")
    await graph.call("path", subject="a", object="somebody new")
    await graph.call("why", subject="somebody new", predicate="p")
    assert await graph.database.read(value, "SELECT count(*) FROM entities") == 2


async def test_two_names_become_one_thing_and_two_again(graph: Living) -> None:
    await graph.call("teach", subject="PG", aliases=["pgsql"])
    await graph.teach(
        ("api", "depends_on", "PG"), ("api", "depends_on", "Postgres"), ("PG", "depends_on", "disk"),
        ("PG", "same_as", "Postgres"),
    )  # fmt: skip
    await graph.call("infer")
    before = await graph.facts()
    assert "is Postgres now" in await graph.text("merge", subject="PG", to="Postgres")
    assert await graph.facts(inferred=False) == {
        ("api", "depends_on", "Postgres"),
        ("Postgres", "depends_on", "disk"),
    }
    assert ("api", "depends_on", "disk") in await graph.facts()
    assert await by(graph, "pgsql") == ("Postgres", "name")
    assert await graph.text("undo") == "undone: merged PG into Postgres"
    assert await graph.facts() == before
    assert await by(graph, "pgsql") == ("PG", "name")
    assert await graph.text("undo") == "nothing to undo"
    assert [event.action for event in graph.told("graph:renamed")] == ["merge", "undo"]


async def test_one_thing_becomes_two_and_one_again(graph: Living) -> None:
    ids = await graph.teach(("Java", "is_a", "language"), ("Java", "located_in", "Indonesia"))
    await graph.call("teach", subject="Java", aliases=["Jawa"])
    before = await graph.facts()
    await graph.call("split", subject="Java", to="Java (island)", ids=[ids[1]], aliases=["Jawa"])
    assert await graph.facts(inferred=False) == {
        ("Java", "is_a", "language"), ("Java (island)", "located_in", "Indonesia"),
    }  # fmt: skip
    assert await by(graph, "jawa") == ("Java (island)", "name")
    await graph.call("undo")
    assert await graph.facts() == before
    assert await by(graph, "Java (island)") != ("Java (island)", "name")
    assert await by(graph, "jawa") == ("Java", "name")


async def test_what_cannot_be_renamed_is_refused(graph: Living) -> None:
    ids = await graph.teach(("a", "p", "b"), ("c", "p", "d"))
    with pytest.raises(Conflict, match="the same already"):
        await graph.call("merge", subject="a", to="A")
    with pytest.raises(Conflict, match="is there already"):
        await graph.call("split", subject="a", to="b", ids=[ids[0]])
    with pytest.raises(NotFound, match="not of 'a'"):
        await graph.call("split", subject="a", to="new", ids=[ids[1]])
    assert "nothing here is called 'x'" in await graph.text("merge", subject="x", to="a")
    assert await graph.facts() == {("a", "p", "b"), ("c", "p", "d")}


async def test_questions_to_the_memory_learn_other_names_and_where_facts_came_from(graph: Living) -> None:
    assert await graph.door.also("who is in team-pay?", ["proj"]) == ((), ())
    await graph.call("teach", subject="Payments Team", aliases=["team-pay"])
    words, engrams = await graph.door.also("who is in team-pay?", ["proj"])
    assert (list(words), list(engrams)) == (["Payments Team"], [])
    assert await graph.door.also("who is in team-pay?", ["elsewhere"]) == ((), ())


@given(st.text(max_size=30), st.text(max_size=30))
def test_likeness_is_the_same_both_ways_and_between_0_and_1(one: str, other: str) -> None:
    assert likeness(one, other) == likeness(other, one)
    assert 0 <= likeness(one, other) <= 1
