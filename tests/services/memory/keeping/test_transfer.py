"""Out as JSON lines and in again: an empty home that takes in an export exports the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimo.errors import InvalidArguments, NotFound
from mimo.services.memory.carried_lines import read_line
from mimo.services.memory.transfer import Transfer
from mimo.storage.database import Database
from mimo.tool import Client

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
).filter(str.strip)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
items = st.fixed_dictionaries(
    {"content": texts},
    optional={
        "kind": st.sampled_from(["fact", "plan", "x-1"]),
        "importance": st.floats(0, 1),
        "tags": st.lists(words, max_size=3),
        "reference": words,
        "session": words,
        "created_at": st.integers(-(10**9), 1_799_999_999),
        "valid_from": st.integers(0, 10**9),
        "valid_to": st.integers(10**9, 2 * 10**9),
        "ttl": st.integers(1, 1000),
        "source": st.sampled_from(["user", "tool", "a thing"]),
    },
)
edits = st.sampled_from(
    [
        {"action": "forget"},
        {"action": "update", "content": "Reworded camelCase"},
        {"action": "update", "importance": 0.99, "tags": ["z"]},
        {"action": "protect"},
        {"action": "supersede", "target": "m1"},
        {"action": "link", "target": "m1", "relation": "explains"},
        {"action": "undo"},
    ]
)


async def exported(database: Database) -> list[str]:
    return [line async for line in Transfer(database).lines()]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    added=st.lists(items, min_size=1, max_size=8),
    edited=st.lists(st.tuples(edits, st.integers(1, 8)), max_size=6),
)
def test_an_empty_home_that_takes_in_an_export_exports_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    living_at: Any,
    added: list[dict[str, Any]],
    edited: list[tuple[Mapping[str, Any], int]],
) -> None:
    """export(import(export(home))) == export(home)"""

    async def round_trip() -> None:
        async with living_at(tmp_path_factory.mktemp("one")) as one:
            for item in added:
                await one.call("memory_add", items=[item])
            for change, number in edited:
                ids = {} if change["action"] == "undo" else {"ids": [f"m{(number - 1) % len(added) + 1}"]}
                # It was merged, and has no number of its own; or it is to replace itself.
                with suppress(NotFound, InvalidArguments):
                    await one.call("memory_edit", **change, **ids)
            lines = await exported(one.database)
        async with living_at(tmp_path_factory.mktemp("two")) as two:
            client = Client(namespace="somewhere")
            told = await Transfer(two.database).taken_in(lines, client)
            assert told["errors"] == []
            assert await exported(two.database) == lines
            again = await Transfer(two.database).taken_in(lines, client)
            assert (again["added"], again["known"]) == (0, told["added"])
            assert await exported(two.database) == lines

    trio.run(round_trip)


async def test_two_alike_that_were_forgotten_stay_two(living_at: Any, tmp_path: Path) -> None:
    async with living_at(tmp_path / "one") as one:
        for number in (1, 2):
            await one.add("The harbour is closed")
            await one.call("memory_edit", action="forget", ids=[f"m{number}"])
        lines = await exported(one.database)
    async with living_at(tmp_path / "two") as two:
        client = Client(namespace="somewhere")
        assert (await Transfer(two.database).taken_in(lines, client))["added"] == 2
        assert await exported(two.database) == lines
        assert (await Transfer(two.database).taken_in(lines, client))["known"] == 2


async def test_what_was_taken_in_is_found_and_gets_its_vectors(
    memory: Any, living_at: Any, tmp_path: Path
) -> None:
    async with living_at(tmp_path / "other") as other:
        await other.add("The harbour is closed in winter", tags=["sea"])
        lines = await exported(other.database)
    await Transfer(memory.database).taken_in(lines, memory.client)
    await memory.settled()
    assert await memory.found("harbour", tags=["sea"]) == ["The harbour is closed in winter"]
    assert len(memory.parts.meaning.near()) == 1


async def test_taken_ids_are_given_anew_and_ties_follow(memory: Any, living_at: Any, tmp_path: Path) -> None:
    async with living_at(tmp_path / "other") as other:
        old = await other.add("Port 80")
        await other.add("Port 8080", supersedes=[old])
        lines = await exported(other.database)
    await memory.call("memory_add", items=[{"content": "Mine one"}, {"content": "Mine two"}])
    assert (await Transfer(memory.database).taken_in(lines, memory.client))["added"] == 2
    assert await memory.found("port") == ["Port 8080"]
    got = {
        each["content"]: each
        for each in (await memory.data("memory_get", ids=["m1", "m2", "m3", "m4"]))["results"]
    }
    assert set(got) == {"Mine one", "Mine two", "Port 80", "Port 8080"}
    assert got["Port 80"]["superseded_by"] == got["Port 8080"]["id"]


async def test_a_dry_run_changes_nothing(memory: Any) -> None:
    told = await Transfer(memory.database).taken_in(['{"content": "hello"}'], memory.client, dry_run=True)
    assert told == {"added": 1, "known": 0, "errors": [], "redacted": 0, "promised": []}
    assert await memory.found("hello") == []


async def test_a_plain_line_is_a_memory_of_the_project_without_its_secrets(memory: Any) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    await Transfer(memory.database).taken_in([json.dumps({"content": f"hello {secret}"})], memory.client)
    assert await memory.found("hello") == ["hello [redacted GitHub token]"]


async def test_an_export_is_looked_through_for_secrets_wherever_they_stand(
    memory: Any, living_at: Any, tmp_path: Path
) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    async with living_at(tmp_path / "other") as other:
        id_ = await other.add(
            "The harbour PLACE", tags=["TAG"], reference="REF", session="SES", source="TOOL"
        )
        await other.call("memory_edit", action="update", ids=[id_], content="Reworded", tags=["b"])
        lines = await exported(other.database)
    for place in ("PLACE", "TAG", "REF", "SES", "TOOL"):
        assert any(place in line for line in lines)
        lines = [line.replace(place, secret) for line in lines]
    told = await Transfer(memory.database).taken_in(lines, memory.client)
    assert (told["added"], told["errors"], told["redacted"]) == (1, [], 1)
    now = await exported(memory.database)
    assert not any(secret in line or secret.lower() in line for line in now)
    assert sum(line.count("[redacted GitHub token]") for line in now) >= 5
    again = await Transfer(memory.database).taken_in(now, memory.client)
    assert (again["added"], again["known"], again["redacted"]) == (0, 1, 0)


async def test_a_header_says_how_many_lines_there_should_be(memory: Any) -> None:
    await memory.add("One", tags=["a"])
    await memory.add("Two", supersedes=["m1"])
    lines = await exported(memory.database)
    told = await Transfer(memory.database).taken_in(lines, memory.client, first=7)
    assert told["promised"] == [{"line": 7, "lines": len(lines)}]
    bare = await Transfer(memory.database).taken_in(['{"mimo_export": 1}'], memory.client)
    assert bare["promised"] == [{"line": 1, "lines": 0}]


WRONG = [
    ("nope", "not JSON"),
    ("[1]", "not a JSON object"),
    ("{}", "content: Field required"),
    ('{"content": ""}', "there is nothing in it"),
    ('{"content": 5}', "content"),
    ('{"t": "x"}', "unknown kind"),
    ('{"mimo_export": 9}', "version 9"),
    ('{"content": "x", "created_at": "never"}', "created_at must be a time"),
    ('{"content": "x", "state": "lost"}', "state"),
    ('{"content": "x", "state": "working"}', "working memory has a time"),
    ('{"content": "x", "position": 3}', "only within a session"),
    ('{"content": "x", "id": "7"}', "is no id of a memory"),
    ('{"content": "x", "importance": NaN}', "importance"),
    ('{"content": "\\ud800"}', "half a character|surrogate"),
    ('{"content": "x", "access_count": 1e400}', "access_count"),
    ('{"t": "tie", "one": {"id": "m1"}}', "namespace"),
    ("[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("line", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
async def test_a_wrong_line_is_told_by_its_number_and_keeps_no_other_out(
    memory: Any, line: str, sentence: str
) -> None:
    lines = ['{"content": "before"}', "", line, '{"content": "after"}']
    told = await memory.parts.controls.methods()["mimo/import"]({"lines": lines, "first": 11}, memory.client)
    assert told["added"] == 2
    (error,) = told["errors"]
    assert error["line"] == 13
    assert re.search(sentence, error["message"]), error["message"]


@given(
    st.one_of(
        st.text(max_size=80),
        st.dictionaries(
            st.sampled_from(["t", "content", "id", "tags", "origins", "history", "one", "days"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
                ),
                max_leaves=6,
            ),
        ).map(json.dumps),
    )
)
def test_a_line_is_read_or_refused_with_a_sentence(line: str) -> None:
    """No line does anything but give a thing or raise InvalidArguments."""
    with suppress(InvalidArguments):
        read_line(line, "proj", 0)


@pytest.mark.parametrize("params", [{}, {"lines": "x"}, {"lines": [1]}, {"lines": None}])
async def test_an_import_without_lines_is_refused(memory: Any, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments, match="mimo/import takes"):
        await memory.parts.controls.methods()["mimo/import"](params, memory.client)


async def test_one_namespace_can_be_taken_out_alone_in_portions(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": f"mine {n}"} for n in range(250)])
    await memory.add("theirs", namespace="other")
    sent: list[str] = []

    async def tell(method: str, params: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        assert method == "mimo/exported"
        assert params["total"] == 253
        sent.extend(params["lines"])

    export = memory.parts.controls.streams()["mimo/export"]
    assert await export({"namespace": "proj"}, memory.client, tell) == {"lines": 253}
    assert len(sent) == 253
    assert not any("theirs" in line for line in sent)
    with pytest.raises(NotFound, match="did you mean 'proj'"):
        await export({"namespace": "porj"}, memory.client, tell)
    with pytest.raises(InvalidArguments):
        await export({"namespace": 5}, memory.client, tell)
