"""Corrected, forgotten, restored, taken back, and erased so that no byte is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mimo.errors import Conflict, InvalidArguments, NotFound
from mimo.home import Home
from mimo.tool import Client


async def one(memory: Any, id_: str, **more: Any) -> Any:
    return (await memory.data("memory_get", ids=[id_], **more))["results"][0]


async def test_a_corrected_memory_is_found_by_its_new_words_only(memory: Any) -> None:
    id_ = await memory.add("The capital is Bonn", kind="fact")
    await memory.settled()
    assert (
        await memory.text("memory_edit", action="update", ids=[id_], content="The capital is Berlin")
        == "updated m1"
    )
    assert await memory.found("Berlin") == ["The capital is Berlin"]
    await memory.settled()
    found = await memory.data("memory_search", query="Bonn", namespace="proj", why=True)
    assert all("Bonn" not in hit["content"] for hit in found["results"])


async def test_an_update_changes_what_it_names_and_nothing_else(memory: Any) -> None:
    id_ = await memory.add("Tabs, not spaces", tags=["style"], importance=0.3)
    before = await one(memory, id_)
    await memory.call("memory_edit", action="update", ids=[id_], importance=0.9, kind="preference")
    after = await one(memory, id_)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"importance", "kind", "changed_at", "access_count", "accessed_at"}
    assert (after["importance"], after["kind"]) == (0.9, "preference")


async def test_a_forgotten_memory_is_not_recalled_and_can_be_restored(memory: Any) -> None:
    id_ = await memory.add("The door code is on the fridge")
    await memory.settled()
    assert (await memory.text("memory_edit", action="forget", ids=[id_])).startswith("forgot m1")
    assert await memory.found("door code") == []
    await memory.settled()
    assert memory.parts.meaning.near() is not None
    assert len(memory.parts.meaning.near()) == 0
    assert (await one(memory, id_))["state"] == "forgotten"
    assert await memory.text("memory_edit", action="restore", ids=[id_]) == "restored m1"
    await memory.settled()
    assert await memory.found("door code") == ["The door code is on the fridge"]
    assert len(memory.parts.meaning.near()) == 1


async def test_what_is_so_already_is_said_and_is_no_change(memory: Any) -> None:
    id_ = await memory.add("Here")
    assert await memory.text("memory_edit", action="restore", ids=[id_]) == "m1 was so already"
    assert len((await one(memory, id_, history=True))["history"]) == 1


async def test_tags_are_found_as_words_and_as_a_filter(memory: Any) -> None:
    id_ = await memory.add("Upgrade the lattice")
    await memory.call("memory_edit", action="tag", ids=[id_], tags=["kubernetes", "infra"])
    assert await memory.found("kubernetes") == ["Upgrade the lattice"]
    assert await memory.found("lattice", tags=["infra"]) == ["Upgrade the lattice"]
    await memory.call("memory_edit", action="untag", ids=[id_], tags=["infra"])
    assert (await one(memory, id_))["tags"] == ["kubernetes"]
    assert await memory.found("lattice", tags=["infra"]) == []


async def test_a_link_stands_at_both_ends(memory: Any) -> None:
    bug = await memory.add("The build is red")
    cause = await memory.add("The cache was stale")
    await memory.call("memory_edit", action="link", ids=[cause], target=bug, relation="explains")
    tie = {"from": cause, "relation": "explains", "to": bug}
    assert (await one(memory, bug))["links"] == (await one(memory, cause))["links"] == [tie]


async def test_superseding_can_be_said_later(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "Port 80"}, {"content": "Port 8080"}])
    await memory.call("memory_edit", action="supersede", ids=["m1"], target="m2")
    assert await memory.found("port") == ["Port 8080"]


async def test_what_replaced_a_memory_is_replaced_by_it_again(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "Port 80"}, {"content": "Port 8080"}])
    await memory.call("memory_edit", action="supersede", ids=["m1"], target="m2")
    said = await memory.text("memory_edit", action="supersede", ids=["m2"], target="m1")
    assert said == "superseded m2\nm1 stands again: what had replaced it came to be replaced by it."
    assert await memory.found("port") == ["Port 80"]
    assert (await one(memory, "m1"))["links"] == [{"from": "m1", "relation": "supersedes", "to": "m2"}]
    await memory.call("memory_edit", action="undo")
    assert await memory.found("port") == ["Port 8080"]
    assert (await one(memory, "m1"))["links"] == [{"from": "m2", "relation": "supersedes", "to": "m1"}]


async def test_a_longer_round_of_replacements_is_opened_at_its_newest(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": f"Port {n}"} for n in (1, 2, 3)])
    await memory.call("memory_edit", action="supersede", ids=["m1"], target="m2")
    await memory.call("memory_edit", action="supersede", ids=["m2"], target="m3")
    await memory.call("memory_edit", action="supersede", ids=["m3"], target="m1")
    assert await memory.found("port") == ["Port 1"]


async def test_a_replacement_that_is_said_again_is_no_change(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "Port 80"}, {"content": "Port 8080"}])
    await memory.call("memory_edit", action="supersede", ids=["m1"], target="m2")
    assert (
        await memory.text("memory_edit", action="supersede", ids=["m1"], target="m2") == "m1 was so already"
    )


async def test_items_of_one_call_do_not_hide_each_other(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "Port 80"}, {"content": "Port 8080"}])
    both = [{"content": "Port 80", "supersedes": ["m2"]}, {"content": "Port 8080", "supersedes": ["m1"]}]
    await memory.call("memory_add", items=both)
    assert await memory.found("port") == ["Port 8080"]


async def test_what_replaces_itself_by_being_said_again_stays(memory: Any) -> None:
    await memory.add("Port 80")
    assert await memory.text("memory_add", content="Port 80", supersedes=["m1"]) == "merged into m1"
    assert await memory.found("port") == ["Port 80"]


async def test_the_last_change_is_taken_back_as_a_whole_and_then_the_one_before(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "Alpha one", "tags": ["x"]}, {"content": "Alpha two"}])
    before = [await one(memory, id_) for id_ in ("m1", "m2")]
    await memory.call(
        "memory_edit", action="update", ids=["m1", "m2"], content="Beta", tags=["y"], importance=1
    )
    await memory.call("memory_edit", action="forget", ids=["m1", "m2"])
    assert (
        await memory.text("memory_edit", action="undo")
        == "restored m2 (it was forgotten)\nrestored m1 (it was forgotten)"
    )
    await memory.call("memory_edit", action="undo")
    again = [await one(memory, id_) for id_ in ("m1", "m2")]
    for was, is_ in zip(before, again, strict=True):
        same = set(was) - {"changed_at", "access_count", "accessed_at"}
        assert {name: is_[name] for name in same} == {name: was[name] for name in same}
    assert sorted(await memory.found("alpha")) == ["Alpha one", "Alpha two"]
    await memory.call("memory_edit", action="undo")
    assert await memory.found("alpha") == []
    assert (await memory.text("memory_edit", action="undo")).startswith("nothing to undo")


async def test_undoing_a_merge_takes_the_second_saying_out(memory: Any) -> None:
    await memory.add("Tea", reference="a")
    await memory.add("Tea", reference="b", tags=["drink"], importance=0.9)
    await memory.call("memory_edit", action="undo")
    got = await one(memory, "m1")
    assert (got["references"], got["tags"], got["importance"]) == (["a"], [], 0.5)


async def test_undoing_a_replacement_brings_the_old_one_back(memory: Any) -> None:
    old = await memory.add("Deploy on Friday")
    await memory.add("Deploy on Monday", supersedes=[old])
    await memory.call("memory_edit", action="undo")
    assert await memory.found("deploy") == ["Deploy on Friday"]
    assert (await one(memory, old))["links"] == []


async def test_nobody_undoes_what_happened_in_another_project(memory: Any) -> None:
    await memory.call("memory_add", Client(name="other", namespace="other"), content="Theirs")
    assert (await memory.text("memory_edit", action="undo")).startswith("nothing to undo")


async def test_history_tells_each_change_and_what_was_before(memory: Any) -> None:
    id_ = await memory.add("One")
    await memory.call("memory_edit", action="update", ids=[id_], content="Two")
    await memory.call("memory_edit", action="undo")
    history = (await one(memory, id_, history=True))["history"]
    assert [(each["op"], each["undone"]) for each in history] == [
        ("added", False),
        ("updated", True),
        ("undone", False),
    ]
    assert history[1]["before"] == {"content": "One"}
    assert "updated by tester; content was 'One' (undone)" in await memory.text(
        "memory_get", ids=[id_], history=True
    )


async def test_a_tag_changes_no_words(memory: Any) -> None:
    id_ = await memory.add("Upgrade the lattice")
    await memory.call("memory_edit", action="tag", ids=[id_], tags=["kubernetes"])
    history = (await one(memory, id_, history=True))["history"]
    assert history[1]["before"] == {"tags": []}
    await memory.call("memory_edit", action="undo")
    assert await memory.found("lattice", tags=["kubernetes"]) == []
    assert await memory.found("lattice") == ["Upgrade the lattice"]


async def test_a_key_makes_an_edit_once(memory: Any) -> None:
    id_ = await memory.add("Once")
    first = await memory.text("memory_edit", action="forget", ids=[id_], key="f")
    await memory.call("memory_edit", action="restore", ids=[id_])
    assert await memory.text("memory_edit", action="forget", ids=[id_], key="f") == first
    assert (await one(memory, id_))["state"] == "live"


async def test_a_key_is_not_taken_for_another_edit(memory: Any) -> None:
    await memory.call("memory_add", items=[{"content": "One"}, {"content": "Two"}])
    await memory.call("memory_edit", action="forget", ids=["m1"], key="e")
    for other in ({"action": "forget", "ids": ["m2"]}, {"action": "protect", "ids": ["m1"]}):
        with pytest.raises(Conflict, match="key 'e' was used for something else"):
            await memory.call("memory_edit", key="e", **other)
    assert (await one(memory, "m2"))["state"] == "live"


async def test_a_key_of_an_undo_is_its_callers(memory: Any) -> None:
    await memory.add("One")
    await memory.call("memory_edit", action="undo", key="u")
    with pytest.raises(Conflict):
        await memory.call("memory_edit", Client(name="other"), action="undo", key="u")


async def test_a_secret_does_not_come_in_by_an_edit(memory: Any) -> None:
    id_ = await memory.add("Nothing here")
    secret = "sk-proj-" + "aB3dE5gH7j" * 3
    text = await memory.text("memory_edit", action="update", ids=[id_], content=f"key {secret}")
    assert "redacted" in text
    assert secret not in await memory.text("memory_get", ids=[id_], history=True)


async def test_a_purged_memory_leaves_no_byte_behind(memory: Any, home: Home) -> None:
    await memory.add("A thing that stays, with the word marmalade")
    word = "xylophagous"
    id_ = await memory.add(
        f"The {word} beetle, and {word}Horn",
        tags=[f"{word}-tag"],
        reference=f"{word}-ref",
        session=f"{word}-session",
    )
    await memory.add(f"the {word} beetle, and {word}Horn", session=f"{word}-2")
    await memory.call("memory_edit", action="update", ids=[id_], content=f"Two {word} beetles")
    await memory.add(f"Another {word}", supersedes=[id_])
    await memory.settled()
    files = [Path(f"{home.database}{end}") for end in ("", "-wal", "-shm")]
    stem = word[:9].encode()
    assert any(stem in path.read_bytes() for path in files)
    await memory.call("memory_edit", action="purge", ids=[id_, "m3"])
    for path in files:
        left = path.read_bytes().lower()
        assert stem not in left, f"{path.name} still has it"
    assert any(b"marmalade" in path.read_bytes() for path in files)
    with pytest.raises(NotFound):
        await memory.call("memory_get", ids=[id_])
    await memory.settled()
    assert await memory.found("beetle horn", why=True) == ["A thing that stays, with the word marmalade"]


async def test_an_id_is_never_used_again(memory: Any) -> None:
    id_ = await memory.add("Gone soon")
    await memory.call("memory_edit", action="purge", ids=[id_])
    assert await memory.add("New") != id_


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, InvalidArguments, "action is required"),
    ({"action": "burn", "ids": ["m1"]}, InvalidArguments, "action must be one of"),
    ({"action": "forget"}, InvalidArguments, "forget needs ids"),
    ({"action": "forget", "ids": ["m1", "m99"]}, NotFound, "there is no memory m99; nothing was changed"),
    ({"action": "purge", "ids": ["m1", "m99"]}, NotFound, "there is no memory m99"),
    ({"action": "forget", "ids": ["1"]}, InvalidArguments, "at least 2|2..40 characters"),
    ({"action": "forget", "ids": ["m1; DROP TABLE engrams"]}, InvalidArguments, "is no id of a memory"),
    ({"action": "forget", "ids": ["mzzzzzzzzzzz"]}, InvalidArguments, "is no id of a memory"),
    ({"action": "update", "ids": ["m1"]}, InvalidArguments, "nothing to change"),
    ({"action": "update", "ids": ["m1"], "content": " "}, InvalidArguments, "there is nothing in it"),
    ({"action": "update", "ids": ["m1"], "valid_from": 9, "valid_to": 3}, InvalidArguments, "swapped"),
    ({"action": "tag", "ids": ["m1"]}, InvalidArguments, "tag needs tags"),
    ({"action": "link", "ids": ["m1"]}, InvalidArguments, "link needs a target"),
    ({"action": "link", "ids": ["m1"], "target": "m99"}, NotFound, "there is no memory m99"),
    ({"action": "link", "ids": ["m1"], "target": "m1"}, InvalidArguments, "m1 cannot be linked to itself"),
    ({"action": "supersede", "ids": ["m1"], "target": "m1"}, InvalidArguments, "m1 cannot replace itself"),
    ({"action": "undo", "ids": ["m1"]}, InvalidArguments, "undo takes back the last change"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"), REFUSED, ids=[str(n) for n in range(len(REFUSED))]
)
async def test_what_does_not_fit_changes_nothing(
    memory: Any, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    await memory.add("Steady")
    with pytest.raises(error, match=sentence):
        await memory.call("memory_edit", **arguments)
    assert await memory.found("steady") == ["Steady"]
